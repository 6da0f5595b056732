//! The lock: one writer a stack, by creating numbered objects only.
//!
//! Each object `lock/NNNNNNNNNN.json` is a generation of the lock: somebody
//! took it, renewed it or gave it back. The highest number is the state. Who
//! wants to change the state creates the next number, which one writer alone
//! can do. The number of the taking is the fence: it grows with each writer.
//!
//! Invariants:
//! 1. The highest number never shrinks: only numbers that are at least three
//!    below it are deleted.
//! 2. A writer that slept between looking and creating may therefore fill a
//!    number that was deleted meanwhile. So a creation counts only when a
//!    listing made *after* it shows no higher number. Where a number was
//!    deleted a higher one exists for good, so this cannot be missed.
//! 3. Every object holds the token of one lease, so that a writer knows an
//!    object of its own whose reply got lost.
//!
//! What is asked of the store: that a listing begun after a creation returned
//! shows it. S3, GCS and Azure promise that; a folder gives it as long as its
//! listing is read in one go, and this one never holds more than a few files.
//!
//! Clocks: a lock expires by the clock of whoever looks at it. A holder stops
//! trusting its lease a sixth of the time to live early, and so the clocks of
//! the computers may differ by that much (10 s by default). Should they differ
//! more, a lock can be taken from a living holder; that one then learns it at
//! its next renewal, or from its sealed journal (see [`super::log`]).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Ledger;
use super::error::{LeaseLost, LedgerError, Locked};
use super::format::{self, FORMAT};
use super::holder::Holder;
use super::lease::{Claim, Clock, Lease};
use super::store::{Creation, Store};

const FOLDER: &str = "lock";
const WIDTH: usize = 10;

/// How many numbers below the highest are kept, for people who look at them.
const KEPT: u64 = 2;

/// How often to start over when others are quicker. Each such time another
/// writer took the lock *and* gave it back, so this many is not by chance.
const ATTEMPTS: u32 = 20;

/// A lock that was taken and not given back; it may have expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The number of the taking; no two writers of a stack have the same.
    pub fence: u64,
    /// Who took it.
    pub holder: Holder,
    /// When it ends unless it is renewed.
    pub expires_at: Timestamp,
}

/// What became of breaking a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlocked {
    /// Nobody had it; nothing was done.
    WasFree,
    /// It was taken from this writer.
    Broken(Held),
    /// It was taken from somebody; the lock's text was damaged.
    BrokenUnread,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Kind {
    Acquire,
    Renew,
    Release,
}

/// One generation of the lock, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Generation {
    format: u32,
    pub(super) kind: Kind,
    pub(super) fence: u64,
    pub(super) token: Uuid,
    pub(super) holder: Holder,
    pub(super) expires_at: Timestamp,
    /// Who gave it back in the holder's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) broken_by: Option<Holder>,
}

impl Generation {
    /// Makes a generation of a writer's own.
    pub(super) fn own(
        kind: Kind,
        fence: u64,
        token: Uuid,
        holder: Holder,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            format: FORMAT,
            kind,
            fence,
            token,
            holder,
            expires_at,
            broken_by: None,
        }
    }

    /// Returns who took a lease away, given a generation that came after its last.
    pub(super) fn into_loss(self) -> LeaseLost {
        match self.broken_by {
            Some(by) => LeaseLost::Broken { by: Box::new(by) },
            None => LeaseLost::TakenOver {
                by: Box::new(self.holder),
            },
        }
    }

    fn held(self) -> Option<Held> {
        match self.kind {
            Kind::Acquire | Kind::Renew => Some(Held {
                fence: self.fence,
                holder: self.holder,
                expires_at: self.expires_at,
            }),
            Kind::Release => None,
        }
    }
}

/// What became of the attempt to be the next generation.
pub(super) enum Advance {
    /// It is the lock's state now.
    Made,
    /// The number was used; this is by whom.
    Taken(Box<Generation>),
    /// Higher numbers exist: the look that led here was too old.
    Overtaken,
}

/// The highest generation.
enum Top {
    None,
    Read(u64, Box<Generation>),
    Damaged(u64, LedgerError),
}

impl Ledger {
    /// Takes the lock of the stack, and keeps it renewed in the background.
    ///
    /// The lock is free when it was never taken, was given back, has expired,
    /// or when its holder is certainly gone. Of several that try at a time one
    /// gets it. Needs a tokio runtime for the renewal, which ends with the lease.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] when another writer has it.
    pub async fn acquire(&self, claim: Claim, clock: Clock) -> Result<Lease, LedgerError> {
        let mut lease = self.take(claim, clock).await?;
        lease.keep_renewed();
        Ok(lease)
    }

    /// Takes the lock and leaves renewing to the caller.
    pub(super) async fn take(&self, claim: Claim, clock: Clock) -> Result<Lease, LedgerError> {
        for _ in 0..ATTEMPTS {
            let now = clock.now();
            let (number, predecessor) = match self.free_at(now).await? {
                Free::Never => (self.highest_run().await? + 1, None),
                Free::After { top, unfinished } => (top + 1, unfinished),
            };
            let expires_at = claim.expires_at(now);
            let token = Uuid::new_v4();
            let holder = claim.holder.clone();
            let next = Generation::own(Kind::Acquire, number, token, holder, expires_at);
            match advance(&self.store, number, &next).await? {
                Advance::Made => {
                    return Ok(Lease::new(
                        self.store.clone(),
                        &next,
                        claim,
                        clock,
                        predecessor,
                    ));
                }
                Advance::Taken(_) | Advance::Overtaken => {}
            }
        }
        Err(LedgerError::Contended {
            stack: self.stack.clone(),
            attempts: ATTEMPTS,
        })
    }

    /// Returns who has the lock, also when it has expired; `None` when nobody took it.
    ///
    /// # Errors
    /// The store's, and [`LedgerError::Unreadable`].
    pub async fn held(&self) -> Result<Option<Held>, LedgerError> {
        match top(&self.store).await? {
            Top::None => Ok(None),
            Top::Read(_, generation) => Ok(generation.held()),
            Top::Damaged(_, error) => Err(error),
        }
    }

    /// Breaks the lock, whoever has it, in the name of `by`.
    ///
    /// With `fence` only the lock that has this fence: so a person who was
    /// shown one holder does not break the next. Safe to repeat.
    ///
    /// # Errors
    /// [`LedgerError::LockMoved`] when another than `fence` has it by now.
    pub async fn force_unlock(
        &self,
        by: &Holder,
        fence: Option<u64>,
    ) -> Result<Unlocked, LedgerError> {
        for _ in 0..ATTEMPTS {
            let (number, broken) = match top(&self.store).await? {
                Top::None => return Ok(Unlocked::WasFree),
                Top::Damaged(_, error @ LedgerError::NewerFormat { .. }) => return Err(error),
                Top::Damaged(number, _) => (number, None),
                Top::Read(number, generation) => match generation.held() {
                    None => return Ok(Unlocked::WasFree),
                    Some(held) => (number, Some(held)),
                },
            };
            if let (Some(expected), Some(held)) = (fence, &broken)
                && expected != held.fence
            {
                return Err(LedgerError::LockMoved {
                    expected,
                    found: held.fence,
                    held: Box::new(held.holder.clone()),
                });
            }
            let release = Generation {
                format: FORMAT,
                kind: Kind::Release,
                fence: broken.as_ref().map_or(number, |held| held.fence),
                token: Uuid::new_v4(),
                holder: broken.as_ref().map_or(by, |held| &held.holder).clone(),
                expires_at: by.at,
                broken_by: Some(by.clone()),
            };
            match advance(&self.store, number + 1, &release).await? {
                Advance::Made => {
                    return Ok(broken.map_or(Unlocked::BrokenUnread, Unlocked::Broken));
                }
                Advance::Taken(_) | Advance::Overtaken => {}
            }
        }
        Err(LedgerError::Contended {
            stack: self.stack.clone(),
            attempts: ATTEMPTS,
        })
    }

    async fn free_at(&self, now: Timestamp) -> Result<Free, LedgerError> {
        let (top, generation) = match top(&self.store).await? {
            Top::None => return Ok(Free::Never),
            Top::Damaged(_, error) => return Err(error),
            Top::Read(number, generation) => (number, generation),
        };
        let (fence, broken) = (generation.fence, generation.broken_by.is_some());
        let Some(held) = generation.held() else {
            return Ok(Free::After {
                top,
                unfinished: broken.then_some(fence),
            });
        };
        if now < held.expires_at && !held.holder.is_gone() {
            return Err(LedgerError::Locked(Box::new(Locked {
                stack: self.stack.clone(),
                held,
            })));
        }
        Ok(Free::After {
            top,
            unfinished: Some(fence),
        })
    }
}

/// How a lock comes to be free.
enum Free {
    /// It was never taken.
    Never,
    /// After this number; `unfinished` is the fence of a holder that did not give it back.
    After { top: u64, unfinished: Option<u64> },
}

/// Tries to be the generation `number`, and on success deletes old ones.
pub(super) async fn advance(
    store: &Store,
    number: u64,
    next: &Generation,
) -> Result<Advance, LedgerError> {
    let object = object(number);
    let bytes = format::encode(next).map_err(|source| LedgerError::Unwritable {
        object: object.clone(),
        source,
    })?;
    if let Creation::Exists(found) = store.create(&object, bytes).await? {
        return Ok(Advance::Taken(Box::new(store.decode(&object, &found)?)));
    }
    let numbers = store.numbers(FOLDER, WIDTH).await?;
    if numbers.last().is_some_and(|highest| *highest > number) {
        return Ok(Advance::Overtaken);
    }
    for old in numbers.into_iter().filter(|old| old + KEPT < number) {
        // What cannot be deleted now is deleted by the next that comes by.
        if store.delete(&self::object(old)).await.is_err() {
            break;
        }
    }
    Ok(Advance::Made)
}

/// Returns who took a lease away whose last generation is no longer the highest.
pub(super) async fn loss(store: &Store) -> Result<Option<LeaseLost>, LedgerError> {
    match top(store).await? {
        Top::None => Ok(None),
        Top::Read(_, generation) => Ok(Some(generation.into_loss())),
        Top::Damaged(_, error) => Err(error),
    }
}

async fn top(store: &Store) -> Result<Top, LedgerError> {
    let mut seen = None;
    for _ in 0..ATTEMPTS {
        let Some(number) = store.numbers(FOLDER, WIDTH).await?.pop() else {
            return Ok(Top::None);
        };
        let object = object(number);
        let Some(bytes) = store.get(&object).await? else {
            // Deleted since: then there are higher ones by now.
            seen = Some(object);
            continue;
        };
        return Ok(match format::decode(&bytes) {
            Ok(generation) => Top::Read(number, Box::new(generation)),
            Err(error) => Top::Damaged(number, store.unreadable(&object, error)),
        });
    }
    Err(LedgerError::MissingEntry {
        object: seen.unwrap_or_else(|| FOLDER.to_owned()),
        place: store.place().to_owned(),
    })
}

fn object(number: u64) -> String {
    format!("{FOLDER}/{}", format::name(number, WIDTH))
}
