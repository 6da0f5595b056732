//! Plans what fleets have in the mesh, of the file and of what becomes of their machines. Pure.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::labels;

use super::fleet::FleetOutcome;
use super::last;
use super::objects::{ObjectsInput, ObjectsPlan, plan_objects};
use super::planner::Input;
use super::{Action, Drift, FieldChange, ObjectAction, ObjectChange, Reason};
use crate::desired::DesiredFleet;
use crate::mesh::{Object, ObjectRef, Seen, objects};
use crate::observed::ObservedMachine;

/// Plans the objects of all fleets that are looked at.
pub(super) fn plan_mesh(
    input: &Input<'_>,
    by_fleet: &BTreeMap<&str, Vec<&ObservedMachine>>,
    outcomes: &BTreeMap<&str, FleetOutcome>,
) -> ObjectsPlan {
    if input.context.mesh.is_none() {
        return ObjectsPlan::default();
    }
    let stack = &input.desired.stack;
    let mut wanted: BTreeMap<ObjectRef, Object> = BTreeMap::new();
    let mut untouched = BTreeSet::new();
    if !input.options.destroy {
        for (fleet, desired) in &input.desired.fleets {
            let Some(side) = desired.side() else {
                continue;
            };
            let own = objects::of_fleet(stack, fleet, side);
            wanted.extend(own.into_iter().map(|o| (o.reference.clone(), o)));
            let machines = by_fleet.get(fleet.as_str()).into_iter().flatten();
            let adopted = input.observed.adoptable.iter();
            for observed in machines.copied().chain(adopted) {
                let machine = &observed.machine;
                let outcome = outcomes.get(fleet.as_str());
                if outcome.is_none_or(|outcome| !outcome.staying.contains(&machine.name)) {
                    continue;
                }
                let locality = observed.scope.locality(&machine.zone);
                match objects::entry(stack, fleet, side, machine, locality) {
                    Some(entry) if machine.is_available() || side.enters_early() => {
                        wanted.insert(entry.reference.clone(), entry);
                    }
                    Some(_) | None if side.has_entries() => {
                        untouched.insert(machine.name.clone());
                    }
                    Some(_) | None => {}
                }
            }
        }
    }
    // With --target, what belongs to other fleets is neither written nor pruned; an
    // account has no fleet, and is pruned only when every fleet is looked at.
    let of_covered = |object: &Object| match object.label(labels::FLEET) {
        Some(fleet) => input.options.covers(fleet),
        None => input.options.targets.is_empty(),
    };
    let accounts: BTreeSet<ObjectRef> = input
        .desired
        .fleets
        .iter()
        .filter(|(fleet, _)| input.options.covers(fleet))
        .filter_map(|(_, desired)| objects::account_ref(desired.side()?))
        .collect();
    // One that a fleet uses and another makes is the stack's.
    let sides = || input.desired.fleets.values().filter_map(DesiredFleet::side);
    let made: BTreeSet<ObjectRef> = sides()
        .filter(|side| objects::used_account(*side).is_none())
        .filter_map(objects::account_ref)
        .collect();
    let used: BTreeSet<ObjectRef> = sides()
        .filter_map(objects::used_account)
        .filter(|account| !made.contains(account))
        .collect();
    wanted.retain(|reference, object| of_covered(object) || accounts.contains(reference));
    // What moved to another fleet in the file is that fleet's, whatever its label still says.
    let elsewhere: BTreeSet<ObjectRef> = input
        .desired
        .fleets
        .iter()
        .filter(|(fleet, _)| !input.options.covers(fleet))
        .filter_map(|(fleet, desired)| Some((fleet, desired.side()?)))
        .flat_map(|(fleet, side)| objects::of_fleet(stack, fleet, side))
        .map(|object| object.reference)
        .collect();
    let looked_at = |Seen { object, .. }: &&Seen| {
        let is_own = of_covered(object) && !elsewhere.contains(&object.reference);
        is_own || wanted.contains_key(&object.reference)
    };
    let observed: Vec<&Seen> = input.observed.objects.iter().filter(looked_at).collect();
    let ending: Vec<&Seen> = input.observed.ending.iter().filter(looked_at).collect();
    let leaving = |name: &str| {
        outcomes
            .values()
            .all(|outcome| !outcome.staying.contains(name))
    };
    let forgotten: BTreeSet<&str> = outcomes
        .values()
        .flat_map(|outcome| &outcome.plan.changes)
        .filter(|change| change.action == Action::Forget)
        .flat_map(|change| &change.machines)
        .map(|machine| machine.name.as_str())
        .collect();
    let existing = input
        .observed
        .machines
        .iter()
        .map(|m| m.machine.name.as_str())
        .collect();
    plan_objects(ObjectsInput {
        wanted,
        observed: &observed,
        untouched: &untouched,
        existing: &existing,
        leaving: &leaving,
        forgotten: &forgotten,
        used: &used,
        last: &input.last.objects,
        ending: &ending,
        last_entries: last::entries(&input.desired, input.last),
        unwanted: if input.options.destroy {
            Reason::Destroyed
        } else {
            Reason::FleetRemoved
        },
    })
}

/// Returns what a change of an object mends that was done outside meshvm.
pub(super) fn object_drift(change: &ObjectChange) -> Option<Drift> {
    // What an apply only waits for, meshvm itself may have deleted.
    let is_waited_for = match (&change.reason, change.action) {
        (Reason::Ending { .. }, ObjectAction::Delete) => true,
        (_, _) => false,
    };
    (change.reason.is_drift() && !is_waited_for).then(|| Drift {
        subject: change.reference.to_string(),
        reason: change.reason.clone(),
        count: 1,
        machines: change.machine.iter().cloned().collect(),
        differences: change
            .differences
            .iter()
            .map(|field| FieldChange {
                field: field.field.clone(),
                before: field.after.clone(),
                after: field.before.clone(),
            })
            .collect(),
    })
}
