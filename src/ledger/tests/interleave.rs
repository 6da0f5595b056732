//! Any order of the calls of three writers, call by call: never two valid leases.
//!
//! Each call on the store is a point where any of the writers may go on, or
//! time may pass. Their clocks differ by as much as is promised to do no harm. No threads and no runtime: futures are polled by hand, so a
//! failing order is printed, and is the same when it is run again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use futures::FutureExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, local::LocalFileSystem};
use proptest::prelude::*;

use super::super::lease::Lease;
use super::super::store::Store;
use super::super::{Ledger, LedgerError};
use super::meddle::{Call, Meddler, meddled};
use super::{Hands, TTL, claim};

/// Stops once before each call.
#[derive(Debug)]
struct Pauses;

#[async_trait]
impl Meddler for Pauses {
    async fn before(&self, _: Call) -> object_store::Result<()> {
        let mut first = true;
        futures::future::poll_fn(|_| {
            if std::mem::take(&mut first) {
                Poll::Pending
            } else {
                Poll::Ready(Ok(()))
            }
        })
        .await
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The writer takes the lock, or with a lease renews it; or goes on with what it does.
    Go(usize),
    /// The writer gives the lock back, when it has it and does nothing else.
    Release(usize),
    /// The writer dies: what it was doing is never finished.
    Die(usize),
    /// Time passes.
    Wait(i64),
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        30 => (0..3_usize).prop_map(Step::Go),
        12 => (0..3_usize).prop_map(Step::Release),
        1 => (0..3_usize).prop_map(Step::Die),
        4 => (1..TTL * 3 / 2).prop_map(Step::Wait),
    ];
    // A run of one writer makes whole operations likely, and with them deep states.
    let steps = (step, 1..8_usize).prop_map(|(step, times)| match step {
        Step::Go(_) => vec![step; times],
        Step::Release(_) | Step::Die(_) | Step::Wait(_) => vec![step],
    });
    proptest::collection::vec(steps, most / 2..most).prop_map(|runs| runs.concat())
}

enum Outcome {
    Taken(Result<Lease, LedgerError>),
    Renewed(Result<(), LedgerError>),
    Released(Result<(), LedgerError>),
}

#[derive(Default)]
struct Writer {
    lease: Option<Arc<Lease>>,
    busy: Option<Pin<Box<dyn Future<Output = Outcome>>>>,
}

/// By how much the writers' clocks are ahead: less apart than a sixth of the time to live.
fn skews() -> impl Strategy<Value = [i64; 3]> {
    [0..TTL / 6, 0..TTL / 6, 0..TTL / 6]
}

/// Runs an order; returns how many times the lock was taken.
fn run(store: &Arc<dyn ObjectStore>, skews: [i64; 3], steps: &[Step]) -> usize {
    let clocks = skews.map(|skew| {
        let hands = Hands::new();
        hands.forward(skew);
        hands
    });
    let ledgers = ["ann", "bob", "cid"].map(|who| {
        let store = meddled(Arc::clone(store), Arc::new(Pauses));
        let ledger = Ledger::on(Store::remote(store, "test".to_owned()), "bookinfo").unwrap();
        (who, ledger)
    });
    let mut writers: [Writer; 3] = Default::default();
    let mut fences: Vec<u64> = Vec::new();
    for step in steps {
        match *step {
            Step::Wait(seconds) => clocks.iter().for_each(|hands| hands.forward(seconds)),
            Step::Die(writer) => writers[writer] = Writer::default(),
            Step::Release(writer) => {
                let writer = &mut writers[writer];
                if writer.busy.is_none()
                    && let Some(lease) = writer.lease.take()
                {
                    let lease = Arc::into_inner(lease).unwrap();
                    writer.busy = Some(lease.release().map(Outcome::Released).boxed_local());
                }
            }
            Step::Go(index) => {
                let writer = &mut writers[index];
                let lease = writer.lease.clone();
                let (who, ledger) = ledgers[index].clone();
                let clock = clocks[index].clock();
                let busy = writer.busy.get_or_insert_with(|| match lease {
                    None => {
                        Box::pin(
                            async move { Outcome::Taken(ledger.take(claim(who), clock).await) },
                        )
                    }
                    Some(lease) => Box::pin(async move { Outcome::Renewed(lease.renew().await) }),
                });
                let mut context = Context::from_waker(Waker::noop());
                let Poll::Ready(outcome) = busy.as_mut().poll(&mut context) else {
                    continue;
                };
                writer.busy = None;
                match outcome {
                    Outcome::Taken(Ok(lease)) => {
                        // One that was slow to hear of it may hear of it too late: it is
                        // no longer valid then, and a higher fence may be given out.
                        assert!(!fences.contains(&lease.fence()), "{fences:?}");
                        fences.push(lease.fence());
                        writer.lease = Some(Arc::new(lease));
                    }
                    Outcome::Renewed(Err(LedgerError::LeaseLost(_))) => writer.lease = None,
                    Outcome::Taken(Err(LedgerError::Locked(_)))
                    | Outcome::Renewed(Ok(()))
                    | Outcome::Released(Ok(()) | Err(LedgerError::LeaseLost(_))) => {}
                    Outcome::Taken(Err(error))
                    | Outcome::Renewed(Err(error))
                    | Outcome::Released(Err(error)) => panic!("{error}"),
                }
            }
        }
        let valid: Vec<u64> = writers
            .iter()
            .zip(&clocks)
            .filter_map(|(writer, hands)| Some((writer.lease.as_ref()?, hands)))
            .filter(|(lease, hands)| lease.check(hands.now()).is_ok())
            .map(|(lease, _)| lease.fence())
            .collect();
        assert!(valid.len() <= 1, "two valid leases: {valid:?}");
        assert!(
            valid.iter().all(|fence| fences.iter().max() == Some(fence)),
            "{valid:?} is valid, and {fences:?} were given out"
        );
    }
    fences.len()
}

#[test]
fn the_orders_reach_deep() {
    // Without this the properties below could pass by never taking a lock twice.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut taken = 0;
    for _ in 0..50 {
        let tree = steps(200).new_tree(&mut runner).unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        taken += run(
            &store,
            [0, 0, 0],
            &proptest::strategy::ValueTree::current(&tree),
        );
    }
    assert!(taken > 50 * 4, "{taken}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn in_memory_never_two_valid_leases(skews in skews(), steps in steps(200)) {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        run(&store, skews, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn in_a_folder_never_two_valid_leases(skews in skews(), steps in steps(120)) {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalFileSystem::new_with_prefix(dir.path()).unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(store.with_automatic_cleanup(true));
        run(&store, skews, &steps);
    }
}
