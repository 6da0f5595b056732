//! Which parts of which clouds a stack has ever used.
//!
//! So that machines are found also after their fleet has left the file.
//! A scope is written before anything is created in it, and never deleted: where it is reached
//! in another way from now on, that is written beside it under the next number.

use std::cmp::Reverse;
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

/// Returns what the objects of a scope are called, up to their number.
fn name_of(scope: &Scope) -> Result<String, serde_json::Error> {
    // The keys are ordered, so one scope has one text.
    let identity = serde_json::to_vec(&(&scope.provider, &scope.key))?;
    Ok(Hash::of(identity).to_string())
}

/// Returns the number of an object; the first has none in its name.
fn number_of(object: &str) -> u64 {
    let name = object.trim_end_matches(".json");
    let number = name.rsplit_once('-').and_then(|(_, it)| it.parse().ok());
    number.unwrap_or_default()
}

impl Ledger {
    /// Adds a scope, or how it is reached from now on; durable when it returns. Safe to repeat.
    ///
    /// # Errors
    /// The store's, and [`LedgerError::Unreadable`] when what is known of it cannot be read.
    pub async fn add_scope(&self, scope: &Scope) -> Result<(), LedgerError> {
        let unwritable = |source| LedgerError::Unwritable {
            object: FOLDER.to_owned(),
            source,
        };
        let name = name_of(scope).map_err(unwritable)?;
        let known = self.known_scopes(&format!("{FOLDER}/{name}")).await?;
        let newest = known.iter().max_by_key(|(object, _)| number_of(object));
        if newest.is_some_and(|(_, known)| known.access == scope.access) {
            return Ok(());
        }
        let object = match newest {
            None => format!("{FOLDER}/{name}.json"),
            Some((object, _)) => format!("{FOLDER}/{name}-{}.json", number_of(object) + 1),
        };
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

    /// Returns all scopes that were ever added, as they were reached last.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] rather than leaving out a scope, whose machines would be lost.
    pub async fn scopes(&self) -> Result<BTreeSet<Scope>, LedgerError> {
        let mut known = self.known_scopes(FOLDER).await?;
        known.sort_by_key(|(object, _)| Reverse(number_of(object)));
        let mut scopes = BTreeSet::new();
        for (_, scope) in known {
            // Of equal ones it keeps the first.
            scopes.insert(scope);
        }
        Ok(scopes)
    }

    /// Reads the scopes whose objects begin so.
    async fn known_scopes(&self, begin: &str) -> Result<Vec<(String, Scope)>, LedgerError> {
        let names = self.store.list(FOLDER).await?;
        let objects = names
            .into_iter()
            .filter(|name| name.ends_with(".json") && !name.contains('/'))
            .map(|name| format!("{FOLDER}/{name}"))
            .filter(|object| object.starts_with(begin));
        stream::iter(objects)
            .map(|object| async move {
                let Some(bytes) = self.store.get(&object).await? else {
                    return Err(LedgerError::MissingEntry {
                        object,
                        place: self.store.place().to_owned(),
                    });
                };
                let stored: Stored = self.store.decode(&object, &bytes)?;
                Ok((object, stored.scope))
            })
            .buffered(READERS)
            .try_collect()
            .await
    }
}
