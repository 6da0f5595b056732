//! What a plan does in the mesh, as text.

use std::collections::BTreeMap;

use super::{Text, fields, names_of, of_one_kind, otherwise};
use crate::desired::DesiredFleet;
use crate::many::alike;
use crate::mesh::HeldField;
use crate::plan::{FieldChange, ObjectAction, ObjectChange, Plan, Reason};
use crate::show::{ADD, CHANGE, FAINT, REMOVE, STRONG, few, paint};
use crate::steps::routing;

/// Tells what happens in the mesh.
pub(super) fn mesh(out: &mut Text, plan: &Plan) {
    let Some(target) = &plan.context.mesh else {
        return;
    };
    let entries = new_entries(plan);
    if plan.objects.is_empty() && entries.is_empty() && plan.revoked.is_empty() {
        return;
    }
    out.line(
        0,
        format!("{}: {}", paint(STRONG, "mesh"), paint(FAINT, target)),
    );
    for namespace in &plan.namespaces {
        let why = paint(FAINT, format!("({})", Reason::Absent));
        let sign = sign(ObjectAction::Create);
        out.line(1, format!("{sign} Namespace {namespace} {why}"));
    }
    // Entries come by the hundred, and say no more than their machines do.
    let mut grouped: BTreeMap<(ObjectAction, &Reason), Vec<&str>> = BTreeMap::new();
    let mut changes = Vec::new();
    for change in &plan.objects {
        match &change.machine {
            Some(machine) if change.differences.is_empty() => grouped
                .entry((change.action, &change.reason))
                .or_default()
                .push(machine),
            Some(_) | None => changes.push(change),
        }
    }
    let told = alike(changes, |change| {
        let held = change.conflicts.iter();
        let held: Vec<_> = held.map(|held| (&held.field, &held.manager)).collect();
        let fields = names_of(&change.differences);
        let kind = &change.reference.kind;
        // What leads traffic says more than how it changes.
        let is_single = fields.is_empty() || routing::leaves_behind(plan, change);
        (!is_single).then_some((change.action, &change.reason, kind, fields, held))
    });
    for changes in told {
        objects(out, plan, &changes);
    }
    for ((action, reason), machines) in grouped {
        let text = format!("WorkloadEntry of {}", few(machines.iter().copied()));
        let why = paint(FAINT, format!("({reason})"));
        out.line(1, format!("{} {text} {why}", sign(action)));
    }
    if !plan.revoked.is_empty() {
        let names = plan.revoked.iter().map(|secret| secret.name.as_str());
        let why = paint(FAINT, format!("({})", Reason::Stale));
        let sign = sign(ObjectAction::Delete);
        out.line(
            1,
            format!("{sign} token bound to Secret {} {why}", few(names)),
        );
    }
    for (fleet, count) in entries {
        let entries = if count == 1 {
            "WorkloadEntry"
        } else {
            "WorkloadEntries"
        };
        let note = paint(FAINT, "(address known after apply)");
        out.line(
            1,
            format!(
                "{} {count} {entries} of fleet {fleet} {note}",
                paint(ADD, "+")
            ),
        );
    }
    out.blank();
}

/// Tells what happens to an object, or to many of one kind to which the same happens.
fn objects(out: &mut Text, plan: &Plan, changes: &[&ObjectChange]) {
    let Some((first, others)) = changes.split_first() else {
        return;
    };
    let why = paint(FAINT, format!("({})", first.reason));
    let names: Vec<String> = changes.iter().map(|c| c.reference.to_string()).collect();
    let names = of_one_kind(names.iter().map(String::as_str));
    out.line(1, format!("{} {names} {why}", sign(first.action)));
    let differences: Vec<&[FieldChange]> =
        changes.iter().map(|c| c.differences.as_slice()).collect();
    fields(out, 3, &differences);
    let mark = paint(CHANGE, "!");
    for (index, held) in first.conflicts.iter().enumerate() {
        let values = |held: &HeldField| (held.theirs.clone(), held.ours.clone());
        let is_other =
            |change: &&&ObjectChange| change.conflicts.get(index).map(values) != Some(values(held));
        let others = otherwise(others.iter().filter(is_other).count());
        out.line(
            3,
            format!("{mark} {held}: only with --force-conflicts{others}"),
        );
    }
    if routing::leaves_behind(plan, first) {
        let when = "when the first new machines are there, and those of before take no traffic from then on";
        out.line(3, format!("{mark} {when}"));
    }
}

fn sign(action: ObjectAction) -> String {
    match action {
        ObjectAction::Create => paint(ADD, "+"),
        ObjectAction::Update => paint(CHANGE, "~"),
        ObjectAction::Delete => paint(REMOVE, "-"),
        ObjectAction::Release => format!("{} let go", paint(CHANGE, "→")),
    }
}

/// Returns how many entries will be written for machines that do not exist yet, by fleet.
pub(super) fn new_entries(plan: &Plan) -> BTreeMap<&str, u32> {
    let mut entries: BTreeMap<&str, u32> = BTreeMap::new();
    for (fleet, change) in plan.changes() {
        let desired = plan.desired.fleets.get(fleet);
        let made: u32 = change.zones.values().sum();
        let side = desired.and_then(DesiredFleet::side);
        if made > 0 && side.is_some_and(|side| side.has_entries()) {
            *entries.entry(fleet).or_default() += made;
        }
    }
    entries
}
