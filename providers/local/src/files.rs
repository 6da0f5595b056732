//! Files that outlive a crash, and reading what a machine wrote without trusting it.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// How long a program, whose killed parent's folder is deleted, may go on writing into it.
const DYING: Duration = Duration::from_secs(5);
/// The wait between two tries to delete it.
const LOOK: Duration = Duration::from_millis(20);

/// The file system refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// An operation failed.
    #[error("failed to {action} {}", path.display())]
    Refused {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder that should be deleted holds a mount, whose files are not ours.
    #[error("{} is mounted inside a folder that should be deleted", path.display())]
    Mounted {
        /// The mount.
        path: PathBuf,
    },
}

impl FileError {
    /// Returns whether the file, or a folder on the way to it, is missing.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Refused { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Mounted { .. } => false,
        }
    }

    /// Returns whether the right is missing, rather than the file.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Refused { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::Mounted { .. } => false,
        }
    }
}

/// Makes an error of an operation on a path.
pub(crate) fn doing(action: &'static str, path: &Path) -> impl Fn(io::Error) -> FileError {
    move |source| FileError::Refused {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Writes a file whole or not at all; it outlives a crash of the computer once this returns.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let temporary = unfinished(path);
    remove(&temporary)?;
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .map_err(doing("create", &temporary))?;
    file.set_permissions(Permissions::from_mode(mode))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all())
        .map_err(doing("write", &temporary))?;
    fs::rename(&temporary, path).map_err(doing("replace", path))?;
    path.parent().map_or(Ok(()), sync)
}

/// Deletes what a killed [`write()`] of a file may have left.
pub(crate) fn remove_unfinished(path: &Path) -> Result<(), FileError> {
    remove(&unfinished(path))
}

fn unfinished(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

/// Makes the names in a folder outlive a crash of the computer.
pub(crate) fn sync(folder: &Path) -> Result<(), FileError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(doing("sync", folder))
}

/// Reads a file; `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(doing("read", path)(error)),
    }
}

/// Makes a folder with exactly this mode; one that is there may be kept.
pub(crate) fn folder(path: &Path, mode: u32) -> Result<(), FileError> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(doing("set the mode of", path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(doing("create", path)(error)),
    }
}

/// Makes every missing folder from `top` (which exists) down along `below`, with this mode.
///
/// None of them may be a link: the root of a machine can have put one there, to anywhere.
pub(crate) fn folders(top: &Path, below: &str, mode: u32) -> Result<PathBuf, FileError> {
    let mut path = top.to_owned();
    for part in below.split('/') {
        path.push(part);
        folder(&path, mode)?;
        let metadata = fs::symlink_metadata(&path).map_err(doing("read", &path))?;
        if !metadata.is_dir() {
            return Err(doing("go through", &path)(
                io::ErrorKind::NotADirectory.into(),
            ));
        }
    }
    Ok(path)
}

/// Deletes a file; one that is gone is fine.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(doing("delete", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Deletes a folder and everything in it; one that is gone is fine.
pub(crate) fn remove_tree(path: &Path) -> Result<(), FileError> {
    let kept = Path::new("/proc/self/mountinfo");
    let mounts = fs::read_to_string(kept).map_err(doing("read", kept))?;
    if let Some(mount) = mounted_below(&mounts, path) {
        return Err(FileError::Mounted { path: mount });
    }
    let deadline = Instant::now() + DYING;
    loop {
        match fs::remove_dir_all(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error)
                if error.kind() == io::ErrorKind::DirectoryNotEmpty
                    && Instant::now() < deadline =>
            {
                thread::sleep(LOOK);
            }
            Err(error) => return Err(doing("delete", path)(error)),
        }
    }
}

fn mounted_below(mountinfo: &str, folder: &Path) -> Option<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|escaped| PathBuf::from(escaped.replace("\\040", " ")))
        .find(|mount| mount.starts_with(folder))
}

/// Reads a small regular file that the root of a machine may have put anything in place of.
///
/// Neither links nor mounts are followed. `None` when there is no such file.
pub(crate) fn read_untrusted(
    top: &Path,
    below: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, FileError> {
    let path = top.join(below);
    let folder = match File::open(top) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(doing("open", top)(error)),
    };
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
    let file = match openat2(&folder, below, how) {
        Ok(file) => File::from(file),
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
        Err(errno) => return Err(doing("open", &path)(errno.into())),
    };
    let metadata = file.metadata().map_err(doing("read", &path))?;
    if !metadata.is_file() || metadata.len() > limit {
        let error = io::Error::other(format!("not a file of at most {limit} bytes"));
        return Err(doing("read", &path)(error));
    }
    let mut bytes = Vec::new();
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(doing("read", &path))?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        // What a crash left behind is no obstacle.
        fs::write(folder.path().join("a.json.new"), "half").unwrap();
        write(&path, b"one", 0o600).unwrap();
        write(&path, b"two", 0o600).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(read(&folder.path().join("b")).unwrap(), None);
    }

    #[test]
    fn folders_have_the_mode_asked_for() {
        let top = tempfile::tempdir().unwrap();
        let made = folders(top.path(), "a/b", 0o755).unwrap();
        assert_eq!(
            fs::metadata(&made).unwrap().permissions().mode() & 0o777,
            0o755
        );
        folder(&made, 0o700).unwrap();
        remove_tree(&top.path().join("a")).unwrap();
        remove_tree(&top.path().join("a")).unwrap();
        assert!(!made.exists());
    }

    #[test]
    fn a_machine_cannot_point_out_of_its_disk() {
        let top = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("result"), "secret").unwrap();
        fs::create_dir(top.path().join("real")).unwrap();
        fs::write(top.path().join("real/result"), "told").unwrap();
        symlink(outside.path(), top.path().join("link")).unwrap();
        symlink(outside.path().join("result"), top.path().join("result")).unwrap();
        let read = |below| read_untrusted(top.path(), below, 16);
        assert_eq!(read("real/result").unwrap().unwrap(), b"told");
        assert_eq!(read("none/result").unwrap(), None);
        for below in ["link/result", "result", "real", "../x"] {
            assert!(read(below).is_err(), "{below}");
        }
        assert!(read_untrusted(top.path(), "real/result", 3).is_err());
        assert!(folders(top.path(), "real/new", 0o700).is_ok());
        for below in ["link", "link/new"] {
            let error = folders(top.path(), below, 0o700).unwrap_err();
            assert!(error.to_string().ends_with("/link"), "{error}");
        }
        assert!(!outside.path().join("new").exists());
    }

    #[test]
    fn mounts_are_found() {
        let mounts = "36 35 98:0 / /data/a\\040b/merged rw - overlay x rw\n";
        let found = mounted_below(mounts, Path::new("/data/a b"));
        assert_eq!(found, Some(PathBuf::from("/data/a b/merged")));
        assert_eq!(mounted_below(mounts, Path::new("/data/a")), None);
    }
}
