//! Compares what machines registered by themselves with what they should be in the mesh. Pure.
//!
//! The control plane makes such an entry from the WorkloadGroup when a sidecar connects, and never
//! changes it afterwards; nor does an apply. What differs is told.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::template::flatten;
use serde_json::{Value, json};

use super::fleet::FleetOutcome;
use super::planner::Input;
use super::{Drift, FieldChange, Reason};
use crate::mesh::{Members, Registered, objects};
use crate::observed::ObservedMachine;
use crate::spec::model::Membership;

/// Tells how the entries that the control plane made differ from what would be registered now.
pub(super) fn drift(
    input: &Input<'_>,
    by_fleet: &BTreeMap<&str, Vec<&ObservedMachine>>,
    outcomes: &BTreeMap<&str, FleetOutcome>,
) -> Vec<Drift> {
    let mut drift = Vec::new();
    for (fleet, members) in &input.observed.registered {
        let membership = input.desired.fleets.get(fleet);
        let membership = membership.and_then(|desired| desired.membership.as_ref());
        let (Some(membership), Some(outcome)) = (membership, outcomes.get(fleet.as_str())) else {
            continue;
        };
        let machines = by_fleet.get(fleet.as_str()).map_or(&[][..], Vec::as_slice);
        let stays = |name: &str| outcome.staying.contains(name);
        drift.extend(of_fleet(membership, members, machines, &stays));
    }
    drift
}

/// Tells of a fleet's entries that differ from what would be registered now, where their machines
/// stay, and of those that no machine has.
fn of_fleet(
    membership: &Membership,
    members: &Members,
    machines: &[&ObservedMachine],
    stays: &dyn Fn(&str) -> bool,
) -> Vec<Drift> {
    let by_address: BTreeMap<String, &str> = machines
        .iter()
        .filter_map(|seen| {
            Some((
                seen.machine.address?.to_string(),
                seen.machine.name.as_str(),
            ))
        })
        .collect();
    let wanted = wanted(membership);
    let mut drift = Vec::new();
    for (address, registered) in &members.by_address {
        let Registered { entry, state: _ } = registered;
        let told = |reason, machines, differences| Drift {
            subject: entry.reference.to_string(),
            reason,
            count: 1,
            machines,
            differences,
        };
        match by_address.get(address) {
            Some(machine) if stays(machine) => {
                let differences = differences(&wanted, &entry.body);
                if !differences.is_empty() {
                    let machines = vec![(*machine).to_owned()];
                    drift.push(told(Reason::Registered, machines, differences));
                }
            }
            Some(_) => {}
            None if registered.is_disconnected() => {}
            None => drift.push(told(Reason::Left, Vec::new(), Vec::new())),
        }
    }
    drift
}

/// Returns what a registered entry has of its WorkloadGroup; not the locality, which the sidecar may
/// know better.
fn wanted(membership: &Membership) -> Value {
    let mut spec = objects::workload(membership);
    spec.remove("locality");
    spec.insert("labels".to_owned(), json!(membership.labels));
    json!({"metadata": {"annotations": membership.annotations}, "spec": spec})
}

/// Returns what the entry lacks or has otherwise, and the ports that it has beside those wanted: as
/// they were wanted, and as they are.
fn differences(wanted: &Value, entry: &Value) -> Vec<FieldChange> {
    let (wanted, is) = (flatten(wanted), flatten(entry));
    let more = is.keys().filter(|field| field.starts_with("spec.ports."));
    let fields: BTreeSet<&String> = wanted.keys().chain(more).collect();
    fields
        .into_iter()
        .filter(|field| wanted.get(*field) != is.get(*field))
        .map(|field| FieldChange {
            field: field.clone(),
            before: wanted.get(field).map(Value::to_string),
            after: is.get(field).map(Value::to_string),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_entry_was_registered_with_beside_what_is_wanted_is_no_difference() {
        let wanted = json!({"metadata": {"annotations": {}}, "spec": {
            "labels": {"app": "web"}, "ports": {"http": 80}, "weight": 2,
        }});
        let entry = json!({"metadata": {"annotations": {"istio.io/connectedAt": "now"}}, "spec": {
            "address": "10.0.0.1", "labels": {"app": "web", "topology.istio.io/network": "n"},
            "ports": {"http": 80, "old": 81}, "weight": 1,
        }});
        let change = |field: &str, before: Option<&str>, after: Option<&str>| FieldChange {
            field: field.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let expected = [
            change("spec.ports.old", None, Some("81")),
            change("spec.weight", Some("2"), Some("1")),
        ];
        assert_eq!(differences(&wanted, &entry), expected);
    }
}
