//! A cloud to try meshvm's `gcp` provider on, until Ctrl-C.
//!
//! Prints what to set in the shell that meshvm runs in, and, in the end, which calls were made.

use std::io;

use clap::Parser;
use meshvm_gce::{Gce, Manners};

/// A double of Compute Engine, to try meshvm's `gcp` provider on.
///
/// Serves on a free port of this computer until Ctrl-C, and prints what to set in the shell that
/// meshvm runs in, and, in the end, which calls were made.
#[derive(Parser)]
#[command(version)]
struct Arguments {}

#[tokio::main]
async fn main() -> io::Result<()> {
    Arguments::parse();
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_help_and_version_are_arguments() {
        let given = |argument: &str| Arguments::try_parse_from(["meshvm-gce", argument]);
        for wrong in ["--port", "serve", ""] {
            assert!(given(wrong).is_err(), "{wrong}");
        }
        let help = given("--help").err().map(|told| told.to_string());
        assert!(help.unwrap().contains("to try meshvm's"));
    }
}
