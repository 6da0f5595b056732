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
///
/// They are asked for by [`Provider::create`](crate::Provider::create) alone.
#[async_trait]
pub trait PrivateFiles: Send + Sync {
    /// Returns the files of a machine, by the machine's name.
    ///
    /// Asked once for each machine that is about to be made, and again for one whose earlier
    /// `create` was cut off before it was started. Safe to repeat: the files of the last answer
    /// are those that count, and those of earlier ones may become worthless by it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_is_not_printed() {
        let file = PrivateFile {
            name: "token".to_owned(),
            content: "known-to-one".into(),
        };
        let text = format!("{file:?}{:?}", vec![file.clone()]);
        assert!(
            text.contains("token") && !text.contains("known-to-one"),
            "{text}"
        );
    }
}
