//! The few calls on an object store that a ledger is made of.
//!
//! Create if absent, read, list and delete: every store has these, so nothing
//! else may be asked of one. In particular nothing here overwrites or updates.
//!
//! Invariants:
//! 1. When [`Store::create`] returns, what it wrote survives a power cut.
//! 2. A `create` whose reply was lost is not mistaken for another writer's: an
//!    object found in the way that holds the same bytes is our own. So callers
//!    put something into each object that no other writer would.
//! 3. Reading creates nothing; the first `create` makes the folder.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path as FsPath;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::{Path, PathPart};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use serde::de::DeserializeOwned;

use super::cloud;
use super::error::{LedgerError, Operation, io_error};
use super::folder::Folder;
use super::format::{self, Unreadable};
use super::location::Location;

/// How often a `create` is sent when its outcome stays unknown. The store's
/// client has its own retries below this, for what certainly had no effect.
const ATTEMPTS: u32 = 4;

/// What is waited after the first unknown outcome; it doubles with each.
const PAUSE: Duration = Duration::from_millis(200);

static MEMORIES: LazyLock<Mutex<BTreeMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);

/// One ledger's part of an object store.
#[derive(Clone, Debug)]
pub(super) struct Store {
    backend: Backend,
    prefix: Path,
    place: String,
}

#[derive(Clone, Debug)]
enum Backend {
    /// A folder of this computer: what it answers is certain.
    Folder(Arc<Folder>),
    /// A store behind a network, or one like it: replies may get lost.
    Remote(Arc<dyn ObjectStore>),
}

/// What became of a `create`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Creation {
    /// The object is there, and ours.
    Created,
    /// Another writer's object is there; this is what it holds.
    Exists(Vec<u8>),
}

impl Store {
    /// Connects to the store of a URL; looks at nothing and creates nothing.
    pub(super) fn open(url: &str, base_dir: &FsPath) -> Result<Self, LedgerError> {
        let location = Location::parse(url, base_dir)?;
        let place = location.shown();
        Ok(match location {
            Location::Folder { path, anchor } => Self {
                backend: Backend::Folder(Arc::new(Folder::new(path, anchor))),
                prefix: Path::ROOT,
                place,
            },
            Location::Memory(name) => {
                let mut memories = MEMORIES.lock().unwrap_or_else(PoisonError::into_inner);
                let memory = Arc::clone(memories.entry(name).or_default());
                Self::remote(memory, place)
            }
            Location::Bucket {
                cloud,
                name,
                prefix,
            } => Self {
                prefix,
                ..Self::remote(cloud::connect(cloud, &name, &place)?, place)
            },
        })
    }

    /// Takes a store that exists already.
    pub(super) fn remote(store: Arc<dyn ObjectStore>, place: String) -> Self {
        Self {
            backend: Backend::Remote(store),
            prefix: Path::ROOT,
            place,
        }
    }

    /// Returns the part of the store below a folder.
    pub(super) fn below(mut self, folder: &str) -> Self {
        self.prefix = self.prefix.join(folder);
        self.place = format!("{}/{folder}", self.place.trim_end_matches('/'));
        self
    }

    /// Returns the store's name for people.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Creates an object that is not there; durable when it returns `Created`.
    ///
    /// Safe to repeat with the same bytes.
    pub(super) async fn create(&self, name: &str, bytes: Vec<u8>) -> Result<Creation, LedgerError> {
        let store = match &self.backend {
            Backend::Folder(folder) => folder.for_writing()?,
            Backend::Remote(store) => Arc::clone(store),
        };
        let (path, payload) = (self.path(name), PutPayload::from(bytes.clone()));
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            let options = PutMode::Create.into();
            let error = match store.put_opts(&path, payload.clone(), options).await {
                Ok(_) => return Ok(Creation::Created),
                Err(error) => error,
            };
            if matches!(error, object_store::Error::AlreadyExists { .. }) {
                match self.get(name).await? {
                    Some(found) if found == bytes => return Ok(Creation::Created),
                    Some(found) => return Ok(Creation::Exists(found)),
                    // Deleted in between, or a store that answers a conflict of two
                    // writers so; both end with one more try.
                    None if attempt < ATTEMPTS => {}
                    None => return Err(self.failed(Operation::Create, name, error)),
                }
            } else if attempt < ATTEMPTS && self.may_be_lost(&error) {
                tokio::time::sleep(pause).await;
                pause *= 2;
            } else {
                return Err(self.failed(Operation::Create, name, error));
            }
            attempt += 1;
        }
    }

    /// Reads an object; `None` when there is none.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let Some(store) = self.for_reading()? else {
            return Ok(None);
        };
        let read = async { store.get(&self.path(name)).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(Operation::Read, name, error)),
        }
    }

    /// Lists the names of all objects below a folder, relative to it, in order.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<String>, LedgerError> {
        let Some(store) = self.for_reading()? else {
            return Ok(Vec::new());
        };
        let path = self.path(folder);
        let found: Vec<_> = store
            .list(Some(&path))
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .map_err(|error| self.failed(Operation::List, folder, error))?;
        let mut names: Vec<String> = found
            .iter()
            .filter_map(|location| location.prefix_match(&path))
            .map(|parts| parts.map(as_text).collect::<Vec<_>>().join("/"))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Lists the numbered objects of a folder, in order; others are ignored.
    pub(super) async fn numbers(
        &self,
        folder: &str,
        width: usize,
    ) -> Result<Vec<u64>, LedgerError> {
        let names = self.list(folder).await?;
        let mut numbers: Vec<u64> = names
            .iter()
            .filter_map(|name| format::number(name, width))
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Deletes an object; one that is not there counts as deleted.
    pub(super) async fn delete(&self, name: &str) -> Result<(), LedgerError> {
        let Some(store) = self.for_reading()? else {
            return Ok(());
        };
        match store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(Operation::Delete, name, error)),
        }
    }

    /// Reads what an object says; torn text is an error like any other.
    pub(super) fn decode<T: DeserializeOwned>(
        &self,
        name: &str,
        bytes: &[u8],
    ) -> Result<T, LedgerError> {
        format::decode(bytes).map_err(|error| self.unreadable(name, error))
    }

    /// Turns trouble with what an object says into an error that names it.
    pub(super) fn unreadable(&self, object: &str, error: Unreadable) -> LedgerError {
        let (object, place) = (object.to_owned(), self.place.clone());
        match error {
            Unreadable::Torn(source) | Unreadable::Misfit(source) => LedgerError::Unreadable {
                object,
                place,
                source,
            },
            Unreadable::Newer(found) => LedgerError::NewerFormat {
                object,
                place,
                found,
                known: format::FORMAT,
            },
        }
    }

    fn path(&self, name: &str) -> Path {
        name.split('/')
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn for_reading(&self) -> Result<Option<Arc<dyn ObjectStore>>, LedgerError> {
        match &self.backend {
            Backend::Folder(folder) => folder.for_reading(),
            Backend::Remote(store) => Ok(Some(Arc::clone(store))),
        }
    }

    /// Returns whether a failed `create` may have had its effect, so that sending it again tells.
    fn may_be_lost(&self, error: &object_store::Error) -> bool {
        match self.backend {
            Backend::Folder(_) => false,
            Backend::Remote(_) => {
                matches!(error, object_store::Error::Generic { .. }) && !is_denied(error)
            }
        }
    }

    fn failed(&self, operation: Operation, name: &str, source: object_store::Error) -> LedgerError {
        let (object, place) = (name.to_owned(), self.place.clone());
        match source {
            object_store::Error::Unauthenticated { .. } => LedgerError::Unauthenticated {
                operation,
                object,
                place,
                source,
            },
            source if is_denied(&source) => LedgerError::PermissionDenied {
                operation,
                object,
                place,
                source: Box::new(source),
            },
            source => LedgerError::Store {
                operation,
                object,
                place,
                source,
            },
        }
    }
}

/// Returns whether the store, or the kernel below it, refused for lack of rights.
fn is_denied(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::PermissionDenied { .. })
        || io_error(error).is_some_and(|io| {
            matches!(
                io.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            )
        })
}

fn as_text(part: PathPart<'_>) -> String {
    part.as_ref().to_owned()
}
