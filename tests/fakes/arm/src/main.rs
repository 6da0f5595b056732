//! A cloud to try meshvm's `azure` provider on, until Ctrl-C.
//!
//! Prints what to set in the shell that meshvm runs in, and, in the end, which calls were made.

use std::io;

use meshvm_arm::{Arm, Authority, GROUP, LOCATION, Manners, SECRET, SUBSCRIPTION, TENANT};

#[tokio::main]
async fn main() -> io::Result<()> {
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
