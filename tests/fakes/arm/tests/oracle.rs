//! Microsoft's own clients use the double as they use Azure: a double that only meshvm can talk
//! to would prove nothing.

use std::process::Command;

use meshvm_arm::{Arm, Authority, GROUP, LOCATION, Manners, SECRET, SUBSCRIPTION, TENANT, python};

/// What an operator's script does: makes, lists, changes and deletes, and is refused.
const SCRIPT: &str = include_str!("oracle.py");

#[tokio::test(flavor = "multi_thread")]
async fn microsofts_own_clients_make_list_change_and_delete() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::in_folder(folder.path());
    let manners = Manners {
        pending: 1,
        page: 2,
        ..Manners::default()
    };
    let arm = Arm::start(&authority, manners).await;
    let mut run = Command::new(python());
    run.args(["-c", SCRIPT])
        .env("REQUESTS_CA_BUNDLE", authority.certificate())
        .env("ARM", arm.endpoint())
        .env("ARM_SUBSCRIPTION", SUBSCRIPTION)
        .env("ARM_TENANT", TENANT)
        .env("ARM_SECRET", SECRET)
        .env("ARM_GROUP", GROUP)
        .env("ARM_LOCATION", LOCATION);
    let ran = tokio::task::spawn_blocking(move || run.output());
    let ran = ran.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}\n{errors}");
    assert_eq!(said.trim(), "done");
    assert_eq!(arm.machines(), []);
    assert_eq!(arm.parts(), [""; 0]);
    let calls = arm.calls();
    for operation in [
        "VirtualMachines.create_or_update",
        "VirtualMachines.update",
        "VirtualMachines.delete",
        "NetworkInterfaces.create_or_update",
        "ResourceGroups.delete",
    ] {
        assert!(calls.contains_key(operation), "{operation}: {calls:?}");
    }
}
