//! The steps that write and delete objects of the mesh, each for the fleets that need the object:
//! what is refused to one fleet keeps no other. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meshvm_provider_api::labels;

use super::lower::Graph;
use super::{Op, StepGraph, leave, routing};
use crate::desired::DesiredFleet;
use crate::mesh::{Object, ObjectRef, objects};
use crate::plan::{ObjectAction, ObjectChange, Plan};

/// Some fleets, by name.
type Fleets = BTreeSet<String>;

/// The steps that write what fleets need from their first machine on.
#[derive(Default)]
pub(super) struct Writes {
    by_fleet: BTreeMap<String, Vec<usize>>,
    /// What nobody can tell the fleet of: all wait for it.
    of_nobody: Vec<usize>,
    all: Vec<usize>,
}

impl Writes {
    /// Returns the steps that a fleet's machines wait for.
    pub(super) fn of(&self, fleet: &str) -> Vec<usize> {
        let own = self.by_fleet.get(fleet);
        own.unwrap_or(&self.of_nobody).clone()
    }
}

impl StepGraph {
    /// Names the objects that are written before any machine is touched, and those that are deleted
    /// with nothing to do after.
    pub fn first_and_last_objects(&self) -> (Vec<&ObjectRef>, Vec<&ObjectRef>) {
        let is_write = |step: &usize| matches!(self.steps[*step].op, Op::Write { .. });
        let needed: BTreeSet<usize> = self.steps.iter().flat_map(|s| s.needs.clone()).collect();
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for (index, step) in self.steps.iter().enumerate() {
            match &step.op {
                Op::Write { objects, .. } if step.needs.iter().all(is_write) => {
                    first.extend(objects.iter().map(|object| &object.reference));
                }
                Op::Prune { objects, .. } if !needed.contains(&index) => last.extend(objects),
                Op::Write { .. }
                | Op::Prune { .. }
                | Op::Prepare { .. }
                | Op::Create(_)
                | Op::Await { .. }
                | Op::Enter { .. }
                | Op::Change { .. }
                | Op::Delete { .. } => {}
            }
        }
        (first, last)
    }
}

/// Adds the steps that write objects: first what several fleets need, then each fleet's own.
pub(super) fn write(graph: &mut Graph<'_>) -> Writes {
    let plan = graph.plan;
    let mut groups: BTreeMap<Fleets, Vec<Object>> = BTreeMap::new();
    let written = plan
        .objects
        .iter()
        .filter(|change| change.action != ObjectAction::Delete && !routing::is_late(plan, change));
    for change in written {
        let objects = groups.entry(fleets_of(plan, change)).or_default();
        objects.extend(change.object.clone());
    }
    let (own, shared): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .partition(|(fleets, _)| fleets.len() == 1);
    let mut writes = Writes::default();
    for (fleets, objects) in shared {
        let id = id("write", &fleets);
        let op = Op::Write {
            fleets: fleets.clone(),
            objects,
        };
        let step = graph.push(id, op, Vec::new());
        writes.all.push(step);
        // It is the first: no fleet comes before some.
        if fleets.is_empty() {
            writes.of_nobody.push(step);
        }
        for fleet in fleets {
            let of_nobody = &writes.of_nobody;
            let steps = writes.by_fleet.entry(fleet);
            steps.or_insert_with(|| of_nobody.clone()).push(step);
        }
    }
    for (fleets, objects) in own {
        let id = id("write", &fleets);
        let needs = fleets.iter().flat_map(|fleet| writes.of(fleet)).collect();
        let op = Op::Write {
            fleets: fleets.clone(),
            objects,
        };
        let step = graph.push(id, op, needs);
        writes.all.push(step);
        for fleet in fleets {
            writes.by_fleet.insert(fleet, vec![step]);
        }
    }
    writes
}

/// Adds the steps that delete what is left to delete, when no machine needs it any more; `ends` are
/// the last steps of fleets whose machines change.
pub(super) fn prune(
    graph: &mut Graph<'_>,
    pruned: &BTreeSet<ObjectRef>,
    writes: &Writes,
    ends: &BTreeMap<&str, Vec<usize>>,
) {
    let plan = graph.plan;
    let mut groups: BTreeMap<Fleets, Vec<ObjectRef>> = BTreeMap::new();
    let left = plan.objects.iter().filter(|change| {
        change.action == ObjectAction::Delete && !pruned.contains(&change.reference)
    });
    for change in left {
        let objects = groups.entry(fleets_of(plan, change)).or_default();
        objects.push(change.reference.clone());
    }
    for (fleets, objects) in groups {
        let needs: BTreeSet<usize> = match fleets.is_empty() {
            // Nobody knows who needed it.
            true => ends
                .values()
                .flatten()
                .chain(&writes.all)
                .copied()
                .collect(),
            false => {
                let ends = fleets.iter().map(|fleet| match ends.get(fleet.as_str()) {
                    Some(ends) => ends.clone(),
                    None => writes.of(fleet),
                });
                ends.flatten().collect()
            }
        };
        let id = id("prune", &fleets);
        let op = Op::Prune {
            fleets,
            objects: leave::with_entries(plan, objects),
            drain: Duration::ZERO,
        };
        graph.push(id, op, needs.into_iter().collect());
    }
}

/// Names a step that is for some fleets.
fn id(what: &str, fleets: &Fleets) -> String {
    match fleets.is_empty() {
        true => format!("mesh/{what}"),
        // No name of a fleet has a plus.
        false => format!(
            "{what}/{}",
            fleets
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join("+")
        ),
    }
}

/// Returns the fleets that need an object: its own; an account has none, and is needed by all whose
/// membership names it. None where nobody can tell any more.
fn fleets_of(plan: &Plan, change: &ObjectChange) -> Fleets {
    let label = || change.object.as_ref()?.label(labels::FLEET);
    if let Some(own) = change.fleet.as_deref().or_else(label) {
        return Fleets::from([own.to_owned()]);
    }
    let names = |desired: &DesiredFleet| {
        let account = desired.side().and_then(objects::account_ref);
        account.as_ref() == Some(&change.reference)
    };
    let fleets = plan.desired.fleets.iter();
    fleets
        .filter(|(_, desired)| names(desired))
        .map(|(fleet, _)| fleet.clone())
        .collect()
}
