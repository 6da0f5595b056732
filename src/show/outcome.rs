//! How a run ended, and what its steps are called.

use std::collections::{BTreeMap, BTreeSet};

use super::{HINT, REMOVE, STRONG, counted, few, paint};
use crate::apply::Outcome;
use crate::many::alike;
use crate::plan::Plan;
use crate::steps::{Op, lower};

/// Returns what went wrong, and then the last line.
pub fn outcome(plan: &Plan, outcome: &Outcome) -> (String, String) {
    let Outcome {
        done: _,
        failed,
        skipped,
        created,
        changed,
        deleted,
        mesh,
    } = outcome;
    let graph = lower(plan);
    let names: BTreeMap<&str, String> = graph
        .steps
        .iter()
        .map(|step| (step.id.as_str(), describe(&step.op)))
        .collect();
    let name = |id: &str| names.get(id).cloned().unwrap_or_else(|| id.to_owned());
    let mut troubles = String::new();
    // The steps of a fleet fail by the hundred, and for one reason.
    let told = alike(failed.iter().collect(), |failure| {
        Some((&failure.message, &failure.hint))
    });
    for alike in told {
        let failure = alike[0];
        let sign = paint(REMOVE.bold(), "Error:");
        let what = paint(STRONG, times(alike.iter().map(|f| name(&f.step))));
        troubles.push_str(&format!("{sign} {what}: {}\n", failure.message));
        if let Some(hint) = &failure.hint {
            troubles.push_str(&format!("  {} {hint}\n", paint(HINT, "hint:")));
        }
    }
    if !skipped.is_empty() {
        let skipped = times(skipped.keys().map(|id| name(id)));
        troubles.push_str(&format!("Not started: {skipped}.\n"));
    }
    let end = if outcome.is_complete() {
        "Done:"
    } else {
        "Stopped:"
    };
    let mesh = match plan.context.mesh {
        Some(_) => format!("; mesh: {} written, {} deleted", mesh.written, mesh.deleted),
        None => String::new(),
    };
    let end = format!(
        "{} {created} created, {changed} changed, {deleted} deleted{mesh}.\n",
        paint(STRONG, end)
    );
    (troubles, end)
}

/// Joins the first few names of many, and says of each how often it is there.
fn times(names: impl Iterator<Item = String>) -> String {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let told: Vec<String> = counts
        .into_iter()
        .map(|(name, count)| match count {
            1 => name,
            _ => format!("{name} ({count} times)"),
        })
        .collect();
    few(told.iter().map(String::as_str))
}

/// Says what a step does, in a few words.
pub fn describe(op: &Op) -> String {
    match op {
        Op::Prepare { fleet } => format!("prepare fleet {fleet}"),
        Op::Create(batch) => format!(
            "create {} of fleet {} in {}",
            counted(batch.count, "machine"),
            batch.fleet,
            batch.zone
        ),
        Op::Await { fleet, .. } => format!("wait for fleet {fleet}"),
        Op::Enter { fleet, .. } => format!("register fleet {fleet}"),
        Op::Change { fleet, update, .. } => {
            let count = counted(update.machines.len() as u64, "machine");
            format!("change {count} of fleet {fleet}")
        }
        Op::Delete {
            fleet, machines, ..
        } if machines.is_empty() => format!("clear up after fleet {fleet}"),
        Op::Delete {
            fleet, machines, ..
        } => {
            let count = counted(machines.len() as u64, "machine");
            format!("delete {count} of fleet {fleet}")
        }
        Op::Write { fleets, objects } => {
            format!("write {}", objects_of(fleets, objects.len()))
        }
        Op::Prune {
            fleets,
            objects,
            drain,
        } => {
            let removes = format!("remove {}", objects_of(fleets, objects.len()));
            match drain.is_zero() {
                true => removes,
                false => format!("{removes}, and let connections end for {drain:?}"),
            }
        }
    }
}

/// Counts objects, and says which fleets they are for.
fn objects_of(fleets: &BTreeSet<String>, objects: usize) -> String {
    let objects = counted(objects as u64, "object");
    let names = few(fleets.iter().map(String::as_str));
    match fleets.len() {
        0 => objects,
        1 => format!("{objects} of fleet {names}"),
        _ => format!("{objects} of fleets {names}"),
    }
}
