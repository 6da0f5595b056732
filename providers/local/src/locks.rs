//! Locks between processes of this computer.
//!
//! A lock is a file, or a folder, that is held by the system for as long as its
//! holder lives: a killed process holds nothing. The order in which several are
//! taken is: a machine's folder, the data folder, this computer.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::files::{FileError, doing};

/// A held lock; given back when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock of a file, which is made when it is missing.
    ///
    /// `waiting` is called when another process holds it. The file may be
    /// deleted by its holder.
    pub fn file(path: &Path, waiting: impl Fn()) -> Result<Self, FileError> {
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)
                .map_err(doing("open", path))?;
            if let Some(lock) = Self::hold(file, path, &waiting)? {
                return Ok(lock);
            }
        }
    }

    /// Waits for the lock of a folder; `None` when there is none.
    pub fn folder(path: &Path) -> Result<Option<Self>, FileError> {
        loop {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(doing("open", path)(error)),
            };
            if let Some(lock) = Self::hold(file, path, &|| {})? {
                return Ok(Some(lock));
            }
        }
    }

    /// Returns whether another holds the lock of a folder right now.
    pub fn is_held(path: &Path) -> Result<bool, FileError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(doing("open", path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(doing("lock", path)(error)),
        }
    }

    /// Locks an open file; `None` when the path came to mean another file while waiting.
    fn hold(file: File, path: &Path, waiting: &impl Fn()) -> Result<Option<Self>, FileError> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock().map_err(doing("lock", path))?;
            }
            Err(TryLockError::Error(error)) => return Err(doing("lock", path)(error)),
        }
        let held = file.metadata().map_err(doing("read", path))?;
        match fs::metadata(path) {
            Ok(now) if (now.dev(), now.ino()) == (held.dev(), held.ino()) => {
                Ok(Some(Self { _file: file }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(doing("read", path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_lock_is_held_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::file(&path, || panic!("nobody holds it")).unwrap();
        let (told, tell) = mpsc::channel();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| Lock::file(&path, || told.send(()).unwrap()).unwrap());
            tell.recv().unwrap();
            // Its holder may delete it: who waited then holds the new one.
            fs::remove_file(&path).unwrap();
            drop(lock);
            let second = waiter.join().unwrap();
            assert!(path.exists());
            drop(second);
        });
    }

    #[test]
    fn a_folder_is_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!Lock::is_held(folder.path()).unwrap());
        let lock = Lock::folder(folder.path()).unwrap();
        assert!(Lock::is_held(folder.path()).unwrap());
        drop(lock);
        assert!(!Lock::is_held(folder.path()).unwrap());
        assert!(Lock::folder(&folder.path().join("none")).unwrap().is_none());
    }
}
