//! A cloud to try meshvm's `azure` provider on, until Ctrl-C.
//!
//! Prints what to set in the shell that meshvm runs in, and, in the end, which calls were made.

use std::io;

use clap::Parser;
use meshvm_arm::{Arm, Authority, GROUP, LOCATION, Manners, SECRET, SUBSCRIPTION, TENANT};

/// A double of Azure Resource Manager, to try meshvm's `azure` provider on.
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_help_and_version_are_arguments() {
        let given = |argument: &str| Arguments::try_parse_from(["meshvm-arm", argument]);
        for wrong in ["--port", "serve", ""] {
            assert!(given(wrong).is_err(), "{wrong}");
        }
        let help = given("--help").err().map(|told| told.to_string());
        assert!(help.unwrap().contains("to try meshvm's"));
    }
}
