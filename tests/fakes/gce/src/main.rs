//! A cloud to try meshvm's `gcp` provider on, until Ctrl-C.
//!
//! Prints what to set in the shell that meshvm runs in, and, in the end, which calls were made.

use std::io;
use std::process::ExitCode;

use meshvm_gce::{Gce, Manners};

/// What it is and how it is used.
const USAGE: &str = "\
A double of Compute Engine, to try meshvm's `gcp` provider on.

Usage: meshvm-gce

It takes no arguments. It serves on a free port of this computer until Ctrl-C, and prints what
to set in the shell that meshvm runs in, and, in the end, which calls were made.";

/// How a program ends that was called in a wrong way.
const WRONG: u8 = 2;

/// Answers to arguments; `None` without any, to go on.
fn answer(arguments: &[String]) -> Option<Result<&'static str, String>> {
    let first = arguments.first()?;
    Some(match first.as_str() {
        "--help" | "-h" => Ok(USAGE),
        _ => Err(format!("error: unexpected argument `{first}`\n\n{USAGE}")),
    })
}

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    let arguments = std::env::args_os().skip(1);
    let arguments: Vec<String> = arguments
        .map(|it| it.to_string_lossy().into_owned())
        .collect();
    match answer(&arguments) {
        None => {}
        Some(Ok(usage)) => {
            println!("{usage}");
            return Ok(ExitCode::SUCCESS);
        }
        Some(Err(error)) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(WRONG));
        }
    }
    let folder = tempfile::tempdir()?;
    let credentials = folder.path().join("credentials.json");
    let gce = Gce::start(Manners::default()).await;
    std::fs::write(&credentials, gce.credentials().to_string())?;
    println!(
        "A Compute Engine of your own, until Ctrl-C: project acme-vms, with regions europe-west1\n\
         and us-east1. In the shell that meshvm runs in:\n\n\
         export GOOGLE_APPLICATION_CREDENTIALS={credentials}\n\n\
         and in the `gcp` block of the fleet file:\n\n\
         endpoint: {endpoint}\n\n\
         For gcloud:\n\n\
         export CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE={endpoint}/compute/v1/\n\
         export CLOUDSDK_AUTH_TOKEN_HOST={endpoint}/token\n\
         export CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE={credentials}\n\
         export CLOUDSDK_CORE_PROJECT=acme-vms CLOUDSDK_COMPUTE_ZONE=europe-west1-b\n",
        credentials = credentials.display(),
        endpoint = gce.endpoint(),
    );
    tokio::signal::ctrl_c().await?;
    println!("\nCalls that were made:");
    for (name, count) in gce.calls() {
        println!("{count:>7}  {name}");
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_help_is_an_argument() {
        let given = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|&it| it.to_owned()).collect();
            answer(&arguments)
        };
        assert_eq!(given(&[]), None);
        for help in ["--help", "-h"] {
            assert_eq!(given(&[help]), Some(Ok(USAGE)));
        }
        for wrong in ["--port", "serve", ""] {
            let refused = given(&[wrong]).unwrap().unwrap_err();
            assert!(refused.contains(&format!("`{wrong}`")), "{refused}");
        }
    }
}
