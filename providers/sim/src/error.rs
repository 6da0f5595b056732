//! What can go wrong with the simulated cloud itself, as opposed to the faults that it plays.

use std::io;
use std::path::PathBuf;

use meshvm_provider_api::{ErrorClass, MachineId, ProviderError};

/// A failure of the simulator.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The file system refused.
    #[error("failed to {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A finished line of the file is not what this crate writes.
    #[error("{} is damaged in the line that starts at byte {offset}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the line starts.
        offset: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file was written by another version.
    #[error("{} has format {found}, and only {known} can be read", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that it says it has.
        found: u32,
        /// The format of this version.
        known: u32,
    },
    /// A fault plan cannot be understood.
    #[error("{} is not a fault plan", path.display())]
    FaultPlan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// There is no such machine.
    #[error("there is no machine {0}")]
    NoMachine(MachineId),
    /// There is such a machine already.
    #[error("there is a machine {0} already")]
    Exists(MachineId),
}

impl From<SimError> for ProviderError {
    fn from(error: SimError) -> Self {
        Self::new(
            ErrorClass::Environment,
            "the simulated cloud cannot be used",
        )
        .with_source(error)
    }
}
