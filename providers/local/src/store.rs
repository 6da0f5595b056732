//! The folder of machines: `machines/<name>/machine.json` and whatever a backend puts beside it.
//!
//! Invariants:
//! 1. A machine's folder appears in one step, with its record and everything in it on disk.
//! 2. Who changes a machine holds the lock of its folder; who makes or finally
//!    removes one holds the lock of the data folder.
//! 3. A folder without a record is no machine: it is what a killed process left, and swept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use meshvm_provider_api::MachineId;
use uuid::Uuid;

use crate::files::{self, FileError, doing};
use crate::locks::Lock;
use crate::record::{Record, RecordError, name_of};

/// The store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A record cannot be read.
    #[error("{} cannot be used", path.display())]
    Record {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: RecordError,
    },
    /// A record cannot be written.
    #[error("{} cannot be written", path.display())]
    Unwritable {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// A machine: where it is, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub folder: PathBuf,
    pub record: Record,
}

/// A machine that nobody else changes meanwhile.
pub(crate) struct Locked {
    pub entry: Entry,
    _lock: Lock,
}

/// The machines of a data folder.
pub(crate) struct Store {
    data_dir: PathBuf,
    machines: PathBuf,
}

/// The file of a machine's record, in its folder.
pub(crate) const RECORD: &str = "machine.json";
/// What the names of unfinished folders begin with; no machine's name does.
const UNFINISHED: &str = ".new-";

impl Store {
    /// Makes the store of a data folder, which need not exist.
    pub fn new(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            machines: data_dir.join("machines"),
        }
    }

    /// Waits for the lock of the data folder.
    pub fn lock(&self) -> Result<Lock, FileError> {
        fs::create_dir_all(&self.data_dir).map_err(doing("create", &self.data_dir))?;
        Lock::file(&self.data_dir.join("lock"), || {})
    }

    /// Returns all machines, by name.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut names = self.names()?;
        names.sort();
        let mut entries = Vec::new();
        for name in names {
            entries.extend(self.entry(&name)?);
        }
        Ok(entries)
    }

    fn names(&self) -> Result<Vec<String>, FileError> {
        let folder = match fs::read_dir(&self.machines) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(doing("list", &self.machines)(error)),
        };
        let mut names = Vec::new();
        for entry in folder {
            let name = entry.map_err(doing("list", &self.machines))?.file_name();
            names.push(name.to_string_lossy().into_owned());
        }
        names.retain(|name| !name.starts_with('.'));
        Ok(names)
    }

    /// Returns a machine by name.
    pub fn entry(&self, name: &str) -> Result<Option<Entry>, StoreError> {
        let folder = self.machines.join(name);
        let path = folder.join(RECORD);
        let Some(bytes) = files::read(&path)? else {
            return Ok(None);
        };
        match Record::read(&bytes) {
            Ok(record) => Ok(Some(Entry { folder, record })),
            Err(source) => Err(StoreError::Record { path, source }),
        }
    }

    /// Returns a machine by id.
    pub fn by_id(&self, id: &MachineId) -> Result<Option<Entry>, StoreError> {
        let Some(name) = name_of(id) else {
            return Ok(None);
        };
        Ok(self.entry(name)?.filter(|entry| entry.record.id == *id))
    }

    /// Waits until nobody else changes a machine; `None` when it is gone.
    pub fn locked(&self, id: &MachineId) -> Result<Option<Locked>, StoreError> {
        let Some(name) = name_of(id) else {
            return Ok(None);
        };
        let Some(lock) = Lock::folder(&self.machines.join(name))? else {
            return Ok(None);
        };
        let locked = |entry| Locked { entry, _lock: lock };
        Ok(self.by_id(id)?.map(locked))
    }

    /// Adds a machine, with what `fill` puts into its folder; the caller holds the lock of the data folder.
    pub fn add<E: From<StoreError>>(
        &self,
        record: Record,
        fill: impl FnOnce(&Entry) -> Result<(), E>,
    ) -> Result<Entry, E> {
        let file = |error| E::from(StoreError::File(error));
        // Other users have no business in here, whatever the machines' own files say.
        files::folder(&self.machines, 0o700).map_err(file)?;
        let name = record.name.clone();
        let folder = self
            .machines
            .join(format!("{UNFINISHED}{}", Uuid::new_v4().simple()));
        files::folder(&folder, 0o700).map_err(file)?;
        let entry = Entry { folder, record };
        fill(&entry)?;
        save(&entry)?;
        let named = self.machines.join(name);
        fs::rename(&entry.folder, &named)
            .map_err(doing("name", &named))
            .map_err(file)?;
        files::sync(&self.machines).map_err(file)?;
        Ok(Entry {
            folder: named,
            ..entry
        })
    }

    /// Deletes everything in a machine's folder but its record.
    pub fn empty(&self, entry: &Entry) -> Result<(), FileError> {
        for part in fs::read_dir(&entry.folder).map_err(doing("list", &entry.folder))? {
            let part = part.map_err(doing("list", &entry.folder))?;
            if part.file_name() == RECORD {
                continue;
            }
            if part.file_type().is_ok_and(|kind| kind.is_dir()) {
                files::remove_tree(&part.path())?;
            } else {
                files::remove(&part.path())?;
            }
        }
        Ok(())
    }

    /// Deletes the rest of a machine; the caller holds the lock of the data folder.
    pub fn forget(&self, entry: &Entry) -> Result<(), FileError> {
        files::remove(&entry.folder.join(RECORD))?;
        files::remove_tree(&entry.folder)?;
        files::sync(&self.machines)
    }

    /// Deletes what killed processes left; the caller holds the lock of the data folder.
    pub fn sweep(&self) -> Result<(), FileError> {
        let folder = match fs::read_dir(&self.machines) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(doing("list", &self.machines)(error)),
        };
        for entry in folder {
            let entry = entry.map_err(doing("list", &self.machines))?;
            let unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
            if unfinished || !entry.path().join(RECORD).exists() {
                files::remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Deletes the folder of machines itself when there is none; the caller holds the lock of the data folder.
    pub fn close(&self) -> Result<(), FileError> {
        match fs::remove_dir(&self.machines) {
            Err(error)
                if error.kind() != io::ErrorKind::NotFound
                    && error.kind() != io::ErrorKind::DirectoryNotEmpty =>
            {
                Err(doing("delete", &self.machines)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Writes a machine's record down; it outlives a crash once this returns.
pub(crate) fn save(entry: &Entry) -> Result<(), StoreError> {
    let path = entry.folder.join(RECORD);
    match serde_json::to_vec_pretty(&entry.record) {
        Ok(bytes) => Ok(files::write(&path, &bytes, 0o600)?),
        Err(source) => Err(StoreError::Unwritable { path, source }),
    }
}
