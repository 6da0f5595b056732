//! Observed: what clouds and mesh report about a stack, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::labels::{BatchKey, Ownership};
use meshvm_provider_api::{Machine, MachineId, Scope};
use serde::{Deserialize, Serialize};

use crate::mesh::Object;

/// Everything that was seen of a stack.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The stack's machines.
    pub machines: Vec<ObservedMachine>,
    /// Machines that were asked for by id, to be adopted.
    pub adoptable: Vec<ObservedMachine>,
    /// The stack's objects in the mesh.
    pub objects: Vec<Object>,
    /// Batches that an interrupted run may have sent, whose machines are not listed.
    pub unsettled: Vec<UnsettledBatch>,
    /// What recent runs did that the listings did not show by themselves.
    pub behind: BTreeMap<Scope, Expected>,
}

/// A machine and where it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedMachine {
    /// The scope that lists it.
    pub scope: Scope,
    /// The machine.
    pub machine: Machine,
}

impl ObservedMachine {
    /// Returns what its ownership labels say.
    pub fn ownership(&self) -> Option<Ownership> {
        Ownership::from_labels(&self.machine.labels)
    }
}

/// A batch whose creation was begun and never ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnsettledBatch {
    /// The fleet.
    pub fleet: String,
    /// The zone.
    pub zone: String,
    /// The batch's key.
    pub key: BatchKey,
    /// The machines of it that are not listed.
    pub missing: u32,
}

/// What recent runs did to a scope, that a listing may not show yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expected {
    /// Machines that exist, with the hash that their label has.
    pub present: BTreeMap<MachineId, String>,
    /// Machines that are not the stack's any more.
    pub absent: BTreeSet<MachineId>,
}

impl Expected {
    /// Expects a machine with a hash in its label.
    pub fn expect(&mut self, machine: &MachineId, spec: &str) {
        self.absent.remove(machine);
        self.present.insert(machine.clone(), spec.to_owned());
    }

    /// Expects that a machine is not the stack's any more.
    pub fn expect_gone(&mut self, machine: &MachineId) {
        self.present.remove(machine);
        self.absent.insert(machine.clone());
    }

    /// Adds what is expected later; the later wins.
    pub fn extend(&mut self, later: &Self) {
        for (machine, spec) in &later.present {
            self.expect(machine, spec);
        }
        for machine in &later.absent {
            self.expect_gone(machine);
        }
    }

    /// Returns whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty() && self.absent.is_empty()
    }
}
