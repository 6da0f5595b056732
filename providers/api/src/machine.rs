//! A machine as its cloud reports it.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::labels::Labels;
use crate::template::Attributes;

/// The cloud's own id of a machine, unique in its scope and never used again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MachineId(pub String);

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for MachineId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Whether a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Power {
    /// Made or started, and not running yet.
    Starting,
    /// Running.
    Running,
    /// Stopped, with its disk kept.
    Stopped,
    /// The cloud says that it is broken and will not run again.
    Broken,
    /// The cloud says that it is gone, or on its way out for good, which is more than not to show
    /// it. Only those who ask for the machine by its id are told.
    Gone,
}

/// How far the bootstrap of a machine came, as far as the cloud can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Readiness {
    /// The cloud cannot see into the machine; running is all that is known.
    Unknown,
    /// The bootstrap is still at work.
    Waiting,
    /// The bootstrap reported success.
    Ready,
    /// The bootstrap reported failure.
    Failed {
        /// What the machine says went wrong.
        reason: String,
    },
}

/// One machine, as observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Machine {
    /// The cloud's id.
    pub id: MachineId,
    /// A name that is unique in the stack and fits a DNS label.
    pub name: String,
    /// The zone that it stands in.
    pub zone: String,
    /// Whether it runs.
    pub power: Power,
    /// How far its bootstrap came.
    pub readiness: Readiness,
    /// The address at which other members of the mesh reach it.
    pub address: Option<IpAddr>,
    /// Every label that it carries.
    pub labels: Labels,
    /// What it is, in the words of its provider's block.
    pub attributes: Attributes,
}

impl Machine {
    /// Returns whether the machine runs and its bootstrap did not report otherwise.
    pub fn is_available(&self) -> bool {
        self.power == Power::Running
            && matches!(self.readiness, Readiness::Ready | Readiness::Unknown)
    }

    /// Returns whether waiting may make the machine available.
    pub fn is_coming(&self) -> bool {
        match self.power {
            Power::Starting => true,
            Power::Running => self.readiness == Readiness::Waiting,
            Power::Stopped | Power::Broken | Power::Gone => false,
        }
    }

    /// Returns why the machine is not available and will not become so by itself.
    pub fn failure(&self) -> Option<String> {
        match (self.power, &self.readiness) {
            (Power::Stopped, _) => Some("stopped".to_owned()),
            (Power::Broken, _) => Some("broken".to_owned()),
            (Power::Gone, _) => Some("gone".to_owned()),
            (Power::Running, Readiness::Failed { reason }) => {
                Some(format!("bootstrap failed: {reason}"))
            }
            (Power::Starting, _) | (Power::Running, _) => None,
        }
    }
}
