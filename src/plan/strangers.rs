//! What a plan would delete that no run of this ledger has made. Pure.
//!
//! A stack is known by its name, in clouds and mesh: two of one name with a ledger each would
//! take each other's machines and objects for their own that left the file. A lost ledger looks
//! the same, so that what is deleted then has to be allowed.

use std::collections::BTreeMap;

use meshvm_provider_api::labels;

use super::planner::Input;
use super::{Action, FleetPlan, ObjectAction, ObjectChange};

/// The kind of what stands for a machine.
const ENTRY: &str = "WorkloadEntry";

/// Returns the names of what the first plan of a ledger would delete: what is of a fleet or in a
/// namespace that the file does not have, and entries without a machine, which may be those of
/// another's. Once a run has begun, the stack is known to be this ledger's.
pub(super) fn of(
    input: &Input<'_>,
    fleets: &BTreeMap<String, FleetPlan>,
    objects: &[ObjectChange],
) -> Vec<String> {
    if !input.is_first {
        return Vec::new();
    }
    let is_known = |fleet: &str| input.desired.fleets.contains_key(fleet);
    let going = fleets.iter().filter(|(fleet, _)| !is_known(fleet));
    let going = going.flat_map(|(_, plan)| &plan.changes);
    let going = going.filter(|change| change.action == Action::Delete);
    let machines = going.flat_map(|change| &change.machines);
    let mut found: Vec<String> = machines
        .map(|machine| format!("machine {}", machine.name))
        .collect();

    let namespaces = input.desired.namespaces();
    let seen = input.observed.objects.iter().map(|seen| &seen.object);
    let owners: BTreeMap<_, _> = seen
        .map(|object| (&object.reference, object.label(labels::FLEET)))
        .collect();
    let going = objects
        .iter()
        .filter(|change| change.action == ObjectAction::Delete);
    let strange = going.filter(|change| {
        let fleet = owners.get(&change.reference).copied().flatten();
        let is_of_fleet = fleet.is_none_or(is_known);
        let is_here = namespaces.contains(change.reference.namespace.as_str());
        let is_seen = |name: &String| {
            let mut machines = input.observed.machines.iter();
            machines.any(|seen| seen.machine.name == *name)
        };
        let is_alone = change.reference.kind == ENTRY && !change.machine.iter().any(is_seen);
        !is_of_fleet || !is_here || is_alone
    });
    found.extend(strange.map(|change| change.reference.to_string()));
    found
}
