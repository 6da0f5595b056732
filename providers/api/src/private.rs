//! Files that one machine alone may see, made in the moment that it is created.
//!
//! They are no part of a plan, a request, a record or a log: a provider asks for
//! them when it is about to make a machine, and hands them over where only root
//! of that machine, and of the computer it runs on, can read them.

use async_trait::async_trait;
use secrecy::SecretString;

use crate::error::ProviderError;

/// A file for one machine.
#[derive(Clone, Debug)]
pub struct PrivateFile {
    /// Its name, in one folder.
    pub name: String,
    /// Its content; neither printed nor serialized.
    pub content: SecretString,
}

/// Makes the private files of machines.
#[async_trait]
pub trait PrivateFiles: Send + Sync {
    /// Returns the files of a machine, by the machine's name.
    ///
    /// Asked for each machine that is about to be made or was never started. Safe to repeat: the
    /// files of the last answer are those that count.
    ///
    /// # Errors
    /// Any class; the machine is not made then.
    async fn of(&self, machine: &str) -> Result<Vec<PrivateFile>, ProviderError>;
}

/// No files at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPrivateFiles;

#[async_trait]
impl PrivateFiles for NoPrivateFiles {
    async fn of(&self, _: &str) -> Result<Vec<PrivateFile>, ProviderError> {
        Ok(Vec::new())
    }
}
