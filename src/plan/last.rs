//! What the last complete run asked for, and left in the mesh. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Parts, Plan};
use crate::desired::{Boot, Desired};
use crate::mesh::{ObjectRef, objects};

/// What the last finished run asked for; the world is compared with it only to tell drift from change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Applied {
    /// Replicas by fleet.
    pub replicas: BTreeMap<String, u32>,
    /// What machines' user-data was made from, by fleet.
    #[serde(default)]
    pub boots: BTreeMap<String, Boot>,
    /// The objects that fleets have beside their machines' entries.
    #[serde(default)]
    pub objects: BTreeSet<ObjectRef>,
    /// Where these are, in the file's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<String>,
    /// What tells that mesh from others of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_identity: Option<String>,
    /// What fleets have beside machines, or may have: a run that failed may have made it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub parts: Parts,
}

/// Returns what there is to remember before a plan is applied, where that is more than before.
pub fn with_parts(plan: &Plan, mut last: Applied) -> Option<Applied> {
    let known = last.parts.len();
    last.parts.extend(plan.parts.iter().cloned());
    (last.parts.len() > known).then_some(last)
}

/// Returns what there is to remember once a plan is applied after `last`.
pub fn after(plan: &Plan, last: &Applied) -> Applied {
    let mut applied = last.clone();
    let Applied {
        replicas, boots, ..
    } = &mut applied;
    let options = &plan.options;
    replicas.retain(|fleet, _| plan.desired.fleets.contains_key(fleet) || !options.covers(fleet));
    for (fleet, desired) in &plan.desired.fleets {
        if options.covers(fleet) {
            replicas.insert(fleet.clone(), desired.replicas);
            if desired.knows_boot() {
                boots.insert(fleet.clone(), desired.boot.clone());
            }
        }
    }
    if options.destroy {
        replicas.retain(|fleet, _| !options.covers(fleet));
    }
    boots.retain(|fleet, _| replicas.contains_key(fleet));
    applied.objects = match plan.context.mesh {
        Some(_) => objects(&plan.desired, &applied),
        None => BTreeSet::new(),
    };
    let has_objects = !applied.objects.is_empty();
    applied.mesh = plan.context.mesh_name.clone().filter(|_| has_objects);
    let identity = plan.context.mesh_identity.clone();
    applied.mesh_identity = identity.filter(|_| has_objects);
    applied.parts.clone_from(&plan.parts);
    applied
}

/// Returns how many machines' entries it left, by fleet.
pub fn entries(desired: &Desired, last: &Applied) -> BTreeMap<String, u32> {
    let Applied {
        replicas,
        objects,
        boots,
        ..
    } = last;
    let entered_by_itself = |fleet: &str| {
        let from = boots.get(fleet)?.from.get("membership.autoRegister")?;
        Some(from == "true")
    };
    let was_member = |fleet: &str| {
        let side = desired.fleets.get(fleet)?.side()?;
        let had_entries = side.has_entries() && entered_by_itself(fleet) != Some(true);
        Some(had_entries && objects.contains(&objects::anchor_ref(fleet, side)))
    };
    replicas
        .iter()
        .filter(|(fleet, _)| was_member(fleet) == Some(true))
        .map(|(fleet, count)| (fleet.clone(), *count))
        .collect()
}

/// Returns the objects that fleets have beside their machines' entries, after what was `applied`.
pub fn objects(desired: &Desired, applied: &Applied) -> BTreeSet<ObjectRef> {
    desired
        .fleets
        .iter()
        .filter(|(fleet, _)| applied.replicas.contains_key(*fleet))
        .filter_map(|(fleet, desired)| Some((fleet, desired.side()?)))
        .flat_map(|(fleet, side)| objects::of_fleet(&desired.stack, fleet, side))
        .map(|object| object.reference)
        .collect()
}
