//! What is left on the disk.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use thiserror::Error;

/// A certificate, its key and its root.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    /// The private key in PEM.
    pub key: String,
    /// The chain in PEM, the workload's own first, without the root.
    pub chain: String,
    /// The root in PEM.
    pub root: String,
    /// When it was made.
    pub made: Timestamp,
    /// When it ends.
    pub end: Timestamp,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// Why a file cannot be written.
#[derive(Debug, Error)]
#[error("cannot write {}", path.display())]
pub struct WriteError {
    /// The file.
    path: PathBuf,
    /// Why.
    source: std::io::Error,
}

impl Material {
    /// Writes it to a folder, under the names that `OUTPUT_CERTS` has.
    ///
    /// The key comes first: who finds the new chain finds its key as well.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to.
    pub fn write_to(&self, folder: &Path) -> Result<(), WriteError> {
        for (name, text) in [
            ("key.pem", &self.key),
            ("cert-chain.pem", &self.chain),
            ("root-cert.pem", &self.root),
        ] {
            write_private(&folder.join(name), text.as_bytes())?;
        }
        Ok(())
    }
}

/// Writes a file that only its owner reads, all at once, in a folder that is made when it is not
/// there.
///
/// # Errors
///
/// When the folder cannot be made or written to.
pub fn write_private(path: &Path, text: &[u8]) -> Result<(), WriteError> {
    let failed = |source| WriteError {
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o600))
        .prefix(".new")
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(text).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_their_owners_alone_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let certs = folder.path().join("etc/certs");
        let material = Material {
            key: "key".to_owned(),
            chain: "chain".to_owned(),
            root: "root".to_owned(),
            made: Timestamp::UNIX_EPOCH,
            end: Timestamp::UNIX_EPOCH,
        };
        material.write_to(&certs).unwrap();
        material.write_to(&certs).unwrap();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&certs).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(
                entry.metadata().unwrap().permissions().mode() & 0o777,
                0o600
            );
            names.push(entry.file_name().into_string().unwrap());
        }
        names.sort();
        assert_eq!(names, ["cert-chain.pem", "key.pem", "root-cert.pem"]);
        assert!(!format!("{material:?}").contains("key"));
    }
}
