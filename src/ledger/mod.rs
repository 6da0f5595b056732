//! The ledger of a stack: what listing the clouds and the mesh cannot tell.
//!
//! It holds the [lock], the [journals](log) of runs, the [scopes] that were ever
//! used and the [record](applied) of what was applied last; small, and without secrets. It is not a copy of the world:
//! losing it loses nothing but the exactness of a resume.
//!
//! It may not know what a plan, a step or a machine is: entries, plans and
//! records are the caller's. All of it is made of creating, reading, listing
//! and deleting numbered objects (see `store.rs`), below `<url>/<stack>/`:
//!
//! ```text
//! lock/0000000042.json             one generation of the lock each
//! runs/0000000042/…                one run each
//! scopes/<hash>.json
//! applied/0000000042.json
//! ```
//!
//! Opening and reading create nothing, not even a folder.

pub mod applied;
mod cloud;
pub mod error;
mod folder;
pub mod format;
pub mod holder;
pub mod lease;
mod location;
pub mod lock;
pub mod log;
pub mod runs;
pub mod scopes;
mod store;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use error::{LeaseLost, LedgerError, Locked, Operation, UrlProblem};
pub use holder::Holder;
pub use lease::{Claim, Clock, DEFAULT_TTL, Lease};
pub use lock::{Held, Unlocked};
pub use log::RunWriter;
pub use runs::StoredRun;

use store::Store;

/// The ledger of one stack.
#[derive(Clone, Debug)]
pub struct Ledger {
    store: Store,
    stack: String,
}

impl Ledger {
    /// Opens the ledger of `stack` at a URL; looks at nothing and creates nothing.
    ///
    /// - `file://FOLDER`: relative folders start at `base_dir`;
    /// - `memory://NAME`: one store a name, for as long as this process lives;
    /// - `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`:
    ///   credentials, region and account come from the environment.
    ///
    /// # Errors
    /// [`LedgerError::BadUrl`] and [`LedgerError::BadStack`].
    pub fn open(url: &str, base_dir: &Path, stack: &str) -> Result<Self, LedgerError> {
        Self::on(Store::open(url, base_dir)?, stack)
    }

    fn on(store: Store, stack: &str) -> Result<Self, LedgerError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if stack.is_empty() || stack.len() > 63 || !stack.chars().all(fits) {
            return Err(LedgerError::BadStack(stack.to_owned()));
        }
        Ok(Self {
            store: store.below(stack),
            stack: stack.to_owned(),
        })
    }

    /// Returns the stack's name.
    pub fn stack(&self) -> &str {
        &self.stack
    }

    /// Returns where the ledger is, for people; it holds no credential.
    pub fn place(&self) -> &str {
        self.store.place()
    }
}
