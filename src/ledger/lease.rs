//! A lock that is held, and the renewing of it.
//!
//! A lease is good until a while before its end, so that a call begun under it
//! is on its way before another writer may start. How the engine uses it: make
//! the *begin* of a step durable, then [`Lease::check`], then call the cloud.
//! A writer that was suspended in between finds its lease lost, and the begin
//! without an end is settled by whoever resumes.
//!
//! Invariant: a lease that was taken over or broken never becomes good again;
//! one that merely ran out does when a renewal succeeds, since that proves that
//! nobody had it meanwhile.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::error::{LeaseLost, LedgerError, chain};
use super::holder::Holder;
use super::lock::{self, Advance, Generation, Kind};
use super::store::Store;

/// A time to live that outlasts two lost renewals, and after which a person may wait for it.
pub const DEFAULT_TTL: Duration = Duration::from_secs(60);

/// What a shorter time to live is renewed as, so that it cannot flood the store.
const SHORTEST_TTL: Duration = Duration::from_millis(100);

/// Tells the time; tests pass their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Returns the clock of this computer.
    pub fn system() -> Self {
        Self::new(Timestamp::now)
    }

    /// Makes a clock of a function.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the time.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Who wants a lock, and for how long at a time.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who.
    pub holder: Holder,
    /// How long the lock lasts without renewal; renewed every third of it.
    pub ttl: Duration,
}

impl Claim {
    pub(super) fn expires_at(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.ttl).unwrap_or(Timestamp::MAX)
    }

    /// Returns when the holder itself stops trusting a lease that ends at `end`.
    fn trusted_until(&self, end: Timestamp) -> Timestamp {
        end.saturating_sub(self.ttl / 6).unwrap_or(Timestamp::MIN)
    }
}

/// A held lock.
///
/// Dropped without [`Lease::release`] it ends by itself at its time, as after a crash.
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    renewal: Option<Renewal>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    clock: Clock,
    claim: Claim,
    fence: u64,
    token: Uuid,
    predecessor: Option<u64>,
    /// The lease's newest generation; whoever makes the next holds it.
    newest: tokio::sync::Mutex<u64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    expires_at: Timestamp,
    /// Set once and for good.
    lost: Option<LeaseLost>,
    /// Why the last renewal failed.
    trouble: Option<String>,
}

/// The background task; it ends with this.
#[derive(Debug)]
struct Renewal(JoinHandle<()>);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Lease {
    pub(super) fn new(
        store: Store,
        taken: &Generation,
        claim: Claim,
        clock: Clock,
        predecessor: Option<u64>,
    ) -> Self {
        let shared = Shared {
            store,
            clock,
            claim,
            fence: taken.fence,
            token: taken.token,
            predecessor,
            newest: tokio::sync::Mutex::new(taken.fence),
            state: Mutex::new(State {
                expires_at: taken.expires_at,
                lost: None,
                trouble: None,
            }),
        };
        Self {
            shared: Arc::new(shared),
            renewal: None,
        }
    }

    pub(super) fn keep_renewed(&mut self) {
        let shared = Arc::clone(&self.shared);
        self.renewal = Some(Renewal(tokio::spawn(renew_forever(shared))));
    }

    /// Returns the fence: it is higher than that of any writer before, and the name of the run.
    pub fn fence(&self) -> u64 {
        self.shared.fence
    }

    /// Returns the fence of the writer that this one found dead, expired or broken.
    pub fn predecessor(&self) -> Option<u64> {
        self.shared.predecessor
    }

    /// Returns the token that no other writer's objects hold.
    pub(super) fn token(&self) -> Uuid {
        self.shared.token
    }

    /// Checks that the lease is good at `now`; cheap, no I/O.
    ///
    /// To be called right before each call that changes the world, after its
    /// begin is durable.
    ///
    /// # Errors
    /// Why it is not, or not at present.
    pub fn check(&self, now: Timestamp) -> Result<(), LeaseLost> {
        let state = self.shared.state();
        if let Some(lost) = &state.lost {
            return Err(lost.clone());
        }
        let until = self.shared.claim.trusted_until(state.expires_at);
        if now < until {
            return Ok(());
        }
        Err(LeaseLost::Expired {
            at: until,
            cause: state.trouble.clone(),
        })
    }

    /// Renews the lease now; the background does this by itself.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] when another writer has the lock; or the
    /// store's, after which it may be tried again.
    pub async fn renew(&self) -> Result<(), LedgerError> {
        self.shared.renew().await
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] when another writer has it already; or the
    /// store's, after which it ends by itself at its time.
    pub async fn release(mut self) -> Result<(), LedgerError> {
        self.renewal = None;
        let mut newest = self.shared.newest.lock().await;
        let now = self.shared.clock.now();
        let outcome = self.shared.next(&mut newest, Kind::Release, now).await;
        // Ending the background only asks it to stop: it may be about to renew,
        // waiting for `newest`, and would take the lock again.
        let mut state = self.shared.state();
        state.lost.get_or_insert(LeaseLost::Released);
        outcome
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code can panic while it holds this, and no half-made change is possible.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn renew(&self) -> Result<(), LedgerError> {
        let mut newest = self.newest.lock().await;
        // Taken before the call, so that the call's own length is no part of the lease.
        let end = self.claim.expires_at(self.clock.now());
        let outcome = self.next(&mut newest, Kind::Renew, end).await;
        let mut state = self.state();
        match &outcome {
            Ok(()) => {
                state.expires_at = end;
                state.trouble = None;
            }
            Err(error) => state.trouble = Some(chain(error)),
        }
        outcome
    }

    /// Makes the next generation of this lease.
    async fn next(
        &self,
        newest: &mut u64,
        kind: Kind,
        expires_at: Timestamp,
    ) -> Result<(), LedgerError> {
        loop {
            if let Some(lost) = &self.state().lost {
                return Err(lost.clone().into());
            }
            let holder = self.claim.holder.clone();
            let next = Generation::own(kind, self.fence, self.token, holder, expires_at);
            let lost = match lock::advance(&self.store, *newest + 1, &next).await? {
                Advance::Made => {
                    *newest += 1;
                    return Ok(());
                }
                // An earlier renewal, given up on in the middle, had its effect after all.
                Advance::Taken(found) if found.token == self.token => {
                    *newest += 1;
                    continue;
                }
                Advance::Taken(found) => found.into_loss(),
                Advance::Overtaken => match lock::loss(&self.store).await? {
                    Some(lost) => lost,
                    // The lock's objects were deleted by hand after we saw them.
                    None => LeaseLost::Expired {
                        at: self.clock.now(),
                        cause: Some("the lock is gone from the ledger".to_owned()),
                    },
                },
            };
            self.state().lost = Some(lost.clone());
            return Err(lost.into());
        }
    }
}

async fn renew_forever(shared: Arc<Shared>) {
    let ttl = shared.claim.ttl.max(SHORTEST_TTL);
    let mut pause = ttl / 3;
    loop {
        tokio::time::sleep(pause).await;
        pause = match shared.renew().await {
            Ok(()) => ttl / 3,
            Err(LedgerError::LeaseLost(_)) => return,
            // Kept up also past the end: as long as nobody takes the lock, it can come back.
            Err(_) => ttl / 12,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    #[tokio::test]
    async fn a_renewal_that_comes_after_the_release_does_nothing() {
        let here = std::path::Path::new("/");
        let ledger = Ledger::open("memory://lease-release", here, "bookinfo").unwrap();
        let claim = Claim {
            holder: Holder::this_process("ann", "laptop", "apply", Timestamp::UNIX_EPOCH),
            ttl: DEFAULT_TTL,
        };
        let lease = ledger.acquire(claim, Clock::system()).await.unwrap();
        let background = Arc::clone(&lease.shared);
        lease.release().await.unwrap();
        let late = background.renew().await;
        assert!(matches!(
            late,
            Err(LedgerError::LeaseLost(LeaseLost::Released))
        ));
        assert_eq!(ledger.held().await.unwrap(), None);
    }
}
