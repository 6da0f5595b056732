//! Google's own clients use the double as they use Compute Engine: a double that only meshvm can
//! talk to would prove nothing.

use std::path::Path;
use std::process::Command;

use meshvm_gce::{Gce, Manners, Refused, description, python};

/// What an operator's script does: makes, lists, changes and deletes, and is refused.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle.py");

/// A project that is as narrow as the script expects it.
fn narrow() -> Manners {
    Manners {
        slow: 2,
        page: 2,
        quota: 5,
        room: [("t2a-standard-1".to_owned(), 1)].into(),
        refusals: vec![Refused::later("instances.stop", 503, "INTERNAL_ERROR")],
        ..Manners::default()
    }
}

/// Runs a client to its end; returns what it printed.
async fn run(mut client: Command) -> String {
    let ran = tokio::task::spawn_blocking(move || client.output());
    let ran = ran.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}\n{errors}");
    said.into_owned()
}

/// Writes the double's credentials as a file of Google's; returns its path.
fn credentials(gce: &Gce, folder: &Path) -> std::path::PathBuf {
    let file = folder.join("credentials.json");
    std::fs::write(&file, gce.credentials().to_string()).unwrap();
    file
}

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
    let said = run(client).await;
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
    ] {
        // Each answer that was a success was held against the description.
        assert!(said.contains(&format!("compute.{method}")), "{said}");
        assert!(calls.contains_key(method), "{method}: {calls:?}");
    }
}
