//! What belongs to leaving a mesh beside the entry: tokens are revoked, by deleting what they are
//! bound to, and connections get time to end. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meshvm_provider_api::Scope;

use super::Op;
use crate::desired::DesiredFleet;
use crate::mesh::{ObjectRef, Target, secret_ref};
use crate::plan::{MachineRef, Plan};

/// How long a machine that left the mesh is let alone where the file does not say, as a sidecar
/// drains by itself: `terminationDrainDuration`
/// (<https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/>).
const DRAIN: Duration = Duration::from_secs(5);

/// Returns how long connections may go on of machines that left the mesh; those that are down have
/// none.
pub(super) fn drain(
    plan: &Plan,
    desired: Option<&DesiredFleet>,
    leaving: &[(&Scope, &MachineRef)],
) -> Duration {
    if !leaving.iter().any(|(_, machine)| machine.available) {
        return Duration::ZERO;
    }
    let usual = match plan.context.mesh {
        Some(Target::Kubernetes(_)) => DRAIN,
        Some(Target::Manifests(_)) | None => Duration::ZERO,
    };
    let wanted = desired.and_then(|desired| desired.rollout.drain);
    wanted.unwrap_or(usual)
}

/// Returns what revokes the tokens of machines that are gone; `None` when there are none.
pub(super) fn revocation(plan: &Plan) -> Option<Op> {
    let objects: Vec<ObjectRef> = plan.revoked.iter().cloned().collect();
    (!objects.is_empty()).then_some(Op::Prune {
        fleets: BTreeSet::new(),
        objects,
        drain: Duration::ZERO,
    })
}

/// Names what is deleted so that machines that leave cannot use their tokens any more: by the
/// entries that go with them, and by themselves where the control plane makes the entries.
pub(super) fn secrets_of(
    plan: &Plan,
    desired: Option<&DesiredFleet>,
    entries: &[ObjectRef],
    leaving: &[(&Scope, &MachineRef)],
) -> BTreeSet<ObjectRef> {
    let machines = leaving.iter().map(|(_, machine)| *machine);
    let by_name: BTreeMap<&str, &MachineRef> = machines
        .map(|machine| (machine.name.as_str(), machine))
        .collect();
    let by_entry = entries.iter().filter_map(|entry| {
        let machine = by_name.get(entry.name.as_str())?;
        Some((entry.namespace.as_str(), machine.token_of()))
    });
    let membership = desired.and_then(|desired| desired.membership.as_ref());
    let by_itself = membership.into_iter().flat_map(|membership| {
        let namespace = membership.namespace.as_str();
        let machines = by_name.values();
        machines.map(move |machine| (namespace, machine.token_of()))
    });
    secrets(plan, by_entry.chain(by_itself))
}

/// Adds, to objects that go, what the tokens of the machines are bound to whose entries go.
pub(super) fn with_entries(plan: &Plan, objects: Vec<ObjectRef>) -> Vec<ObjectRef> {
    let going: BTreeSet<&ObjectRef> = objects.iter().collect();
    let changes = plan.objects.iter();
    let entries = changes.filter_map(|change| {
        let machine = change.token_of.as_ref().or(change.machine.as_ref())?;
        let is_going = going.contains(&change.reference);
        is_going.then_some((change.reference.namespace.as_str(), machine.as_str()))
    });
    let secrets = secrets(plan, entries);
    secrets.into_iter().chain(objects).collect()
}

/// Names what the tokens of machines are bound to, where there is somebody who makes tokens: a
/// machine may have been given one though the file gives none any more.
fn secrets<'a>(
    plan: &Plan,
    machines: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeSet<ObjectRef> {
    match plan.context.mesh {
        Some(Target::Kubernetes(_)) => {}
        Some(Target::Manifests(_)) | None => return BTreeSet::new(),
    }
    machines
        .map(|(namespace, machine)| secret_ref(namespace, machine))
        .collect()
}
