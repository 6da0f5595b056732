//! Reads the journals of runs, takes them over, and forgets them.
//!
//! What is stored, and the invariants, are in [`super::log`].

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::Ledger;
use super::error::{LeaseLost, LedgerError};
use super::format::{self, Unreadable};
use super::lease::Lease;
use super::log::{self, FOLDER, PAGE_WIDTH, Page, RUN_WIDTH, done_of, folder, page, plan_of};
use super::store::Creation;

/// How many pages are read at a time.
const READERS: usize = 16;

/// How often to list again when a run is deleted while it is read.
const ATTEMPTS: u32 = 5;

/// How many pages a listing may miss that was made while they were written.
const MOST_MISSED: u64 = 1000;

/// A run as the ledger holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRun<E> {
    /// The fence of the lease that it ran under; its name.
    pub fence: u64,
    /// The plan, as it was given to [`Ledger::begin_run`].
    pub plan: Vec<u8>,
    /// All entries, in the order in which they were written.
    pub entries: Vec<E>,
    /// Whether it needs no resuming.
    pub finished: bool,
    /// The object at the end that was cut short by a crash, and counts as never written.
    pub torn: Option<String>,
}

/// What is there of a run.
#[derive(Debug, Default)]
struct Files {
    plan: bool,
    done: bool,
    pages: BTreeSet<u64>,
}

impl Ledger {
    /// Reads all runs, oldest first; changes nothing.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] and [`LedgerError::MissingEntry`] name a
    /// damaged page; a torn one at the end is no error.
    pub async fn runs<E: DeserializeOwned>(&self) -> Result<Vec<StoredRun<E>>, LedgerError> {
        let mut runs = Vec::new();
        for (fence, files) in self.run_files().await? {
            if files.plan
                && let Some(run) = self.read_run(fence).await?
            {
                runs.push(run);
            }
        }
        Ok(runs)
    }

    /// Takes over the runs of earlier writers, so that they can be resumed: seals
    /// the unfinished ones against writers that still live, and reads all.
    ///
    /// Safe to repeat.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] when a later writer has begun a run; and those of [`Ledger::runs`].
    pub async fn take_runs<E: DeserializeOwned>(
        &self,
        lease: &Lease,
    ) -> Result<Vec<StoredRun<E>>, LedgerError> {
        let mut all = self.run_files().await?;
        if let Some(by) = all.keys().copied().find(|fence| *fence > lease.fence()) {
            return Err(LeaseLost::Superseded { by }.into());
        }
        // It may have been about to begin its run.
        if let Some(predecessor) = lease.predecessor() {
            all.entry(predecessor).or_default();
        }
        for (fence, files) in all {
            if fence == lease.fence() {
                continue;
            }
            if files.plan || lease.predecessor() == Some(fence) {
                if !files.done {
                    self.seal(fence, &files, lease).await?;
                }
            } else {
                // What a deletion left that was cut short.
                self.forget_run(fence).await?;
            }
        }
        self.runs().await
    }

    /// Deletes a run. Safe to repeat, and to resume after a crash at any point.
    ///
    /// The caller has settled each of its steps, in this run or a later one.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget_run(&self, fence: u64) -> Result<(), LedgerError> {
        log::mark_done(&self.store, fence).await?;
        let pages = self.store.numbers(&folder(fence), PAGE_WIDTH).await?;
        for number in pages.into_iter().rev() {
            self.store.delete(&page(fence, number)).await?;
        }
        self.store.delete(&plan_of(fence)).await?;
        self.store.delete(&done_of(fence)).await
    }

    /// Returns the highest fence that names a run; 0 when there is none.
    pub(super) async fn highest_run(&self) -> Result<u64, LedgerError> {
        Ok(self.run_files().await?.keys().last().copied().unwrap_or(0))
    }

    async fn run_files(&self) -> Result<BTreeMap<u64, Files>, LedgerError> {
        let mut runs: BTreeMap<u64, Files> = BTreeMap::new();
        for name in self.store.list(FOLDER).await? {
            let Some((run, file)) = name.split_once('/') else {
                continue;
            };
            let Some(fence) = format::number(&format!("{run}.json"), RUN_WIDTH) else {
                continue;
            };
            match file {
                "plan.json" => runs.entry(fence).or_default().plan = true,
                "done.json" => runs.entry(fence).or_default().done = true,
                _ => {
                    if let Some(number) = format::number(file, PAGE_WIDTH) {
                        runs.entry(fence).or_default().pages.insert(number);
                    }
                }
            }
        }
        Ok(runs)
    }

    /// Reads a run; `None` when it is deleted meanwhile.
    async fn read_run<E: DeserializeOwned>(
        &self,
        fence: u64,
    ) -> Result<Option<StoredRun<E>>, LedgerError> {
        let mut missing = None;
        for _ in 0..ATTEMPTS {
            let names = self.store.list(&folder(fence)).await?;
            // After the listing: while it shows no `done.json` nothing was deleted yet.
            let Some(plan) = self.store.get(&plan_of(fence)).await? else {
                return Ok(None);
            };
            let finished = names.iter().any(|name| name == "done.json");
            let numbers: BTreeSet<u64> = names
                .iter()
                .filter_map(|name| format::number(name, PAGE_WIDTH))
                .collect();
            let last = numbers.last().copied().unwrap_or(0);
            let gap = (1..).zip(&numbers).find(|(want, have)| want != *have);
            if let Some((number, _)) = gap
                && last - numbers.len() as u64 > MOST_MISSED
            {
                return Err(LedgerError::MissingEntry {
                    object: page(fence, number),
                    place: self.store.place().to_owned(),
                });
            }
            // A listing is no moment in time: it may show a page that was written while it was
            // made and miss the one before, which was there by then.
            let pages: Vec<Option<Vec<u8>>> = stream::iter(1..=last)
                .map(|number| async move { self.store.get(&page(fence, number)).await })
                .buffered(READERS)
                .try_collect()
                .await?;
            missing = (1..)
                .zip(&pages)
                .find(|(_, page)| page.is_none())
                .map(|(number, _)| number);
            let Some(pages) = pages.into_iter().collect::<Option<Vec<_>>>() else {
                continue;
            };
            let (entries, torn) = self.read_pages(fence, &pages)?;
            return Ok(Some(StoredRun {
                fence,
                plan,
                entries,
                finished,
                torn,
            }));
        }
        match missing {
            Some(number) if self.store.get(&plan_of(fence)).await?.is_some() => {
                let names = self.store.list(&folder(fence)).await?;
                let later = names
                    .iter()
                    .filter_map(|name| format::number(name, PAGE_WIDTH))
                    .any(|known| known > number);
                match later {
                    true => Err(LedgerError::MissingEntry {
                        object: page(fence, number),
                        place: self.store.place().to_owned(),
                    }),
                    // It shrinks from one look to the next, so it is being forgotten.
                    false => Ok(None),
                }
            }
            Some(_) | None => Ok(None),
        }
    }

    fn read_pages<E: DeserializeOwned>(
        &self,
        fence: u64,
        pages: &[Vec<u8>],
    ) -> Result<(Vec<E>, Option<String>), LedgerError> {
        let mut entries = Vec::new();
        let mut torn: Option<(String, Unreadable)> = None;
        for (number, bytes) in (1..).zip(pages) {
            let object = page(fence, number);
            let read = match format::decode::<Page<E>>(bytes) {
                Ok(page) => Ok(page),
                Err(error @ Unreadable::Torn(_)) => Err(error),
                Err(error @ (Unreadable::Misfit(_) | Unreadable::Newer(_))) => {
                    return Err(self.store.unreadable(&object, error));
                }
            };
            let is_seal = read.as_ref().is_ok_and(|page| page.sealed_by.is_some());
            if let Some((earlier, error)) = torn.take_if(|_| !is_seal) {
                return Err(self.store.unreadable(&earlier, error));
            }
            match read {
                Ok(page) => entries.extend(page.entries),
                Err(error) => torn = Some((object, error)),
            }
        }
        Ok((entries, torn.map(|(object, _)| object)))
    }

    async fn seal(&self, fence: u64, files: &Files, lease: &Lease) -> Result<(), LedgerError> {
        let last = files.pages.last().copied().unwrap_or(0);
        if last > 0 && self.is_seal(&page(fence, last)).await? {
            return Ok(());
        }
        let mut number = last + 1;
        loop {
            let object = page(fence, number);
            let bytes = log::seal(&object, lease.token(), lease.fence())?;
            match self.store.create(&object, bytes).await? {
                Creation::Created => return Ok(()),
                // The old writer lives, and was quicker.
                Creation::Exists(_) => number += 1,
            }
        }
    }

    async fn is_seal(&self, object: &str) -> Result<bool, LedgerError> {
        let Some(bytes) = self.store.get(object).await? else {
            return Ok(false);
        };
        match format::decode::<Page<IgnoredAny>>(&bytes) {
            Ok(page) => Ok(page.sealed_by.is_some()),
            Err(Unreadable::Torn(_)) => Ok(false),
            Err(error @ (Unreadable::Misfit(_) | Unreadable::Newer(_))) => {
                Err(self.store.unreadable(object, error))
            }
        }
    }
}
