//! The journals of runs: what a killed run leaves for the next to resume from.
//!
//! A run is named by the fence of the lease that it ran under. It has its plan,
//! the caller's own text, and numbered pages of entries, each made whole and
//! durable before the step goes on:
//!
//! ```text
//! runs/0000000042/plan.json
//! runs/0000000042/00000001.json, 00000002.json, …
//! runs/0000000042/done.json       the run needs no resuming
//! ```
//!
//! Invariants:
//! 1. One writer: a page is created, never replaced. Whoever resumes a run
//!    first *seals* it with a page of its own; the old writer, should it still
//!    live, finds its next number taken and stops.
//! 2. The pages of a run have no gap. Only text after which nothing but seals
//!    follows may be torn, and then it counts as never written.
//! 3. `done.json` is written before the first page of a run is deleted, and is
//!    deleted last. So a run that is half deleted never looks like one to
//!    resume: its first steps without their ends would be done again, and undo
//!    what later runs did.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Ledger;
use super::error::{LeaseLost, LedgerError};
use super::format::{self, FORMAT};
use super::lease::Lease;
use super::store::{Creation, Store};

/// The folder of all runs.
pub(super) const FOLDER: &str = "runs";
/// The digits of a run's number.
pub(super) const RUN_WIDTH: usize = 10;
/// The digits of a page's number.
pub(super) const PAGE_WIDTH: usize = 8;

/// One object with entries.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "E: DeserializeOwned"))]
pub(super) struct Page<E> {
    format: u32,
    token: Uuid,
    pub(super) entries: Vec<E>,
    /// The later run that took this one over; then there are no entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sealed_by: Option<u64>,
}

impl<E: Serialize> Page<E> {
    /// Makes the text of a page that holds entries.
    fn of(object: &str, token: Uuid, entries: Vec<E>) -> Result<Vec<u8>, LedgerError> {
        encode(
            object,
            &Self {
                format: FORMAT,
                token,
                entries,
                sealed_by: None,
            },
        )
    }
}

/// Makes the text of the page that ends a run for its writer.
pub(super) fn seal(object: &str, token: Uuid, by: u64) -> Result<Vec<u8>, LedgerError> {
    encode(
        object,
        &Page::<()> {
            format: FORMAT,
            token,
            entries: Vec::new(),
            sealed_by: Some(by),
        },
    )
}

fn encode<T: Serialize>(object: &str, value: &T) -> Result<Vec<u8>, LedgerError> {
    format::encode(value).map_err(|source| LedgerError::Unwritable {
        object: object.to_owned(),
        source,
    })
}

/// The text of `done.json`; that it is there says it all.
#[derive(Serialize)]
struct Done {
    format: u32,
}

/// Writes the journal of one run.
#[derive(Debug)]
pub struct RunWriter {
    store: Store,
    fence: u64,
    token: Uuid,
    next: u64,
    /// Whether a page may or may not be there: then none may follow it.
    broken: bool,
}

impl RunWriter {
    /// Returns the name of the run.
    pub fn fence(&self) -> u64 {
        self.fence
    }

    /// Writes entries, all or none; they are durable when it returns.
    ///
    /// Each call costs one round to the store: entries that belong together go
    /// into one. It does not look at the lease: an end that comes late is worth
    /// keeping as long as nobody has taken over.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] when a later run has taken over, or the
    /// store's. After any error, and when the call is dropped in the middle,
    /// the writer takes nothing more.
    pub async fn append<E: Serialize + Sync>(&mut self, entries: &[E]) -> Result<(), LedgerError> {
        if self.broken {
            return Err(LedgerError::WriterBroken { fence: self.fence });
        }
        if entries.is_empty() {
            return Ok(());
        }
        let object = page(self.fence, self.next);
        let bytes = Page::of(&object, self.token, entries.iter().collect())?;
        self.broken = true;
        match self.store.create(&object, bytes).await? {
            Creation::Created => {
                self.next += 1;
                self.broken = false;
                Ok(())
            }
            Creation::Exists(found) => Err(superseded(&self.store, self.fence, &object, &found)),
        }
    }

    /// Marks the run as one that needs no resuming.
    ///
    /// # Errors
    /// [`LedgerError::WriterBroken`] after an append that failed, or the store's.
    pub async fn finish(self) -> Result<(), LedgerError> {
        if self.broken {
            return Err(LedgerError::WriterBroken { fence: self.fence });
        }
        mark_done(&self.store, self.fence).await
    }
}

impl Ledger {
    /// Begins the one run of a lease.
    ///
    /// # Errors
    /// [`LedgerError::RunExists`] when the lease began a run before.
    pub async fn begin_run(&self, lease: &Lease, plan: Vec<u8>) -> Result<RunWriter, LedgerError> {
        let fence = lease.fence();
        match self.store.create(&plan_of(fence), plan).await? {
            Creation::Created => Ok(RunWriter {
                store: self.store.clone(),
                fence,
                token: lease.token(),
                next: 1,
                broken: false,
            }),
            Creation::Exists(_) => Err(LedgerError::RunExists { fence }),
        }
    }
}

/// Marks a run as one that needs no resuming. Safe to repeat.
pub(super) async fn mark_done(store: &Store, fence: u64) -> Result<(), LedgerError> {
    let object = done_of(fence);
    let bytes = encode(&object, &Done { format: FORMAT })?;
    match store.create(&object, bytes).await? {
        Creation::Created | Creation::Exists(_) => Ok(()),
    }
}

/// Tells whose page a writer found in its way.
fn superseded(store: &Store, fence: u64, object: &str, found: &[u8]) -> LedgerError {
    match format::decode::<Page<IgnoredAny>>(found) {
        Ok(page) => LeaseLost::Superseded {
            by: page.sealed_by.unwrap_or(fence),
        }
        .into(),
        Err(error) => store.unreadable(object, error),
    }
}

/// Returns the folder of a run.
pub(super) fn folder(fence: u64) -> String {
    format!("{FOLDER}/{fence:0RUN_WIDTH$}")
}

/// Returns the name of a page.
pub(super) fn page(fence: u64, number: u64) -> String {
    format!("{}/{}", folder(fence), format::name(number, PAGE_WIDTH))
}

/// Returns the name of a run's plan.
pub(super) fn plan_of(fence: u64) -> String {
    format!("{}/plan.json", folder(fence))
}

/// Returns the name of the mark that a run needs no resuming.
pub(super) fn done_of(fence: u64) -> String {
    format!("{}/done.json", folder(fence))
}
