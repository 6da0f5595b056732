//! Journals, scopes and records: what is written is read, and nothing torn or half deleted misleads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use meshvm_provider_api::Scope;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use serde::{Deserialize, Serialize};

use super::super::lease::Lease;
use super::super::store::Store;
use super::super::{LeaseLost, Ledger, LedgerError};
use super::meddle::{Call, Meddler, meddled, unreachable};
use super::{Hands, Place, TTL, claim, files};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "what")]
enum Entry {
    Begin { step: u32 },
    End { step: u32 },
}

use Entry::{Begin, End};

async fn lease(ledger: &Ledger, who: &str, hands: &Hands) -> Lease {
    ledger.acquire(claim(who), hands.clock()).await.unwrap()
}

#[tokio::test]
async fn a_journal_is_read_as_it_was_written() {
    for place in Place::each() {
        let hands = Hands::new();
        let ledger = place.open();
        assert!(ledger.runs::<Entry>().await.unwrap().is_empty());
        let first = lease(&ledger, "ann", &hands).await;
        let mut run = ledger
            .begin_run(&first, b"not even JSON".to_vec())
            .await
            .unwrap();
        assert_eq!(run.fence(), 1);
        run.append::<Entry>(&[]).await.unwrap();
        run.append(&[Begin { step: 1 }, Begin { step: 2 }])
            .await
            .unwrap();
        run.append(&[End { step: 1 }]).await.unwrap();
        let again = ledger.begin_run(&first, b"{}".to_vec()).await;
        assert!(matches!(again, Err(LedgerError::RunExists { fence: 1 })));

        let runs = place.open().runs::<Entry>().await.unwrap();
        assert_eq!(runs.len(), 1);
        assert_eq!((runs[0].fence, runs[0].finished), (1, false));
        assert_eq!(runs[0].plan, b"not even JSON");
        assert_eq!(
            runs[0].entries,
            [Begin { step: 1 }, Begin { step: 2 }, End { step: 1 }]
        );
        assert_eq!(runs[0].torn, None);

        run.finish().await.unwrap();
        assert!(place.open().runs::<Entry>().await.unwrap()[0].finished);
        first.release().await.unwrap();
        let second = lease(&ledger, "ann", &hands).await;
        ledger.begin_run(&second, b"{}".to_vec()).await.unwrap();
        let fences: Vec<u64> = ledger
            .runs::<Entry>()
            .await
            .unwrap()
            .iter()
            .map(|run| run.fence)
            .collect();
        assert_eq!(fences, [1, 3]);

        ledger.forget_run(1).await.unwrap();
        ledger.forget_run(1).await.unwrap();
        assert_eq!(ledger.runs::<Entry>().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_writer_that_was_taken_over_can_append_nowhere() {
    for place in Place::each() {
        let hands = Hands::new();
        let ledger = place.open();
        let ann = lease(&ledger, "ann", &hands).await;
        let mut old = ledger.begin_run(&ann, b"{}".to_vec()).await.unwrap();
        old.append(&[Begin { step: 1 }]).await.unwrap();
        hands.forward(TTL);

        let bob = lease(&place.open(), "bob", &hands).await;
        // Late, but before anybody has read it: worth keeping.
        old.append(&[End { step: 1 }]).await.unwrap();
        let runs = ledger.take_runs::<Entry>(&bob).await.unwrap();
        assert_eq!(runs[0].entries, [Begin { step: 1 }, End { step: 1 }]);
        let mut new = ledger.begin_run(&bob, b"{}".to_vec()).await.unwrap();

        let lost = old.append(&[Begin { step: 2 }]).await.unwrap_err();
        assert!(
            matches!(lost, LedgerError::LeaseLost(LeaseLost::Superseded { by }) if by == bob.fence())
        );
        let more = old.append(&[Begin { step: 2 }]).await.unwrap_err();
        assert!(matches!(more, LedgerError::WriterBroken { fence: 1 }));
        assert!(matches!(
            old.finish().await,
            Err(LedgerError::WriterBroken { .. })
        ));
        assert!(ann.check(hands.now()).is_err());

        new.append(&[Begin { step: 9 }]).await.unwrap();
        let runs = ledger.take_runs::<Entry>(&bob).await.unwrap();
        assert_eq!(runs[0].entries, [Begin { step: 1 }, End { step: 1 }]);
        assert_eq!(runs[1].entries, [Begin { step: 9 }]);
        // Nor may the old one take runs over in its turn.
        let lost = ledger.take_runs::<Entry>(&ann).await.unwrap_err();
        assert!(matches!(
            lost,
            LedgerError::LeaseLost(LeaseLost::Superseded { by: 2 })
        ));
    }
}

#[tokio::test]
async fn a_writer_that_was_taken_over_before_its_first_write_gets_no_further() {
    for place in Place::each() {
        let hands = Hands::new();
        let ledger = place.open();
        let ann = lease(&ledger, "ann", &hands).await;
        hands.forward(TTL);
        let bob = lease(&ledger, "bob", &hands).await;
        assert!(ledger.take_runs::<Entry>(&bob).await.unwrap().is_empty());
        let mut run = ledger.begin_run(&ann, b"{}".to_vec()).await.unwrap();
        let lost = run.append(&[Begin { step: 1 }]).await;
        assert!(matches!(
            lost,
            Err(LedgerError::LeaseLost(LeaseLost::Superseded { by: 2 }))
        ));
    }
}

#[tokio::test]
async fn only_the_last_page_may_be_torn() {
    let (place, hands) = (Place::folder(), Hands::new());
    let ledger = place.open();
    let ann = lease(&ledger, "ann", &hands).await;
    let mut run = ledger.begin_run(&ann, b"{}".to_vec()).await.unwrap();
    for step in 1..=3 {
        run.append(&[Begin { step }]).await.unwrap();
    }
    let page = |number: u32| {
        place
            .root()
            .join(format!("runs/0000000001/{number:08}.json"))
    };
    let whole = std::fs::read(page(3)).unwrap();
    for cut in 0..whole.len() - 1 {
        std::fs::write(page(3), &whole[..cut]).unwrap();
        let runs = ledger.runs::<Entry>().await.unwrap();
        assert_eq!(
            runs[0].entries,
            [Begin { step: 1 }, Begin { step: 2 }],
            "cut at {cut}"
        );
        assert_eq!(
            runs[0].torn.as_deref(),
            Some("runs/0000000001/00000003.json")
        );
    }
    // A power cut can also leave zeros.
    std::fs::write(page(3), vec![0; whole.len()]).unwrap();
    assert_eq!(ledger.runs::<Entry>().await.unwrap()[0].entries.len(), 2);

    // It stays the last when the run is sealed for a resume.
    hands.forward(TTL);
    let bob = lease(&ledger, "bob", &hands).await;
    for _ in 0..2 {
        let runs = ledger.take_runs::<Entry>(&bob).await.unwrap();
        assert_eq!(runs[0].entries.len(), 2);
    }
    assert!(run.append(&[End { step: 1 }]).await.is_err());

    std::fs::copy(page(1), page(5)).unwrap();
    let error = ledger.runs::<Entry>().await.unwrap_err();
    assert!(
        matches!(&error, LedgerError::Unreadable { object, .. } if object.ends_with("/00000003.json"))
    );
    assert!(error.hint().unwrap().contains("move runs/0000000001 away"));
    std::fs::remove_file(page(5)).unwrap();
    std::fs::write(page(2), "{").unwrap();
    let error = ledger.runs::<Entry>().await.unwrap_err();
    assert!(
        matches!(error, LedgerError::Unreadable { object, .. } if object.ends_with("/00000002.json"))
    );
    std::fs::remove_file(page(2)).unwrap();
    let error = ledger.runs::<Entry>().await.unwrap_err();
    assert!(
        matches!(error, LedgerError::MissingEntry { object, .. } if object.ends_with("/00000002.json"))
    );
}

#[tokio::test]
async fn a_last_page_that_is_whole_is_never_passed_over() {
    let (place, hands) = (Place::folder(), Hands::new());
    let ledger = place.open();
    let ann = lease(&ledger, "ann", &hands).await;
    let mut run = ledger.begin_run(&ann, b"{}".to_vec()).await.unwrap();
    run.append(&[Begin { step: 1 }]).await.unwrap();
    let page = place.root().join("runs/0000000001/00000001.json");
    let whole = std::fs::read_to_string(&page).unwrap();

    std::fs::write(&page, whole.replace("\"format\":1", "\"format\":2")).unwrap();
    let error = ledger.runs::<Entry>().await.unwrap_err();
    assert!(matches!(error, LedgerError::NewerFormat { .. }));
    assert_eq!(error.hint().unwrap(), "upgrade meshvm on this computer");
    // An entry of a kind that this version lacks may be the begin of a step.
    std::fs::write(&page, whole.replace("begin", "behold")).unwrap();
    let error = ledger.runs::<Entry>().await.unwrap_err();
    assert!(matches!(error, LedgerError::Unreadable { .. }));
}

/// Dies at a certain delete: that one and all calls after it fail.
#[derive(Debug)]
struct DiesAt {
    calls: AtomicU32,
    last: u32,
}

#[async_trait]
impl Meddler for DiesAt {
    async fn before(&self, call: Call) -> object_store::Result<()> {
        let changes = matches!(call, Call::Delete | Call::Put);
        if changes && self.calls.fetch_add(1, Ordering::SeqCst) >= self.last {
            return Err(unreachable());
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_forgotten_half_is_never_one_to_resume() {
    let mut deaths = 0;
    for finished in [true, false] {
        for last in 0.. {
            let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let on =
                |store| Ledger::on(Store::remote(store, "test".to_owned()), "bookinfo").unwrap();
            let ledger = on(Arc::clone(&inner));
            let hands = Hands::new();
            let ann = lease(&ledger, "ann", &hands).await;
            let mut run = ledger.begin_run(&ann, b"{}".to_vec()).await.unwrap();
            let entries = [
                Begin { step: 1 },
                End { step: 1 },
                Begin { step: 2 },
                End { step: 2 },
            ];
            for entry in &entries {
                run.append(std::slice::from_ref(entry)).await.unwrap();
            }
            if finished {
                run.finish().await.unwrap();
            }
            let bob = {
                hands.forward(TTL);
                lease(&ledger, "bob", &hands).await
            };
            ledger.take_runs::<Entry>(&bob).await.unwrap();

            let calls = AtomicU32::new(0);
            let dying = on(meddled(
                Arc::clone(&inner),
                Arc::new(DiesAt { calls, last }),
            ));
            let died = dying.forget_run(1).await.is_err();
            // Whoever comes next sees it whole, done, or not at all.
            let runs = ledger.runs::<Entry>().await.unwrap();
            if let [run] = runs.as_slice() {
                assert!(
                    run.finished || run.entries == entries,
                    "after {last} calls: {run:?}"
                );
                assert!(entries.starts_with(&run.entries));
            } else {
                assert!(runs.is_empty());
            }
            if died {
                deaths += 1;
                // Taking runs over clears what has no plan; the rest is forgotten again.
                for run in ledger.take_runs::<Entry>(&bob).await.unwrap() {
                    ledger.forget_run(run.fence).await.unwrap();
                }
            }
            hands.forward(TTL);
            bob.release().await.unwrap();
            let cid = lease(&ledger, "cid", &hands).await;
            assert!(ledger.take_runs::<Entry>(&cid).await.unwrap().is_empty());
            assert!(ledger.store.list("runs").await.unwrap().is_empty());
            if !died {
                break;
            }
        }
    }
    assert!(deaths >= 12, "{deaths}");
}

#[tokio::test]
async fn forgotten_runs_leave_no_folder() {
    let (place, hands) = (Place::folder(), Hands::new());
    let ledger = place.open();
    let ann = lease(&ledger, "ann", &hands).await;
    let mut run = ledger.begin_run(&ann, b"{}".to_vec()).await.unwrap();
    run.append(&[Begin { step: 1 }]).await.unwrap();
    run.finish().await.unwrap();
    ledger.forget_run(1).await.unwrap();
    assert_eq!(files(&place.root()), ["lock/0000000001.json"]);
    assert!(!place.root().join("runs").exists());
}

#[tokio::test]
async fn scopes_are_remembered_once_each() {
    for place in Place::each() {
        let ledger = place.open();
        assert!(ledger.scopes().await.unwrap().is_empty());
        let scope = |region: &str| {
            let key = [("account", "1"), ("region", region)];
            let key = key.map(|(name, value)| (name, Some(value.to_owned())));
            Scope::new("aws", key, [])
        };
        for region in ["eu-west-1", "us-east-1", "eu-west-1"] {
            ledger.add_scope(&scope(region)).await.unwrap();
        }
        let found: Vec<Scope> = place.open().scopes().await.unwrap().into_iter().collect();
        assert_eq!(found, [scope("eu-west-1"), scope("us-east-1")]);
    }
}

#[tokio::test]
async fn a_scope_is_remembered_as_it_was_reached_last() {
    for place in Place::each() {
        let ledger = place.open();
        let scope = |role: Option<&str>| Scope::new("aws", [], [("role", role.map(str::to_owned))]);
        for role in [None, Some("a"), Some("a"), Some("b"), None, Some("c")] {
            ledger.add_scope(&scope(role)).await.unwrap();
            let found: Vec<Scope> = place.open().scopes().await.unwrap().into_iter().collect();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].access, scope(role).access, "{role:?}");
        }
    }
}

#[tokio::test]
async fn a_damaged_scope_is_not_left_out() {
    let place = Place::folder();
    let scope = Scope::new("local", [], []);
    place.open().add_scope(&scope).await.unwrap();
    let file = files(&place.root()).remove(0);
    std::fs::write(place.root().join(&file), "").unwrap();
    let error = place.open().scopes().await.unwrap_err();
    assert!(matches!(error, LedgerError::Unreadable { object, .. } if object == file));
}

#[tokio::test]
async fn the_newest_readable_record_counts() {
    let (place, hands) = (Place::folder(), Hands::new());
    let ledger = place.open();
    assert_eq!(ledger.last_applied::<u32>().await.unwrap(), None);
    for record in 1..=5_u32 {
        let lease = lease(&ledger, "ann", &hands).await;
        ledger.record_applied(&lease, &record).await.unwrap();
        ledger.record_applied(&lease, &record).await.unwrap();
        lease.release().await.unwrap();
        assert_eq!(place.open().last_applied().await.unwrap(), Some(record));
    }
    let kept: Vec<String> = files(&place.root().join("applied"));
    assert_eq!(
        kept,
        ["0000000005.json", "0000000007.json", "0000000009.json"]
    );
    std::fs::write(place.root().join("applied/0000000009.json"), "{\"form").unwrap();
    assert_eq!(ledger.last_applied::<u32>().await.unwrap(), Some(4));
    std::fs::write(
        place.root().join("applied/0000000009.json"),
        "{\"format\":7}",
    )
    .unwrap();
    let error = ledger.last_applied::<u32>().await.unwrap_err();
    assert!(matches!(error, LedgerError::NewerFormat { found: 7, .. }));
}
