//! Folders: what is not there, what is in the way, and what does not belong there.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use meshvm_provider_api::Scope;
use object_store::memory::InMemory;

use super::super::store::{Creation, Store};
use super::super::{Ledger, LedgerError, UrlProblem};
use super::meddle::{Call, Meddler, meddled};
use super::{Hands, Place, claim, files};

#[tokio::test]
async fn reading_creates_nothing_and_the_first_write_makes_the_folder() {
    for url in ["file://.meshvm", "file://./deep/er", "file://x y#1/%20é?"] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(url, dir.path(), "bookinfo").unwrap();
        assert_eq!(ledger.held().await.unwrap(), None);
        assert!(ledger.runs::<u32>().await.unwrap().is_empty());
        assert!(ledger.scopes().await.unwrap().is_empty());
        assert_eq!(ledger.last_applied::<u32>().await.unwrap(), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{url}");

        let hands = Hands::new();
        let lease = ledger.acquire(claim("ann"), hands.clock()).await.unwrap();
        let written = dir.path().join(&url["file://".len()..]);
        assert_eq!(files(&written), ["bookinfo/lock/0000000001.json"], "{url}");
        // A second opening, of the folder that now exists, sees the same.
        let again = Ledger::open(url, dir.path(), "bookinfo").unwrap();
        assert_eq!(again.held().await.unwrap().unwrap().fence, lease.fence());
        let other = Ledger::open(url, dir.path(), "other").unwrap();
        assert_eq!(other.held().await.unwrap(), None);
    }
}

#[tokio::test]
async fn one_opening_sees_what_another_makes_later() {
    let place = Place::folder();
    let early = place.open();
    assert_eq!(early.held().await.unwrap(), None);
    let _lease = place
        .open()
        .acquire(claim("ann"), Hands::new().clock())
        .await
        .unwrap();
    assert!(early.held().await.unwrap().is_some());
}

#[tokio::test]
async fn a_missing_disk_is_no_empty_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("mnt");
    let url = format!("file://{}/ledger", missing.display());
    let ledger = Ledger::open(&url, Path::new("/"), "bookinfo").unwrap();
    let reading = ledger.scopes().await.unwrap_err();
    let writing = ledger
        .acquire(claim("ann"), Hands::new().clock())
        .await
        .unwrap_err();
    for error in [reading, writing] {
        assert_eq!(
            error.to_string(),
            format!("the folder {} does not exist", missing.display())
        );
        assert!(error.hint().unwrap().contains("mkdir -p"));
    }
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_file_in_the_way_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for url in ["file://file", "file://file/below", "file://file/be/low"] {
        let ledger = Ledger::open(url, dir.path(), "bookinfo").unwrap();
        let reading = ledger.scopes().await.unwrap_err();
        let writing = ledger
            .acquire(claim("ann"), Hands::new().clock())
            .await
            .unwrap_err();
        for error in [reading, writing] {
            let message = format!("{} is not a folder", file.display());
            assert_eq!(error.to_string(), message, "{url}");
        }
    }
}

#[tokio::test]
async fn what_the_kernel_refuses_is_a_lack_of_rights() {
    // Not even root may make a folder there.
    let ledger = Ledger::open("file:///sys/meshvm", Path::new("/"), "bookinfo").unwrap();
    let error = ledger
        .acquire(claim("ann"), Hands::new().clock())
        .await
        .unwrap_err();
    assert!(
        matches!(error, LedgerError::PermissionDenied { .. }),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .ends_with("failed to create the folder in /sys/meshvm"),
        "{error}"
    );
    assert!(error.hint().is_some());
}

/// Refuses as a file system does.
#[derive(Debug)]
struct Refuses;

#[async_trait]
impl Meddler for Refuses {
    async fn before(&self, _: Call) -> object_store::Result<()> {
        Err(object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(std::io::Error::from(std::io::ErrorKind::PermissionDenied)),
        })
    }
}

#[tokio::test]
async fn every_call_that_is_refused_says_on_what() {
    let store = meddled(Arc::new(InMemory::new()), Arc::new(Refuses));
    let store = Store::remote(store, "place".to_owned());
    let errors = [
        store.create("a/b", Vec::new()).await.unwrap_err(),
        store.get("a/b").await.unwrap_err(),
        store.list("a").await.unwrap_err(),
        store.delete("a/b").await.unwrap_err(),
    ];
    let texts = errors.map(|error| error.to_string());
    assert_eq!(
        texts,
        [
            "permission denied: failed to create a/b in place",
            "permission denied: failed to read a/b in place",
            "permission denied: failed to list a in place",
            "permission denied: failed to delete a/b in place",
        ]
    );
}

#[tokio::test]
async fn what_a_kill_or_a_person_leaves_in_the_folder_disturbs_nothing() {
    let (place, hands) = (Place::folder(), Hands::new());
    let ledger = place.open();
    let lease = ledger.acquire(claim("ann"), hands.clock()).await.unwrap();
    let mut run = ledger.begin_run(&lease, b"{}".to_vec()).await.unwrap();
    run.append(&[1]).await.unwrap();
    let scope = Scope::new("sim", [], []);
    ledger.add_scope(&scope).await.unwrap();
    ledger.record_applied(&lease, &7).await.unwrap();
    for (file, text) in [
        // What a store leaves that is killed between writing and naming.
        ("lock/0000000002.json#1", "{\"for"),
        ("runs/0000000001/00000002.json#1", ""),
        ("runs/0000000001/00000002.json#2", "{}"),
        ("runs/0000000009/plan.json#1", "{}"),
        ("scopes/0123456789abcdef.json#1", ""),
        ("applied/0000000009.json#1", ""),
        // What people and their tools leave.
        ("lock/0000000009.json~", "{}"),
        ("lock/9.json", "{}"),
        ("lock/README", "x"),
        ("runs/.DS_Store", "x"),
        ("runs/notes/00000001.json", "x"),
        ("runs/0000000001/00000002.json.swp", "x"),
        ("scopes/README", "x"),
        (".DS_Store", "x"),
    ] {
        let path = place.root().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    for folder in [
        "lock/0000000099.json",
        "runs/0000000008",
        "scopes/empty",
        "empty",
    ] {
        std::fs::create_dir_all(place.root().join(folder)).unwrap();
    }
    let fresh = place.open();
    lease.renew().await.unwrap();
    run.append(&[2]).await.unwrap();
    let runs = fresh.take_runs::<u32>(&lease).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].entries, [1, 2]);
    assert_eq!(fresh.scopes().await.unwrap().len(), 1);
    assert_eq!(fresh.last_applied::<u32>().await.unwrap(), Some(7));
    run.finish().await.unwrap();
    fresh.forget_run(1).await.unwrap();
    assert!(fresh.runs::<u32>().await.unwrap().is_empty());
    lease.release().await.unwrap();
    let next = fresh.acquire(claim("bob"), hands.clock()).await.unwrap();
    assert_eq!(next.fence(), 4);
}

#[tokio::test]
async fn a_create_never_replaces() {
    for place in Place::each() {
        let store = place.open().store;
        assert_eq!(
            store.create("a", b"1".to_vec()).await.unwrap(),
            Creation::Created
        );
        assert_eq!(
            store.create("a", b"1".to_vec()).await.unwrap(),
            Creation::Created
        );
        let exists = Creation::Exists(b"1".to_vec());
        assert_eq!(store.create("a", b"2".to_vec()).await.unwrap(), exists);
        assert_eq!(store.get("a").await.unwrap().unwrap(), b"1");
        store.delete("a").await.unwrap();
        store.delete("a").await.unwrap();
        assert_eq!(store.get("a").await.unwrap(), None);
    }
}

#[tokio::test]
async fn memory_is_shared_by_name() {
    let place = Place::memory();
    let _lease = place
        .open()
        .acquire(claim("ann"), Hands::new().clock())
        .await
        .unwrap();
    assert!(place.open().held().await.unwrap().is_some());
    assert_eq!(Place::memory().open().held().await.unwrap(), None);
}

#[test]
fn bad_names_and_missing_features_are_refused() {
    let here = Path::new("/");
    for stack in ["", "a/b", "..", "A"] {
        assert!(matches!(
            Ledger::open("memory://x", here, stack),
            Err(LedgerError::BadStack(_))
        ));
    }
    let built = [
        ("s3://b", "ledger-s3", cfg!(feature = "ledger-s3")),
        ("gs://b", "ledger-gs", cfg!(feature = "ledger-gs")),
        ("az://b", "ledger-az", cfg!(feature = "ledger-az")),
    ];
    for (url, feature, built) in built {
        let opened = Ledger::open(url, here, "x");
        if !built {
            let Err(LedgerError::BadUrl { problem, .. }) = opened else {
                panic!("{opened:?}");
            };
            assert_eq!(problem, UrlProblem::NotBuilt(feature));
        }
    }
}
