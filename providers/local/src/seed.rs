//! What a machine finds on its seed: the NoCloud source of cloud-init.
//!
//! Both backends hand over the same files. The seed's folder is root's alone,
//! so that a secret has a place there.

use crate::record::Record;

/// The files of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seed {
    /// The user-data, plain.
    pub user_data: String,
    /// Which machine it is.
    pub meta_data: String,
}

impl Seed {
    /// Makes the seed of a machine.
    pub fn new(record: &Record, user_data: &str) -> Self {
        // Names and ids are made of a-z, 0-9 and -, so they are plain YAML strings when quoted.
        let meta_data = format!(
            "instance-id: \"{}\"\nlocal-hostname: \"{}\"\n",
            record.id, record.name
        );
        Self {
            user_data: user_data.to_owned(),
            meta_data,
        }
    }

    /// Returns the files by name.
    pub fn files(&self) -> [(&'static str, &str); 2] {
        [
            ("user-data", &self.user_data),
            ("meta-data", &self.meta_data),
        ]
    }
}
