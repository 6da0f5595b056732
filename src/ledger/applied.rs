//! What the last successful run left for the next plan to know.
//!
//! A record is the caller's own JSON, one a run, named by its fence. The newest
//! that is readable counts; a few older ones stay for people to look at.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Ledger;
use super::error::LedgerError;
use super::format::{self, FORMAT, Unreadable};
use super::lease::Lease;
use super::store::Creation;

const FOLDER: &str = "applied";
const WIDTH: usize = 10;

/// How many records stay: the newest, one should it be torn, and one to look back at.
const KEPT: usize = 3;

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "R: DeserializeOwned"))]
struct Stored<R> {
    format: u32,
    record: R,
}

impl Ledger {
    /// Writes the record of a lease's run, and deletes old ones.
    ///
    /// A lease has one record: the first counts. Safe to repeat.
    ///
    /// # Errors
    /// The store's.
    pub async fn record_applied<R: Serialize + Sync>(
        &self,
        lease: &Lease,
        record: &R,
    ) -> Result<(), LedgerError> {
        let object = object(lease.fence());
        let bytes = format::encode(&Stored {
            format: FORMAT,
            record,
        });
        let bytes = bytes.map_err(|source| LedgerError::Unwritable {
            object: object.clone(),
            source,
        })?;
        match self.store.create(&object, bytes).await? {
            Creation::Created | Creation::Exists(_) => {}
        }
        let numbers = self.store.numbers(FOLDER, WIDTH).await?;
        for old in numbers.iter().rev().skip(KEPT) {
            self.store.delete(&self::object(*old)).await?;
        }
        Ok(())
    }

    /// Returns the newest record that is readable; `None` when there is none.
    ///
    /// # Errors
    /// [`LedgerError::NewerFormat`] and [`LedgerError::Unreadable`]; a record
    /// that a crash cut short is passed over.
    pub async fn last_applied<R: DeserializeOwned>(&self) -> Result<Option<R>, LedgerError> {
        for number in self.store.numbers(FOLDER, WIDTH).await?.into_iter().rev() {
            let object = object(number);
            let Some(bytes) = self.store.get(&object).await? else {
                continue;
            };
            match format::decode::<Stored<R>>(&bytes) {
                Ok(stored) => return Ok(Some(stored.record)),
                Err(Unreadable::Torn(_)) => {}
                Err(error @ (Unreadable::Misfit(_) | Unreadable::Newer(_))) => {
                    return Err(self.store.unreadable(&object, error));
                }
            }
        }
        Ok(None)
    }
}

fn object(number: u64) -> String {
    format!("{FOLDER}/{}", format::name(number, WIDTH))
}
