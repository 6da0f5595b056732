//! Google's client for Python.

use std::process::Command;

use meshvm_gce::{Gce, description, python};

use crate::{credentials, narrow};

/// What an operator's script does: makes, lists, changes and deletes, and is refused.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/python.py");

#[tokio::test(flavor = "multi_thread")]
async fn googles_client_for_python_makes_lists_changes_and_deletes() {
    let folder = tempfile::tempdir().unwrap();
    let gce = Gce::start(narrow()).await;
    let mut client = Command::new(python());
    client
        .args(["-B", SCRIPT])
        .env("GCE", gce.endpoint())
        .env("GCE_DESCRIPTION", description())
        .env(
            "GOOGLE_APPLICATION_CREDENTIALS",
            credentials(&gce, folder.path()),
        );
    let ran = tokio::task::spawn_blocking(move || client.output());
    let ran = ran.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}\n{errors}");
    assert_eq!(said.lines().last(), Some("done"), "{said}");
    assert!(gce.instances().is_empty() && gce.disks().is_empty());
    let calls = gce.calls();
    for method in [
        "instances.insert",
        "instances.bulkInsert",
        "instances.aggregatedList",
        "instances.setLabels",
        "instances.delete",
        "zoneOperations.wait",
        "firewalls.update",
        "globalOperations.wait",
        "projects.get",
    ] {
        // Each answer that was a success was held against the description.
        assert!(said.contains(&format!("compute.{method}")), "{said}");
        assert!(calls.contains_key(method), "{method}: {calls:?}");
    }
}
