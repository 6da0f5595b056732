//! What a machine finds on its seed: the NoCloud source of cloud-init.
//!
//! Both backends hand over the same files. The seed's folder is root's alone,
//! so that a secret has a place there.
//!
//! Invariants:
//! 1. A machine that has a record has a whole seed, whoever starts it.
//! 2. The content of a private file is in the seed and nowhere else.

use std::fs;
use std::path::Path;

use meshvm_provider_api::PrivateFile;
use secrecy::ExposeSecret as _;

use crate::files::{self, FileError, doing};
use crate::record::Record;

/// The folder of a seed with the files that are for the machine alone.
const PRIVATE: &str = "private";

/// The files of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    /// The user-data, plain.
    pub user_data: String,
    /// Which machine it is.
    pub meta_data: String,
    /// Files that nobody else may see.
    pub private: Vec<PrivateFile>,
}

impl Seed {
    /// Makes the seed of a machine.
    pub fn new(record: &Record, user_data: &str, private: Vec<PrivateFile>) -> Self {
        let Record {
            id, name, address, ..
        } = record;
        // Names, ids and addresses are plain YAML strings when quoted. What meshvm knows the
        // machine by is not always what the machine itself would say.
        let mut meta_data = format!(
            "instance-id: \"{id}\"\nlocal-hostname: \"{name}\"\nmeshvm:\n  name: \"{name}\"\n"
        );
        if let Some(address) = address {
            meta_data += &format!("  address: \"{address}\"\n");
        }
        Self {
            user_data: user_data.to_owned(),
            meta_data,
            private,
        }
    }

    /// Writes all files into the folder of a seed, readable by root alone, in place of those there.
    ///
    /// Each is replaced whole, so that a killed process leaves a seed that a machine can boot with.
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        for (name, text) in self.files() {
            files::write(&folder.join(name), text.as_bytes(), 0o600)?;
        }
        if self.private.is_empty() {
            return files::remove_tree(&folder.join(PRIVATE));
        }
        let folder = files::folders(folder, PRIVATE, 0o700)?;
        for PrivateFile { name, content } in &self.private {
            let content = content.expose_secret().as_bytes();
            files::write(&folder.join(name), content, 0o600)?;
        }
        self.remove_others(&folder)
    }

    /// Removes private files that are no longer the machine's.
    fn remove_others(&self, folder: &Path) -> Result<(), FileError> {
        for entry in fs::read_dir(folder).map_err(doing("list", folder))? {
            let entry = entry.map_err(doing("list", folder))?;
            let name = entry.file_name();
            if self.private.iter().any(|file| *file.name == *name) {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                files::remove_tree(&entry.path())?;
            } else {
                files::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn files(&self) -> [(&'static str, &str); 2] {
        [
            ("user-data", &self.user_data),
            ("meta-data", &self.meta_data),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    fn seed(files: &[(&str, &str)]) -> Seed {
        let private = files.iter().map(|(name, content)| PrivateFile {
            name: (*name).to_owned(),
            content: (*content).into(),
        });
        Seed {
            user_data: "#cloud-config\n".to_owned(),
            meta_data: "instance-id: x\n".to_owned(),
            private: private.collect(),
        }
    }

    fn mode(path: PathBuf) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_last_private_files_are_those_that_count() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join(PRIVATE);
        seed(&[("token", "one"), ("other", "x")])
            .write(folder.path())
            .unwrap();
        // What a killed process left.
        fs::write(place.join("token.new"), "half").unwrap();
        seed(&[("token", "two")]).write(folder.path()).unwrap();
        assert_eq!(fs::read(place.join("token")).unwrap(), b"two");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
        assert_eq!(
            (mode(place.clone()), mode(place.join("token"))),
            (0o700, 0o600)
        );
        assert_eq!(mode(folder.path().join("user-data")), 0o600);
        seed(&[]).write(folder.path()).unwrap();
        assert!(!place.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_seed_is_printed_without_what_is_private() {
        let text = format!("{:?}", seed(&[("token", "known-to-one")]));
        assert!(
            text.contains("token") && !text.contains("known-to-one"),
            "{text}"
        );
    }
}
