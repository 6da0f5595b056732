//! When what leads traffic to a fleet changes together with its machines. Pure.
//!
//! A Service finds machines by labels and named ports. Where the file changes these, machines of
//! before are not found by the Service of after, and the other way round: it changes when the first
//! new machines are there, and before the first old ones go. A rollout that stops at its first
//! machines then leaves traffic as it was.
//!
//! What others hold of it, and the run does not take, holds the fleet up before its first machine.

use std::collections::BTreeSet;

use meshvm_provider_api::labels;
use serde_json::Value;

use crate::mesh::Object;
use crate::plan::{Action, FieldChange, MachineChange, ObjectAction, ObjectChange, Plan};

/// The kinds that lead traffic to machines.
const ROUTES: [&str; 4] = [
    "Service",
    "ServiceEntry",
    "DestinationRule",
    "VirtualService",
];

/// Returns whether an object is written only when the first new machines of its fleet are there; not
/// where the write would be refused: that is better known while there are none.
pub(super) fn is_late(plan: &Plan, change: &ObjectChange) -> bool {
    let is_taken = change.conflicts.is_empty() || plan.options.force_conflicts;
    is_taken && leads(plan, change)
}

/// Returns whether an object leads traffic to machines that are replaced.
fn leads(plan: &Plan, change: &ObjectChange) -> bool {
    let fleet = change.object.as_ref().and_then(|o| o.label(labels::FLEET));
    change.action == ObjectAction::Update
        && ROUTES.contains(&change.reference.kind.as_str())
        && fleet.is_some_and(|fleet| is_replaced(plan, fleet))
}

/// Returns whether machines of before are not found any more once an object is written, though they
/// are still there: it finds machines by other labels or ports.
pub fn leaves_behind(plan: &Plan, change: &ObjectChange) -> bool {
    leads(plan, change) && change.differences.iter().any(finds_others)
}

/// Returns whether a change of a field leaves machines out: one that asks for less leaves none.
fn finds_others(change: &FieldChange) -> bool {
    let selects = ["spec.selector.", "spec.workloadSelector."];
    if selects.iter().any(|by| change.field.starts_with(by)) {
        return change.after.is_some();
    }
    let before = targets(change.before.as_deref());
    change.field == "spec.ports" && !targets(change.after.as_deref()).is_subset(&before)
}

/// Returns what machines' ports are found by, of the JSON text of a list of ports.
fn targets(ports: Option<&str>) -> BTreeSet<String> {
    let ports = ports.and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
    let ports = ports.into_iter().flatten();
    ports.map(|port| port["targetPort"].to_string()).collect()
}

/// Returns the objects of a fleet that are.
pub(super) fn late(plan: &Plan, fleet: &str) -> Vec<Object> {
    let late = plan.objects.iter().filter(|change| is_late(plan, change));
    late.filter_map(|change| change.object.clone())
        .filter(|object| object.label(labels::FLEET) == Some(fleet))
        .collect()
}

fn is_replaced(plan: &Plan, fleet: &str) -> bool {
    let is_new = |change: &MachineChange| match change.action {
        Action::Replace => change.zones.values().any(|count| *count > 0),
        Action::Create | Action::Update | Action::Delete | Action::Adopt | Action::Forget => false,
    };
    let changes = plan.fleets.get(fleet);
    changes.is_some_and(|changes| changes.changes.iter().any(is_new))
}
