//! Which parts of which clouds a stack has ever used.
//!
//! So that machines are found also after their fleet has left the file.
//! A scope is written before anything is created in it, and never deleted.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use meshvm_provider_api::{Hash, Scope};
use serde::{Deserialize, Serialize};

use super::Ledger;
use super::error::LedgerError;
use super::format::{self, FORMAT};
use super::store::Creation;

const FOLDER: &str = "scopes";

/// How many scopes are read at a time.
const READERS: usize = 8;

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    scope: Scope,
}

impl Ledger {
    /// Adds a scope; durable when it returns. Safe to repeat.
    ///
    /// # Errors
    /// The store's.
    pub async fn add_scope(&self, scope: &Scope) -> Result<(), LedgerError> {
        let unwritable = |source| LedgerError::Unwritable {
            object: FOLDER.to_owned(),
            source,
        };
        // A scope's keys are ordered, so one scope has one text.
        let name = serde_json::to_vec(scope).map_err(unwritable)?;
        let object = format!("{FOLDER}/{}.json", Hash::of(name));
        let bytes = format::encode(&Stored {
            format: FORMAT,
            scope: scope.clone(),
        });
        match self
            .store
            .create(&object, bytes.map_err(unwritable)?)
            .await?
        {
            Creation::Created | Creation::Exists(_) => Ok(()),
        }
    }

    /// Returns all scopes that were ever added.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] rather than leaving out a scope, whose machines would be lost.
    pub async fn scopes(&self) -> Result<BTreeSet<Scope>, LedgerError> {
        let names = self.store.list(FOLDER).await?;
        let objects = names
            .into_iter()
            .filter(|name| name.ends_with(".json") && !name.contains('/'))
            .map(|name| format!("{FOLDER}/{name}"));
        stream::iter(objects)
            .map(|object| async move {
                let Some(bytes) = self.store.get(&object).await? else {
                    return Err(LedgerError::MissingEntry {
                        object,
                        place: self.store.place().to_owned(),
                    });
                };
                let stored: Stored = self.store.decode(&object, &bytes)?;
                Ok(stored.scope)
            })
            .buffered(READERS)
            .try_collect()
            .await
    }
}
