//! A cloud to try meshvm's `azure` provider on, until Ctrl-C.
//!
//! Prints what to set in the shell that meshvm runs in, and, in the end, which calls were made.

use std::io;
use std::process::ExitCode;

use meshvm_arm::{Arm, Authority, GROUP, LOCATION, Manners, SECRET, SUBSCRIPTION, TENANT};

/// What it is and how it is used.
const USAGE: &str = "\
A double of Azure Resource Manager, to try meshvm's `azure` provider on.

Usage: meshvm-arm

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
    let authority = Authority::in_folder(folder.path());
    let manners = Manners {
        older: true,
        ..Manners::default()
    };
    let arm = Arm::start(&authority, manners).await;
    println!(
        "An Azure of your own, until Ctrl-C. In the shell that meshvm runs in:\n\n\
         export SSL_CERT_FILE={certificate}\n\
         export AZURE_TENANT_ID={TENANT}\n\
         export AZURE_CLIENT_ID=any AZURE_CLIENT_SECRET={SECRET}\n\n\
         and in the `azure` block of the fleet file:\n\n\
         subscription: {SUBSCRIPTION}\n\
         location: {LOCATION}\n\
         resourceGroup: {GROUP}\n\
         subnet: net/default\n\
         endpoints: {{resourceManager: {endpoint}, authority: {endpoint}}}\n",
        certificate = authority.certificate().display(),
        endpoint = arm.endpoint(),
    );
    tokio::signal::ctrl_c().await?;
    println!("\nCalls that were made:");
    for (name, count) in arm.calls() {
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
