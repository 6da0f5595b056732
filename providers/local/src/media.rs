//! Files that the bootstrap finds beside its user-data, kept once for all machines.
//!
//! `media/<sha256>/<name>` holds what was copied and checked; the `media` folder of
//! a machine holds links to its files and to no others. A file whose only link is
//! the kept one belongs to no machine, and goes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use meshvm_provider_api::Media;
use uuid::Uuid;

use crate::digest;
use crate::files::{self, FileError, doing};

/// A file could not be handed over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MediaError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is another than was planned.
    #[error("{} has SHA-256 {found}, not {wanted}", path.display())]
    Differs {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: String,
        /// What it should have.
        wanted: String,
    },
    /// The name could mean a file elsewhere.
    #[error("`{name}` cannot be the name of a file in one folder")]
    Name {
        /// The name.
        name: String,
    },
}

/// The folder of a machine that holds its media.
pub(crate) const FOLDER: &str = "media";

/// Checks that names mean files in one folder.
pub(crate) fn check(media: &[Media]) -> Result<(), MediaError> {
    check_names(media.iter().map(|file| file.name.as_str()))?;
    let hash = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match media.iter().find(|file| !hash(&file.sha256)) {
        None => Ok(()),
        Some(file) => Err(MediaError::Name {
            name: file.name.clone(),
        }),
    }
}

/// Checks that each name means a file in one folder.
pub(crate) fn check_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), MediaError> {
    let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains('/');
    match names.into_iter().find(|name| !plain(name)) {
        None => Ok(()),
        Some(name) => Err(MediaError::Name {
            name: name.to_owned(),
        }),
    }
}

/// Keeps a file, and returns where; the caller holds the lock of the data folder.
///
/// It is copied, not linked, since its owner may change it in place.
pub(crate) fn keep(data_dir: &Path, media: &Media) -> Result<PathBuf, MediaError> {
    let Media { name, path, sha256 } = media;
    let folder = data_dir.join(FOLDER).join(sha256);
    let kept = folder.join(name);
    if kept.exists() {
        return Ok(kept);
    }
    fs::create_dir_all(&folder).map_err(doing("create", &folder))?;
    let new = folder.join(format!(".new-{}", Uuid::new_v4().simple()));
    let copied = copy(path, &new);
    let found = match copied {
        Ok(found) if found == *sha256 => {
            fs::rename(&new, &kept).map_err(doing("name", &kept))?;
            files::sync(&folder)?;
            return Ok(kept);
        }
        other => other,
    };
    files::remove(&new)?;
    let wanted = sha256.clone();
    let path = path.clone();
    Err(MediaError::Differs {
        path,
        found: found?,
        wanted,
    })
}

fn copy(from: &Path, to: &Path) -> Result<String, FileError> {
    let mut source = File::open(from).map_err(doing("open", from))?;
    let mut target = File::create(to).map_err(doing("create", to))?;
    digest::copy(&mut source, &mut target)
        .and_then(|found| target.sync_all().map(|()| found))
        .map_err(doing("copy", from))
}

/// Links kept files into a folder.
pub(crate) fn link(kept: &[PathBuf], folder: &Path) -> Result<(), FileError> {
    files::folder(folder, 0o755)?;
    for file in kept {
        if let Some(name) = file.file_name() {
            let link = folder.join(name);
            fs::hard_link(file, &link).map_err(doing("link", &link))?;
        }
    }
    files::sync(folder)
}

/// Deletes what no machine has; the caller holds the lock of the data folder.
pub(crate) fn prune(data_dir: &Path) -> Result<(), FileError> {
    let top = data_dir.join(FOLDER);
    for folder in entries(&top)? {
        for file in entries(&folder)? {
            let links = fs::metadata(&file).map_err(doing("read", &file))?.nlink();
            if links == 1 {
                files::remove(&file)?;
            }
        }
        remove_if_empty(&folder)?;
    }
    remove_if_empty(&top)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let found = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    found.map_err(doing("list", folder))
}

fn remove_if_empty(folder: &Path) -> Result<(), FileError> {
    match fs::remove_dir(folder) {
        Err(error)
            if error.kind() != io::ErrorKind::NotFound
                && error.kind() != io::ErrorKind::DirectoryNotEmpty =>
        {
            Err(doing("delete", folder)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn media(folder: &Path, name: &str, sha256: &str) -> Media {
        let path = folder.join("source");
        fs::write(&path, "abc").unwrap();
        Media {
            name: name.to_owned(),
            path,
            sha256: sha256.to_owned(),
        }
    }

    #[test]
    fn media_live_as_long_as_a_machine_has_them() {
        let data = tempfile::tempdir().unwrap();
        let media = media(data.path(), "a.deb", ABC);
        let kept = keep(data.path(), &media).unwrap();
        assert_eq!(keep(data.path(), &media).unwrap(), kept);
        let machine = data.path().join("machine");
        link(std::slice::from_ref(&kept), &machine).unwrap();
        prune(data.path()).unwrap();
        assert_eq!(fs::read(machine.join("a.deb")).unwrap(), b"abc");
        assert!(kept.exists());
        fs::remove_dir_all(&machine).unwrap();
        prune(data.path()).unwrap();
        assert!(!data.path().join(FOLDER).exists());
    }

    #[test]
    fn another_file_is_refused_and_not_kept() {
        let data = tempfile::tempdir().unwrap();
        let wrong = media(data.path(), "a.deb", &"0".repeat(64));
        let error = keep(data.path(), &wrong).unwrap_err();
        assert!(error.to_string().contains(ABC), "{error}");
        prune(data.path()).unwrap();
        assert!(!data.path().join(FOLDER).exists());
    }

    #[test]
    fn names_stay_in_their_folder() {
        let data = tempfile::tempdir().unwrap();
        let named = |name| [media(data.path(), name, ABC)];
        assert!(check(&named("a.deb")).is_ok());
        for name in ["", "../a", "a/b", ".hidden"] {
            assert!(check(&named(name)).is_err(), "{name}");
        }
        assert!(check(&[media(data.path(), "a", "../x")]).is_err());
    }
}
