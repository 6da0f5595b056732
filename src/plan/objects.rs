//! Plans the objects of the mesh. Pure.
//!
//! An object's own label holds the hash of what it was written from: content
//! that no longer has that hash was changed by somebody else, and is drift.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::labels;
use meshvm_provider_api::template::flatten;
use serde_json::Value;

use super::{Drift, FieldChange, ObjectAction, ObjectChange, Reason};
use crate::mesh::{MACHINE_LABEL, Object, ObjectRef, Seen, TOKEN_LABEL};

/// What the mesh is planned from.
pub struct ObjectsInput<'a> {
    /// The objects that shall exist.
    pub wanted: BTreeMap<ObjectRef, Object>,
    /// The stack's objects that exist.
    pub observed: &'a [&'a Seen],
    /// Machines whose entries stay as they are, by name: those still starting.
    pub untouched: &'a BTreeSet<String>,
    /// Machines that exist, by name.
    pub existing: &'a BTreeSet<&'a str>,
    /// Tells whether a machine that exists goes.
    pub leaving: &'a dyn Fn(&str) -> bool,
    /// Machines that are let go, by name: their entries are let go with them.
    pub forgotten: &'a BTreeSet<&'a str>,
    /// Objects that fleets use and that are others' to make: the stack lets them go.
    pub used: &'a BTreeSet<ObjectRef>,
    /// The objects that the last finished run left, beside machines' entries.
    pub last: &'a BTreeSet<ObjectRef>,
    /// How many machines' entries it left, by fleet.
    pub last_entries: BTreeMap<String, u32>,
    /// The stack's objects that are being deleted.
    pub ending: &'a [&'a Seen],
    /// Why an object that is not wanted goes.
    pub unwanted: Reason,
}

/// What is planned of the objects.
#[derive(Default)]
pub struct ObjectsPlan {
    /// What changes.
    pub changes: Vec<ObjectChange>,
    /// What is told and left as it is.
    pub left: Vec<Drift>,
}

/// Plans the objects.
pub fn plan_objects(mut input: ObjectsInput<'_>) -> ObjectsPlan {
    let (mut changes, mut left) = (Vec::new(), Vec::new());
    for observed in input.observed {
        match input.wanted.remove(&observed.object.reference) {
            Some(wanted) => {
                left.extend(extended(observed, &wanted));
                changes.extend(compare(observed, wanted));
            }
            None => changes.extend(unwanted(&input, observed)),
        }
    }
    let mut ending: BTreeMap<&ObjectRef, Reason> = BTreeMap::new();
    for seen in input.ending {
        let kept_by = seen.ending.clone().unwrap_or_default();
        let reason = Reason::Ending { kept_by };
        if input.wanted.contains_key(&seen.object.reference) {
            ending.insert(&seen.object.reference, reason);
            continue;
        }
        // It is waited for, and not told as gone before it is; what was to be let go is not kept.
        let going = unwanted(&input, seen).filter(|it| it.action == ObjectAction::Delete);
        changes.extend(going.map(|change| ObjectChange { reason, ..change }));
    }
    // Entries are counted, not named: the ledger keeps no list of machines.
    let mut lost = input.last_entries;
    for observed in input.observed {
        if let Some(left) = entry_fleet(&observed.object).and_then(|fleet| lost.get_mut(fleet)) {
            *left = left.saturating_sub(1);
        }
    }
    let mut is_lost = |object: &Object| match entry_fleet(object).map(|fleet| lost.get_mut(fleet)) {
        Some(Some(left)) if *left > 0 => {
            *left -= 1;
            true
        }
        Some(_) => false,
        None => input.last.contains(&object.reference),
    };
    changes.extend(input.wanted.into_values().map(|object| ObjectChange {
        action: ObjectAction::Create,
        reason: match ending.remove(&object.reference) {
            Some(reason) => reason,
            None if is_lost(&object) => Reason::Missing,
            None => Reason::Absent,
        },
        reference: object.reference.clone(),
        fleet: object.label(labels::FLEET).map(str::to_owned),
        machine: object.label(MACHINE_LABEL).map(str::to_owned),
        token_of: object.label(TOKEN_LABEL).map(str::to_owned),
        object: Some(object),
        differences: Vec::new(),
        conflicts: Vec::new(),
    }));
    changes.sort_by(|a, b| a.reference.cmp(&b.reference));
    ObjectsPlan { changes, left }
}

/// Returns what others added to an object, by who did.
fn extended(observed: &Seen, wanted: &Object) -> Vec<Drift> {
    let mut by_manager: BTreeMap<String, Vec<FieldChange>> = BTreeMap::new();
    for added in observed.additions(&wanted.body) {
        let change = FieldChange {
            field: added.field,
            before: None,
            after: Some(added.theirs),
        };
        by_manager.entry(added.manager).or_default().push(change);
    }
    let drift = by_manager.into_iter().map(|(by, differences)| Drift {
        subject: wanted.reference.to_string(),
        reason: Reason::Extended { by },
        count: 1,
        machines: wanted
            .label(MACHINE_LABEL)
            .map(str::to_owned)
            .into_iter()
            .collect(),
        differences,
    });
    drift.collect()
}

/// Returns the fleet of a machine's entry; `None` for any other object.
fn entry_fleet(object: &Object) -> Option<&str> {
    object.label(MACHINE_LABEL)?;
    object.label(labels::FLEET)
}

fn unwanted(input: &ObjectsInput<'_>, observed: &Seen) -> Option<ObjectChange> {
    let machine = observed.object.label(MACHINE_LABEL);
    if machine.is_some_and(|name| input.untouched.contains(name)) {
        return None;
    }
    let forgotten = machine.is_some_and(|name| input.forgotten.contains(name));
    let used = input.used.contains(&observed.object.reference);
    let (action, reason) = match machine {
        Some(_) if forgotten => (ObjectAction::Release, Reason::Requested),
        None if used => (ObjectAction::Release, Reason::NotMade),
        Some(name) if !input.existing.contains(name) => (ObjectAction::Delete, Reason::Stale),
        Some(name) if (input.leaving)(name) => (ObjectAction::Delete, Reason::MachineGoes),
        Some(_) | None => (ObjectAction::Delete, input.unwanted.clone()),
    };
    Some(ObjectChange {
        action,
        reason,
        reference: observed.object.reference.clone(),
        object: (action == ObjectAction::Release).then(|| observed.released()),
        fleet: observed.object.label(labels::FLEET).map(str::to_owned),
        machine: machine.map(str::to_owned),
        token_of: observed.object.label(TOKEN_LABEL).map(str::to_owned),
        differences: Vec::new(),
        conflicts: Vec::new(),
    })
}

fn compare(observed: &Seen, wanted: Object) -> Option<ObjectChange> {
    let before = observed.comparable(&wanted.body);
    if *before == wanted.body && observed.lost_owner.is_none() {
        return None;
    }
    let mut differences = fields(&before, &wanted.body);
    differences.extend(observed.lost_owner.as_ref().map(|owner| FieldChange {
        field: "metadata.ownerReferences".to_owned(),
        before: None,
        after: Some(owner.to_string()),
    }));
    let reason = if observed.object.written_spec() == wanted.written_spec() {
        Reason::Drifted
    } else {
        Reason::FileChanged
    };
    Some(ObjectChange {
        action: ObjectAction::Update,
        reason,
        reference: wanted.reference.clone(),
        fleet: wanted.label(labels::FLEET).map(str::to_owned),
        machine: wanted.label(MACHINE_LABEL).map(str::to_owned),
        token_of: wanted.label(TOKEN_LABEL).map(str::to_owned),
        differences,
        conflicts: observed.conflicts(&wanted.body),
        object: Some(wanted),
    })
}

/// Returns the leaves in which two manifests differ; the hash in the label says nothing to a person.
fn fields(before: &Value, after: &Value) -> Vec<FieldChange> {
    let (before, after) = (flatten(before), flatten(after));
    let seal = format!("metadata.labels.{}", labels::SPEC);
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| **name != seal && before.get(*name) != after.get(*name))
        .map(|name| FieldChange {
            field: name.clone(),
            before: before.get(name).map(Value::to_string),
            after: after.get(name).map(Value::to_string),
        })
        .collect()
}
