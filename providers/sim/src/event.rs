//! What happened in the cloud, in order, as it truly happened.

use meshvm_provider_api::{Machine, MachineId};
use serde::{Deserialize, Serialize};

use crate::world::World;

/// Something that happened to one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Event {
    /// The clock: the number of wire requests made before or by then.
    pub clock: u64,
    /// To which machine.
    pub machine: MachineId,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventKind {
    /// It was created.
    Created,
    /// It began to start, or to restart.
    Starting,
    /// It runs.
    Running,
    /// Its bootstrap reported success.
    Ready,
    /// Its bootstrap reported failure.
    BootstrapFailed,
    /// Its labels or attributes changed.
    Changed,
    /// It stopped by itself.
    Stopped,
    /// It broke by itself.
    Broke,
    /// It vanished by itself.
    Vanished,
    /// It was deleted.
    Deleted,
}

/// The cloud as it is right now, with no lag; what a watcher is shown.
#[derive(Clone, Copy)]
pub struct Truth<'a>(pub(crate) &'a World);

impl Truth<'_> {
    /// Returns the clock.
    pub fn clock(&self) -> u64 {
        self.0.clock
    }

    /// Returns a machine, if it exists.
    pub fn machine(&self, id: &MachineId) -> Option<Machine> {
        self.0.machine(id)
    }

    /// Returns every machine, by id.
    pub fn machines(&self) -> Vec<Machine> {
        self.0.all().collect()
    }
}
