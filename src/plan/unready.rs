//! Machines that runs made or waited for, and that are not ready yet. Pure.
//!
//! A cloud shows such a machine as up, and an apply would have nothing to do. It is done only when
//! the mesh lets traffic to what it made.

use std::collections::BTreeSet;

use meshvm_provider_api::MachineId;

use crate::desired::{Desired, DesiredFleet};
use crate::mesh::MACHINE_LABEL;
use crate::observed::{Observed, ObservedMachine};

/// Returns those of the machines that are there, and not ready.
pub fn still(
    desired: &Desired,
    observed: &Observed,
    machines: &BTreeSet<MachineId>,
) -> BTreeSet<MachineId> {
    let objects = observed.objects.iter();
    let entered: BTreeSet<&str> = objects
        .filter_map(|seen| seen.object.label(MACHINE_LABEL))
        .collect();
    let lacks_entry = |seen: &ObservedMachine| {
        let fleet = seen.ownership().map(|owned| owned.fleet);
        let fleet = fleet.and_then(|fleet| desired.fleets.get(&fleet));
        let side = fleet.and_then(DesiredFleet::side);
        let is_due = side.is_some_and(|side| side.enters_early());
        is_due && !entered.contains(seen.machine.name.as_str())
    };
    let there = observed.machines.iter();
    there
        .filter(|seen| machines.contains(&seen.machine.id))
        .filter(|seen| !seen.is_available() || lacks_entry(seen))
        .map(|seen| seen.machine.id.clone())
        .collect()
}
