//! What the last complete run left in the mesh. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Applied;
use crate::desired::Desired;
use crate::mesh::{ObjectRef, objects};

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
