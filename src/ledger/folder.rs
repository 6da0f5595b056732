//! A ledger in a folder of this computer.
//!
//! The folder is made by the first write. The folder that it lies in is never
//! made: when that one is missing, a disk is not mounted or the path is wrong,
//! and an empty ledger in its place would be a second truth.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use super::error::{LedgerError, Operation};

/// A folder that may not be there yet.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    anchor: PathBuf,
    opened: OnceLock<Arc<LocalFileSystem>>,
}

impl Folder {
    /// Names the folder, and the one above it that must exist; looks at neither.
    pub(super) fn new(path: PathBuf, anchor: PathBuf) -> Self {
        Self {
            path,
            anchor,
            opened: OnceLock::new(),
        }
    }

    /// Opens the folder; `None` when nothing was ever written.
    pub(super) fn for_reading(&self) -> Result<Option<Arc<dyn ObjectStore>>, LedgerError> {
        if let Some(store) = self.opened.get() {
            return Ok(Some(Arc::clone(store) as _));
        }
        if look(&self.path)? == Seen::Folder {
            return self.open().map(Some);
        }
        self.require_anchor()?;
        Ok(None)
    }

    /// Opens the folder, and makes it when it is not there.
    pub(super) fn for_writing(&self) -> Result<Arc<dyn ObjectStore>, LedgerError> {
        if let Some(store) = self.opened.get() {
            return Ok(Arc::clone(store) as _);
        }
        if look(&self.path)? == Seen::Nothing {
            self.require_anchor()?;
            make(&self.path).map_err(|error| trouble(&self.path, Operation::Create, error))?;
        }
        self.open()
    }

    fn require_anchor(&self) -> Result<(), LedgerError> {
        match look(&self.anchor)? {
            Seen::Folder => Ok(()),
            Seen::Nothing => Err(LedgerError::MissingFolder {
                path: self.anchor.clone(),
            }),
        }
    }

    fn open(&self) -> Result<Arc<dyn ObjectStore>, LedgerError> {
        let store =
            LocalFileSystem::new_with_prefix(&self.path).map_err(|source| LedgerError::Store {
                operation: Operation::Read,
                object: "the folder".to_owned(),
                place: self.path.display().to_string(),
                source,
            })?;
        // Deletes are not flushed, but file systems with a journal keep their order, which
        // is all that forgetting a run asks for. Cleanup takes the folders of forgotten runs away with their last file.
        let store = store.with_fsync(true).with_automatic_cleanup(true);
        Ok(Arc::clone(self.opened.get_or_init(|| Arc::new(store))) as _)
    }
}

#[derive(PartialEq, Eq)]
enum Seen {
    Folder,
    Nothing,
}

fn look(path: &Path) -> Result<Seen, LedgerError> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(Seen::Folder),
        Ok(_) => Err(LedgerError::NotAFolder {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Seen::Nothing),
        Err(error) => Err(trouble(path, Operation::Read, error)),
    }
}

/// Makes a folder and those above it, so that a power cut cannot take them away again.
fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().ok_or(error)?;
            // Where it is there and its folder still cannot be made, as in /proc, it never will.
            make(parent)?;
            fs::create_dir(path).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists if path.is_dir() => Ok(()),
                _ => Err(error),
            })?;
        }
        // Another process was quicker; it may not have got to the flush yet.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(error),
    }
    path.parent()
        .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

fn trouble(path: &Path, operation: Operation, error: io::Error) -> LedgerError {
    match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => LedgerError::NotAFolder {
            path: in_the_way(path).to_owned(),
        },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            LedgerError::PermissionDenied {
                operation,
                object: "the folder".to_owned(),
                place: path.display().to_string(),
                source: Box::new(error),
            }
        }
        _ => LedgerError::Store {
            operation,
            object: "the folder".to_owned(),
            place: path.display().to_string(),
            source: object_store::Error::Generic {
                store: "LocalFileSystem",
                source: Box::new(error),
            },
        },
    }
}

/// Returns the part of a path that is there and is no folder.
fn in_the_way(path: &Path) -> &Path {
    path.ancestors()
        .find(|part| fs::metadata(part).is_ok_and(|found| !found.is_dir()))
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_be_made_is_refused() {
        assert!(make(Path::new("/proc/nope")).is_err());
        assert!(make(Path::new("/proc/nope/deeper")).is_err());
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        make(&deep).unwrap();
        make(&deep).unwrap();
        assert!(deep.is_dir());
    }
}
