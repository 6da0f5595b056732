//! What a machine finds on its seed: the NoCloud source of cloud-init.
//!
//! Both backends hand over the same files. The seed's folder is root's alone,
//! so that a secret has a place there.

use std::path::Path;

use meshvm_provider_api::PrivateFile;
use secrecy::ExposeSecret as _;

use crate::files::{self, FileError};
use crate::record::Record;

/// The folder of a seed with the files that are for the machine alone.
pub(crate) const PRIVATE: &str = "private";

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

    /// Writes the private files into the folder of a seed, readable by root alone.
    pub fn write_private(&self, folder: &Path) -> Result<(), FileError> {
        if self.private.is_empty() {
            return Ok(());
        }
        let folder = folder.join(PRIVATE);
        files::folder(&folder, 0o700)?;
        for PrivateFile { name, content } in &self.private {
            let content = content.expose_secret().as_bytes();
            files::write(&folder.join(name), content, 0o600)?;
        }
        Ok(())
    }

    /// Returns the files by name.
    pub fn files(&self) -> [(&'static str, &str); 2] {
        [
            ("user-data", &self.user_data),
            ("meta-data", &self.meta_data),
        ]
    }
}
