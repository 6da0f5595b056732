//! Revokes the tokens of machines that go, by deleting what they are bound to. Pure.

use std::collections::BTreeSet;

use crate::desired::DesiredFleet;
use crate::mesh::{ObjectRef, secret_ref};
use crate::plan::Plan;

/// Names what is deleted so that machines that leave cannot use their tokens any more: by the
/// entries that go with them, and by their names where the control plane makes the entries.
pub(super) fn leaving(
    plan: &Plan,
    desired: Option<&DesiredFleet>,
    entries: &[ObjectRef],
    names: &BTreeSet<&str>,
) -> BTreeSet<ObjectRef> {
    let by_entry = entries
        .iter()
        .map(|entry| (entry.namespace.as_str(), entry.name.as_str()));
    let membership = desired.and_then(|desired| desired.membership.as_ref());
    let by_name = membership
        .into_iter()
        .flat_map(|m| names.iter().map(move |name| (m.namespace.as_str(), *name)));
    secrets(plan, by_entry.chain(by_name))
}

/// Adds, to objects that go, what the tokens of the machines are bound to whose entries go.
pub(super) fn with_entries(plan: &Plan, objects: Vec<ObjectRef>) -> Vec<ObjectRef> {
    let entries = objects
        .iter()
        .filter(|object| object.kind == "WorkloadEntry");
    let named = entries.map(|entry| (entry.namespace.as_str(), entry.name.as_str()));
    let secrets = secrets(plan, named);
    secrets.into_iter().chain(objects).collect()
}

/// Names what the tokens of machines are bound to, where machines have tokens.
fn secrets<'a>(
    plan: &Plan,
    machines: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeSet<ObjectRef> {
    if plan.desired.tokens.is_none() {
        return BTreeSet::new();
    }
    machines
        .map(|(namespace, machine)| secret_ref(namespace, machine))
        .collect()
}
