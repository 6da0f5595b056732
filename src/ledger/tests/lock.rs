//! Taking, renewing, losing, giving back and breaking the lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use object_store::memory::InMemory;

use super::super::lease::{Claim, Clock, Lease};
use super::super::store::Store;
use super::super::{LeaseLost, Ledger, LedgerError, RunWriter, Unlocked};
use super::meddle::{Call, Meddler, meddled, unreachable};
use super::{Hands, Place, TTL, claim, files, holder};

fn lost(outcome: Result<(), LedgerError>) -> LeaseLost {
    match outcome {
        Err(LedgerError::LeaseLost(lost)) => lost,
        other => panic!("not lost: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_racers_one_wins_each_time() {
    for place in Place::each() {
        let hands = Hands::new();
        let mut last = 0;
        for round in 0..200 {
            let race = ["ann", "bob"].map(|who| {
                let (ledger, clock) = (place.open(), hands.clock());
                tokio::spawn(async move { ledger.acquire(claim(who), clock).await })
            });
            let [ann, bob] = race;
            let (ann, bob) = (ann.await.unwrap(), bob.await.unwrap());
            let (lease, error, winner) = match (ann, bob) {
                (Ok(lease), Err(error)) => (lease, error, "ann"),
                (Err(error), Ok(lease)) => (lease, error, "bob"),
                other => panic!("round {round}: {other:?}"),
            };
            let LedgerError::Locked(locked) = error else {
                panic!("round {round}: {error:?}");
            };
            assert_eq!(locked.held.holder.who, winner);
            assert_eq!(locked.held.fence, lease.fence());
            assert!(lease.fence() > last, "fences grow");
            last = lease.fence();
            lease.check(hands.now()).unwrap();
            // Half of the winners give it back, the others die.
            if round % 2 == 0 {
                lease.release().await.unwrap();
            } else {
                drop(lease);
                hands.forward(TTL);
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_says_all_that_a_person_needs() {
    let (place, hands) = (Place::memory(), Hands::new());
    let _lease = place
        .open()
        .acquire(claim("ann"), hands.clock())
        .await
        .unwrap();
    let error = place
        .open()
        .acquire(claim("bob"), hands.clock())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "stack `bookinfo` is locked by ann@laptop (process 812, `meshvm apply`), \
         since 1970-01-01T00:00:00Z, until 2001-09-09T01:47:40Z unless renewed"
    );
    assert_eq!(
        error.hint().unwrap(),
        "wait for it to end; should process 812 on laptop be gone, the lock ends by itself \
         at 2001-09-09T01:47:40Z, or break it with `meshvm unlock`"
    );
    let held = place.open().held().await.unwrap().unwrap();
    assert_eq!(held.holder, holder("ann"));
}

#[tokio::test]
async fn a_lease_is_kept_by_renewing_and_ends_by_giving_back() {
    for place in Place::each() {
        let hands = Hands::new();
        let ledger = place.open();
        assert_eq!(ledger.held().await.unwrap(), None);
        let lease = ledger.acquire(claim("ann"), hands.clock()).await.unwrap();
        assert_eq!((lease.fence(), lease.predecessor()), (1, None));
        for _ in 0..20 {
            hands.forward(TTL / 3);
            lease.renew().await.unwrap();
            lease.check(hands.now()).unwrap();
        }
        assert!(
            place
                .open()
                .acquire(claim("bob"), hands.clock())
                .await
                .is_err()
        );
        lease.release().await.unwrap();
        assert_eq!(ledger.held().await.unwrap(), None);
        let next = place
            .open()
            .acquire(claim("bob"), hands.clock())
            .await
            .unwrap();
        assert_eq!((next.fence(), next.predecessor()), (23, None));
        assert_eq!(
            ledger.store.list("lock").await.unwrap().len(),
            3,
            "old ones go"
        );
    }
}

#[tokio::test]
async fn an_expired_lock_is_taken_over_and_its_holder_notices() {
    for place in Place::each() {
        let hands = Hands::new();
        let ann = place
            .open()
            .acquire(claim("ann"), hands.clock())
            .await
            .unwrap();
        hands.forward(TTL * 5 / 6 - 1);
        ann.check(hands.now()).unwrap();
        hands.forward(1);
        // Ann stops trusting it before Bob may have it.
        assert!(matches!(
            ann.check(hands.now()),
            Err(LeaseLost::Expired { .. })
        ));
        assert!(
            place
                .open()
                .acquire(claim("bob"), hands.clock())
                .await
                .is_err()
        );
        hands.forward(TTL / 6);
        let bob = place
            .open()
            .acquire(claim("bob"), hands.clock())
            .await
            .unwrap();
        assert_eq!(bob.predecessor(), Some(ann.fence()));
        bob.check(hands.now()).unwrap();

        let by = Box::new(holder("bob"));
        let gone = LeaseLost::TakenOver { by };
        assert_eq!(lost(ann.renew().await), gone);
        assert_eq!(ann.check(hands.now()).unwrap_err(), gone);
        assert_eq!(lost(ann.renew().await), gone);
        assert_eq!(lost(ann.release().await), gone);
        bob.check(hands.now()).unwrap();
        bob.renew().await.unwrap();
    }
}

#[tokio::test]
async fn a_sleeper_that_finds_its_next_number_deleted_has_still_lost() {
    for place in Place::each() {
        let hands = Hands::new();
        let ann = place
            .open()
            .acquire(claim("ann"), hands.clock())
            .await
            .unwrap();
        hands.forward(TTL);
        for _ in 0..3 {
            let bob = place
                .open()
                .acquire(claim("bob"), hands.clock())
                .await
                .unwrap();
            bob.release().await.unwrap();
        }
        let kept = place.open().store.list("lock").await.unwrap();
        assert!(!kept.contains(&"0000000002.json".to_owned()), "{kept:?}");
        let by = Box::new(holder("bob"));
        assert_eq!(lost(ann.renew().await), LeaseLost::TakenOver { by });
        // And what it wrote into the hole disturbs nobody.
        let next = place
            .open()
            .acquire(claim("cid"), hands.clock())
            .await
            .unwrap();
        assert_eq!(next.fence(), 8);
        next.renew().await.unwrap();
    }
}

#[tokio::test]
async fn a_lease_that_only_ran_out_comes_back_by_renewing() {
    let (place, hands) = (Place::memory(), Hands::new());
    let ann = place
        .open()
        .acquire(claim("ann"), hands.clock())
        .await
        .unwrap();
    hands.forward(TTL * 2);
    assert!(ann.check(hands.now()).is_err());
    ann.renew().await.unwrap();
    ann.check(hands.now()).unwrap();
    assert!(
        place
            .open()
            .acquire(claim("bob"), hands.clock())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_broken_lock_names_who_broke_it() {
    for place in Place::each() {
        let hands = Hands::new();
        let ledger = place.open();
        let bob = holder("bob");
        assert_eq!(
            ledger.force_unlock(&bob, None).await.unwrap(),
            Unlocked::WasFree
        );
        let ann = ledger.acquire(claim("ann"), hands.clock()).await.unwrap();

        let moved = ledger.force_unlock(&bob, Some(ann.fence() + 1)).await;
        assert!(matches!(
            moved,
            Err(LedgerError::LockMoved {
                expected: 2,
                found: 1,
                ..
            })
        ));
        let Unlocked::Broken(held) = ledger.force_unlock(&bob, Some(1)).await.unwrap() else {
            panic!("not broken");
        };
        assert_eq!((held.fence, held.holder), (1, holder("ann")));
        assert_eq!(
            ledger.force_unlock(&bob, None).await.unwrap(),
            Unlocked::WasFree
        );

        let by = Box::new(bob);
        assert_eq!(
            lost(ann.renew().await),
            LeaseLost::Broken { by: by.clone() }
        );
        assert_eq!(ann.check(hands.now()), Err(LeaseLost::Broken { by }));
        let next = ledger.acquire(claim("cid"), hands.clock()).await.unwrap();
        assert_eq!(next.predecessor(), Some(1), "its journal may be unfinished");
    }
}

#[tokio::test]
async fn damage_and_newer_formats_stop_the_taker_and_only_damage_can_be_broken() {
    let (place, hands) = (Place::folder(), Hands::new());
    let ledger = place.open();
    ledger.acquire(claim("ann"), hands.clock()).await.unwrap();
    hands.forward(TTL);
    let file = place.root().join("lock/0000000001.json");
    std::fs::write(&file, "{\"format\":1,").unwrap();
    let error = ledger
        .acquire(claim("bob"), hands.clock())
        .await
        .unwrap_err();
    assert!(matches!(error, LedgerError::Unreadable { .. }));
    assert!(
        error.to_string().starts_with("lock/0000000001.json in "),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("`meshvm unlock`"));

    std::fs::write(&file, "{\"format\":2}").unwrap();
    let error = ledger
        .acquire(claim("bob"), hands.clock())
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        LedgerError::NewerFormat {
            found: 2,
            known: 1,
            ..
        }
    ));
    assert_eq!(error.hint().unwrap(), "upgrade meshvm on this computer");
    assert!(ledger.force_unlock(&holder("bob"), None).await.is_err());

    std::fs::write(&file, "").unwrap();
    let unlocked = ledger.force_unlock(&holder("bob"), None).await.unwrap();
    assert_eq!(unlocked, Unlocked::BrokenUnread);
    ledger.acquire(claim("bob"), hands.clock()).await.unwrap();
}

#[tokio::test]
async fn a_ledger_whose_lock_was_deleted_by_hand_reuses_no_fence() {
    let (place, hands) = (Place::folder(), Hands::new());
    let ledger = place.open();
    for _ in 0..3 {
        let lease = ledger.acquire(claim("ann"), hands.clock()).await.unwrap();
        ledger.begin_run(&lease, b"{}".to_vec()).await.unwrap();
        lease.release().await.unwrap();
    }
    std::fs::remove_dir_all(place.root().join("lock")).unwrap();
    let lease = place
        .open()
        .acquire(claim("bob"), hands.clock())
        .await
        .unwrap();
    assert_eq!(lease.fence(), 6, "{:?}", files(&place.root()));
}

#[tokio::test(start_paused = true)]
async fn the_background_renews_until_the_lease_is_dropped() {
    let place = Place::memory();
    let start = tokio::time::Instant::now();
    let hands = Hands::new();
    let base = hands.now();
    let clock = Clock::new(move || base + start.elapsed());
    let ann = place
        .open()
        .acquire(claim("ann"), clock.clone())
        .await
        .unwrap();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(17)).await;
        ann.check(clock.now()).unwrap();
        assert!(
            place
                .open()
                .acquire(claim("bob"), clock.clone())
                .await
                .is_err()
        );
    }
    drop(ann);
    tokio::time::sleep(Duration::from_secs(TTL.unsigned_abs())).await;
    place.open().acquire(claim("bob"), clock).await.unwrap();
}

/// Fails every call while it is down.
#[derive(Debug, Default)]
struct Outage(AtomicU32);

#[async_trait]
impl Meddler for Outage {
    async fn before(&self, _: Call) -> object_store::Result<()> {
        if self.0.load(Ordering::SeqCst) == 1 {
            return Err(unreachable());
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_the_lease_in_time_and_the_background_brings_it_back() {
    let outage = Arc::new(Outage::default());
    let inner = Arc::new(InMemory::new());
    let store = Store::remote(meddled(inner, Arc::clone(&outage)), "test".to_owned());
    let ledger = Ledger::on(store, "bookinfo").unwrap();
    let start = tokio::time::Instant::now();
    let base = Hands::new().now();
    let clock = Clock::new(move || base + start.elapsed());
    let ann = ledger.acquire(claim("ann"), clock.clone()).await.unwrap();

    outage.0.store(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(45)).await;
    ann.check(clock.now()).unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let error = ann.check(clock.now()).unwrap_err().to_string();
    assert_eq!(
        error,
        "the lock ran out at 2001-09-09T01:47:30Z: failed to create \
         lock/0000000002.json in test/bookinfo: Generic test error: timed out: timed out"
    );
    tokio::time::sleep(Duration::from_secs(600)).await;
    outage.0.store(0, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(10)).await;
    ann.check(clock.now()).unwrap();
}

/// Has the effect and loses the reply of some writes.
#[derive(Debug)]
struct LostReplies(AtomicU32);

#[async_trait]
impl Meddler for LostReplies {
    async fn after(&self, call: Call) -> object_store::Result<()> {
        let due = call == Call::Put && self.0.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        if due { Err(unreachable()) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn an_own_write_whose_reply_was_lost_is_no_rival() {
    let inner = Arc::new(InMemory::new());
    let meddler = Arc::new(LostReplies(AtomicU32::new(0)));
    let store = Store::remote(meddled(inner, meddler), "test".to_owned());
    let ledger = Ledger::on(store, "bookinfo").unwrap();
    let hands = Hands::new();
    let ann = ledger.acquire(claim("ann"), hands.clock()).await.unwrap();
    ann.renew().await.unwrap();
    let mut run = ledger.begin_run(&ann, b"{}".to_vec()).await.unwrap();
    for entry in 0..5 {
        run.append(&[entry]).await.unwrap();
    }
    run.finish().await.unwrap();
    assert_eq!(
        ledger.runs::<u32>().await.unwrap()[0].entries,
        [0, 1, 2, 3, 4]
    );
    ann.release().await.unwrap();
    assert_eq!(ledger.held().await.unwrap(), None);
}

#[tokio::test]
async fn a_renewal_dropped_in_the_middle_does_not_cost_the_lease() {
    for place in Place::each() {
        let hands = Hands::new();
        let ledger = place.open();
        let ann = ledger.acquire(claim("ann"), hands.clock()).await.unwrap();
        for delay in 0..50 {
            let renewal = ann.renew();
            let limit = Duration::from_micros(delay * 20);
            // Either end is fine.
            let _ = tokio::time::timeout(limit, renewal).await;
        }
        ann.renew().await.unwrap();
        ann.check(hands.now()).unwrap();
        ann.release().await.unwrap();
        // Nothing of it comes later and takes the lock again.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(ledger.held().await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_background_never_takes_back_what_was_given_back() {
    for place in Place::each() {
        let claim = Claim {
            ttl: Duration::from_millis(120),
            ..claim("ann")
        };
        for round in 0..30 {
            let ledger = place.open();
            let lease = ledger
                .acquire(claim.clone(), Clock::system())
                .await
                .unwrap();
            // A renewal is due after 40 ms.
            tokio::time::sleep(Duration::from_micros(39_000 + round * 100)).await;
            lease.release().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(ledger.held().await.unwrap(), None, "round {round}");
        }
    }
}

#[test]
fn every_call_can_be_made_from_a_task() {
    fn may_move<T: Send>(_: T) {}
    fn calls(ledger: &Ledger, lease: Lease, run: &mut RunWriter) {
        may_move(ledger.acquire(claim("ann"), Clock::system()));
        may_move(ledger.take_runs::<u32>(&lease));
        may_move(ledger.forget_run(1));
        may_move(ledger.scopes());
        may_move(run.append(&[1]));
        may_move(lease.renew());
        may_move(lease.release());
    }
    // That it compiles is the test.
    let _: fn(&Ledger, Lease, &mut RunWriter) = calls;
}

#[tokio::test]
async fn a_short_claim_cannot_flood_the_store() {
    let place = Place::memory();
    let claim = Claim {
        ttl: Duration::ZERO,
        ..claim("ann")
    };
    let lease = place.open().acquire(claim, Clock::system()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(lease.check(Clock::system().now()).is_err());
    let newest = place.open().store.numbers("lock", 10).await.unwrap();
    assert!(newest.last().unwrap() < &15, "{newest:?}");
}
