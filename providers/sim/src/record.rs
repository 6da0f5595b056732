//! What the cloud's history is written in: one record for each request, with every choice in it.
//!
//! A record holds results, not causes: replaying it needs no fault plan, so a
//! file keeps its meaning when the next process brings another plan. What the
//! clock alone brings about (a machine that starts, is ready or dies) is not
//! written again; it follows from the machine's life.

use std::collections::BTreeMap;

use meshvm_provider_api::{BatchKey, Hash, MachineId, Scope, Shortfall};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::faults::{Call, Death};
use crate::machine::{Life, Shape, Stored};

/// The format that this version reads and writes.
pub(crate) const FORMAT: u32 = 1;

/// The first line of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Header {
    pub format: u32,
    /// Changes whenever the file is written anew, so that readers start over.
    pub generation: Uuid,
    /// How many of the next lines are the world as it was when the file was written anew.
    pub lines: usize,
    pub clock: u64,
    pub calls: BTreeMap<Call, u64>,
    pub addresses: u32,
}

/// One request, or one hand on the cloud from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    /// The clock when it happened.
    pub clock: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
}

/// One thing that a request did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Effect {
    /// Adds a shape; its position is the number of shapes before it.
    Shape(Shape),
    /// Adds a machine.
    Birth { id: MachineId, machine: Stored },
    /// Remembers what a key made.
    Reserve {
        scope: Scope,
        key: BatchKey,
        reservation: Reservation,
    },
    /// So many addresses have been given out.
    Addresses(u32),
    /// Gives machines another shape.
    Reshape {
        shape: usize,
        machines: Vec<MachineId>,
    },
    /// Starts or restarts a machine.
    Boot { id: MachineId, life: Life },
    /// Ends a machine from outside.
    Kill { id: MachineId, how: Death },
    /// Deletes machines.
    Delete { machines: Vec<MachineId> },
}

/// What an idempotency key made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Reservation {
    /// The hash of the request.
    pub request: Hash,
    pub machines: Vec<MachineId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<Shortfall>,
}
