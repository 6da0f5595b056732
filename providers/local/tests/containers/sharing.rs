//! Several processes and several data folders on one computer.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use meshvm_provider_api::{ErrorClass, MachineId, NoPrivateFiles};
use uuid::Uuid;

use crate::ground::{Ground, QUICK, STACK, batch};

fn forwards() -> bool {
    fs::read_to_string("/proc/sys/net/ipv4/ip_forward")
        .unwrap()
        .trim()
        == "1"
}

#[tokio::test(flavor = "multi_thread")]
async fn data_folders_do_not_meet() {
    let (one, two) = (Ground::new(), Ground::new());
    // The same batch, so the same names.
    let key = Uuid::new_v4();
    let batch = batch(key, 1, QUICK, Vec::new());
    let (first, second) = (one.open().await, two.open().await);
    let (a, b) = tokio::join!(
        first.create(&batch, &NoPrivateFiles),
        second.create(&batch, &NoPrivateFiles)
    );
    let (a, b) = (a.unwrap().machines.remove(0), b.unwrap().machines.remove(0));
    assert_eq!(a.name, b.name);
    assert_ne!(a.id, b.id);
    assert_ne!(a.address, b.address);
    one.ready().await;
    two.ready().await;
    assert_eq!(one.list().await.len(), 1);
    // Neither finds, nor deletes, what is the other's.
    first
        .delete(STACK, std::slice::from_ref(&b.id))
        .await
        .unwrap();
    assert_eq!(two.list().await.len(), 1);
    assert!(forwards());
    one.clear().await;
    assert!(forwards(), "the other's machines still need it");
    two.ready().await;
    two.clear().await;
    let shared = Path::new("/run/meshvm");
    let others = fs::read_dir(shared).map_or(0, |entries| entries.count());
    assert!(
        others > 0 || !shared.exists(),
        "the last one takes the folder along"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_at_once_makes_one_set() {
    let ground = Ground::new();
    let batch = batch(Uuid::new_v4(), 3, QUICK, Vec::new());
    let (a, b) = (ground.open().await, ground.open().await);
    let (a, b) = tokio::join!(
        a.create(&batch, &NoPrivateFiles),
        b.create(&batch, &NoPrivateFiles)
    );
    let ids = |created: meshvm_provider_api::Created| {
        let machines = created.machines.into_iter();
        machines
            .map(|machine| machine.id)
            .collect::<BTreeSet<MachineId>>()
    };
    assert_eq!(ids(a.unwrap()), ids(b.unwrap()));
    assert_eq!(ground.list().await.len(), 3);
    ground.ready().await;
    ground.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_leave_the_folder_is_refused() {
    let ground = Ground::new();
    let provider = ground.open().await;
    let mut wrong = batch(Uuid::new_v4(), 1, QUICK, Vec::new());
    wrong.ownership.fleet = "../../x".to_owned();
    let error = provider.create(&wrong, &NoPrivateFiles).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Invalid);
    let mut long = batch(Uuid::new_v4(), 1, QUICK, Vec::new());
    long.user_data = "x".repeat((1 << 20) + 1);
    let error = provider.create(&long, &NoPrivateFiles).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Invalid);
    ground.assert_clean("at the end").await;
    ground.clear().await;
}
