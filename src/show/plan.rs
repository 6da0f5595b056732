//! A plan as text: only what changes, and why.

use std::collections::BTreeMap;

use meshvm_provider_api::Difference;

use super::{ADD, CHANGE, FAINT, REMOVE, STRONG, counted, few, paint};
use crate::desired::DesiredFleet;
use crate::plan::{
    Action, Drift, FieldChange, MachineChange, ObjectAction, ObjectChange, Plan, Reason, Waiting,
};
use crate::steps::routing;

/// Returns a plan as text.
pub fn plan(plan: &Plan) -> String {
    let mut out = Text::default();
    drift(&mut out, plan);
    waiting(&mut out, plan);
    for (fleet, changes) in &plan.fleets {
        if changes.changes.is_empty() {
            continue;
        }
        let provider = plan.desired.fleets.get(fleet).map_or_else(
            || changes.changes[0].scope.to_string(),
            |desired| desired.template.scope.to_string(),
        );
        out.line(
            0,
            format!(
                "{} {}",
                paint(STRONG, format!("fleet {fleet}")),
                paint(FAINT, format!("in {provider}"))
            ),
        );
        for change in &changes.changes {
            machines(&mut out, plan, fleet, change);
        }
        out.blank();
    }
    mesh(&mut out, plan);
    out.line(0, summary(plan));
    out.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, indent: usize, text: impl AsRef<str>) {
        self.0.push_str(&" ".repeat(indent * 2));
        self.0.push_str(text.as_ref());
        self.0.push('\n');
    }

    fn blank(&mut self) {
        self.0.push('\n');
    }
}

fn drift(out: &mut Text, plan: &Plan) {
    if plan.drift.is_empty() {
        return;
    }
    out.line(0, paint(STRONG, "Drift since the last complete apply:"));
    let sign = paint(CHANGE, "!");
    // Entries come by the hundred, and say no more than their machines do.
    let mut entries: BTreeMap<&Reason, Vec<&str>> = BTreeMap::new();
    let mut left: Vec<&str> = Vec::new();
    for Drift {
        subject,
        reason,
        count,
        machines,
        differences,
    } in &plan.drift
    {
        let names = || machines.iter().map(String::as_str);
        let is_fleet =
            plan.desired.fleets.contains_key(subject) || plan.fleets.contains_key(subject);
        let what = if !is_fleet {
            subject.clone()
        } else if machines.is_empty() {
            format!("fleet {subject}: {}", counted(*count, "machine"))
        } else {
            format!("fleet {subject}: {}", few(names()))
        };
        if !is_fleet && !machines.is_empty() && differences.is_empty() {
            entries.entry(reason).or_default().extend(names());
            continue;
        }
        if *reason == Reason::Left {
            left.push(subject);
            continue;
        }
        out.line(1, format!("{sign} {what} {reason}"));
        for change in differences {
            field(out, 3, change);
        }
    }
    if !left.is_empty() {
        let entries = few(left.into_iter());
        out.line(1, format!("{sign} {entries} {}", Reason::Left));
    }
    for (reason, machines) in entries {
        let machines = few(machines.into_iter());
        out.line(1, format!("{sign} WorkloadEntry of {machines}: {reason}"));
    }
    out.blank();
}

fn waiting(out: &mut Text, plan: &Plan) {
    for waiting in &plan.waiting {
        match waiting {
            Waiting::Readiness { fleet, machines } => out.line(
                0,
                format!(
                    "{} fleet {fleet}: waits for {} to become ready",
                    paint(CHANGE, "…"),
                    few(machines.iter().map(String::as_str))
                ),
            ),
            Waiting::Unsettled { batch } => out.line(
                0,
                format!(
                    "{} fleet {}: an interrupted run may have created {} in zone {}; apply settles that first",
                    paint(CHANGE, "…"),
                    batch.fleet,
                    counted(batch.missing, "machine"),
                    batch.zone
                ),
            ),
        }
    }
    if !plan.waiting.is_empty() {
        out.blank();
    }
}

fn machines(out: &mut Text, plan: &Plan, fleet: &str, change: &MachineChange) {
    let why = paint(FAINT, format!("({})", change.reason));
    let names = few(change.machines.iter().map(|machine| machine.name.as_str()));
    let count = counted(change.count(), "machine");
    let text = match change.action {
        Action::Create => format!(
            "{} create {count} {}",
            paint(ADD, "+"),
            places(&change.zones)
        ),
        Action::Update if change.start => format!("{} start {names}", paint(CHANGE, "~")),
        Action::Update => format!("{} update {names} in place", paint(CHANGE, "~")),
        Action::Replace => {
            let both = format!("{}/{}", paint(REMOVE, "-"), paint(ADD, "+"));
            let text = format!("{both} replace {names}");
            match plan
                .desired
                .fleets
                .get(fleet)
                .map(|desired| desired.rollout)
            {
                // The zone is told where it is the point.
                Some(_) if change.reason == Reason::Moved => {
                    format!("{text}, the new {}", places(&change.zones))
                }
                Some(rollout) if change.count() > 1 => format!(
                    "{text}, at most {} extra and {} unavailable at a time",
                    rollout.max_surge, rollout.max_unavailable
                ),
                Some(_) | None => text,
            }
        }
        Action::Delete => format!("{} delete {names}", paint(REMOVE, "-")),
        Action::Adopt => format!("{} adopt {names}", paint(ADD, "←")),
        Action::Forget => {
            let stay = match change.count() {
                1 => "it stays as it is",
                _ => "they stay as they are",
            };
            format!("{} forget {names}; {stay}", paint(CHANGE, "→"))
        }
    };
    out.line(1, format!("{text} {why}"));
    for difference in &change.differences {
        field(out, 3, &shown(difference));
    }
    if change.action == Action::Create && change.reason == Reason::NewFleet {
        let attributes = plan
            .desired
            .fleets
            .get(fleet)
            .map(|d| &d.template.attributes);
        for (name, value) in attributes.into_iter().flatten() {
            out.line(3, format!("{name}: {value}"));
        }
    }
}

fn places(zones: &BTreeMap<String, u32>) -> String {
    let places: Vec<String> = zones
        .iter()
        .map(|(zone, count)| {
            if zones.len() == 1 {
                zone.clone()
            } else {
                format!("{zone} {count}")
            }
        })
        .collect();
    format!("in {}", places.join(", "))
}

fn shown(difference: &Difference) -> FieldChange {
    FieldChange {
        field: difference.attribute.clone(),
        before: difference.before.clone(),
        after: difference.after.clone(),
    }
}

fn field(out: &mut Text, indent: usize, change: &FieldChange) {
    let FieldChange {
        field,
        before,
        after,
    } = change;
    out.line(
        indent,
        match (before, after) {
            (None, Some(after)) => format!("{} {field}: {after}", paint(ADD, "+")),
            (Some(before), None) => format!("{} {field}: {before}", paint(REMOVE, "-")),
            (Some(before), Some(after)) => {
                format!("{} {field}: {before} -> {after}", paint(CHANGE, "~"))
            }
            (None, None) => field.clone(),
        },
    );
}

fn mesh(out: &mut Text, plan: &Plan) {
    let Some(target) = &plan.context.mesh else {
        return;
    };
    let entries = new_entries(plan);
    if plan.objects.is_empty() && entries.is_empty() {
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
    for change in &plan.objects {
        match &change.machine {
            Some(machine) if change.differences.is_empty() => grouped
                .entry((change.action, &change.reason))
                .or_default()
                .push(machine),
            Some(_) | None => object(out, plan, change),
        }
    }
    for ((action, reason), machines) in grouped {
        let text = format!("WorkloadEntry of {}", few(machines.iter().copied()));
        let why = paint(FAINT, format!("({reason})"));
        out.line(1, format!("{} {text} {why}", sign(action)));
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

fn object(out: &mut Text, plan: &Plan, change: &ObjectChange) {
    let why = paint(FAINT, format!("({})", change.reason));
    out.line(
        1,
        format!("{} {} {why}", sign(change.action), change.reference),
    );
    for change in &change.differences {
        field(out, 3, change);
    }
    let sign = paint(CHANGE, "!");
    for held in &change.conflicts {
        out.line(3, format!("{sign} {held}: only with --force-conflicts"));
    }
    if routing::leaves_behind(plan, change) {
        let when = "when the first new machines are there, and those of before take no traffic from then on";
        out.line(3, format!("{sign} {when}"));
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
fn new_entries(plan: &Plan) -> BTreeMap<&str, u32> {
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

/// Returns the last line: how much of what.
pub fn summary(plan: &Plan) -> String {
    if plan.changes().next().is_none() && plan.objects.is_empty() {
        return nothing_to_do(plan);
    }
    let machines = [
        (Action::Create, "to create"),
        (Action::Update, "to update"),
        (Action::Replace, "to replace"),
        (Action::Delete, "to delete"),
        (Action::Adopt, "to adopt"),
        (Action::Forget, "to forget"),
    ];
    let parts: Vec<String> = machines
        .into_iter()
        .map(|(action, text)| (plan.count(action), action, text))
        .filter(|(count, action, _)| *count > 0 || is_always_told(*action))
        .map(|(count, _, text)| format!("{count} {text}"))
        .collect();
    let machines = format!("{} {}", paint(STRONG, "Plan:"), parts.join(", "));
    if plan.context.mesh.is_none() {
        return format!("{machines}.");
    }
    let gone = plan
        .objects
        .iter()
        .filter(|o| o.action == ObjectAction::Delete)
        .count();
    let entries: u32 = new_entries(plan).values().sum();
    let written = plan.objects.len() - gone + usize::try_from(entries).unwrap_or(usize::MAX);
    format!("{machines}; mesh: {written} to write, {gone} to delete.")
}

/// Says why a plan has no changes.
fn nothing_to_do(plan: &Plan) -> String {
    let options = &plan.options;
    if !plan.waiting.is_empty() {
        return "No changes; apply finishes what an earlier run began.".to_owned();
    }
    if options.refresh_only {
        return if plan.drift.is_empty() {
            "No drift: clouds and mesh are what the last complete apply left.".to_owned()
        } else {
            "Nothing is planned about the drift (--refresh-only).".to_owned()
        };
    }
    if !options.destroy && !plan.drift.is_empty() {
        return "No changes: an apply cannot mend what is told above.".to_owned();
    }
    let targets = few(options.targets.iter().map(String::as_str));
    match (options.destroy, options.targets.is_empty()) {
        (true, true) => "Nothing to destroy: the stack has no machines and no objects.".to_owned(),
        (true, false) => format!("Nothing to destroy of {targets}."),
        (false, true) => "No changes: clouds and mesh are what the fleet file asks for.".to_owned(),
        (false, false) => format!("No changes: {targets} as the fleet file asks for."),
    }
}

fn is_always_told(action: Action) -> bool {
    match action {
        Action::Create | Action::Update | Action::Replace | Action::Delete => true,
        Action::Adopt | Action::Forget => false,
    }
}
