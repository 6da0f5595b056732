//! A plan as text: only what changes, and why.

mod mesh;

use std::collections::BTreeMap;

use meshvm_provider_api::Difference;

use super::{ADD, CHANGE, FAINT, REMOVE, STRONG, counted, few, paint};
use crate::many::alike;
use crate::plan::{Action, Drift, FieldChange, MachineChange, ObjectAction, Plan, Reason, Waiting};
use mesh::{mesh, new_entries};

/// Returns a plan as text.
pub fn plan(plan: &Plan) -> String {
    let mut out = Text::default();
    drift(&mut out, plan);
    uncompared(&mut out, plan);
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
    leftovers(&mut out, plan);
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

/// Says what goes of fleets beside machines that are gone already.
fn leftovers(out: &mut Text, plan: &Plan) {
    for (fleet, scope) in &plan.leftovers {
        let text = format!("delete what is left of fleet {fleet} in {scope} beside machines");
        out.line(0, format!("{} {text}", paint(REMOVE, "-")));
    }
    if !plan.leftovers.is_empty() {
        out.blank();
    }
}

/// Says that machines may boot with something else than the file asks for.
fn uncompared(out: &mut Text, plan: &Plan) {
    let fleets = plan.uncompared();
    if fleets.is_empty() {
        return;
    }
    let what = "what machines would boot with now is not known";
    let fleets = few(fleets.into_iter());
    let mark = paint(CHANGE, "!");
    out.line(
        0,
        format!("{mark} fleet {fleets}: {what}, and those that are there stay as they are"),
    );
    out.blank();
}

fn drift(out: &mut Text, plan: &Plan) {
    if plan.drift.is_empty() {
        return;
    }
    out.line(0, paint(STRONG, "Drift since the last complete apply:"));
    let sign = paint(CHANGE, "!");
    // Entries come by the hundred, and say no more than their machines do.
    let mut entries: BTreeMap<&Reason, Vec<&str>> = BTreeMap::new();
    let is_fleet = |drift: &Drift| {
        let subject = &drift.subject;
        plan.desired.fleets.contains_key(subject) || plan.fleets.contains_key(subject)
    };
    let told = alike(plan.drift.iter().collect(), |drift| {
        let kind = drift.subject.split(' ').next().unwrap_or_default();
        (!is_fleet(drift)).then(|| (kind, &drift.reason, names_of(&drift.differences)))
    });
    for group in told {
        let Drift {
            subject,
            reason,
            count,
            machines,
            differences,
        } = group[0];
        let names = || machines.iter().map(String::as_str);
        let what = match (is_fleet(group[0]), machines.is_empty()) {
            (true, true) => format!("fleet {subject}: {}", counted(*count, "machine")),
            (true, false) => format!("fleet {subject}: {}", few(names())),
            (false, false) if differences.is_empty() => {
                let machines = group.iter().flat_map(|drift| &drift.machines);
                entries
                    .entry(reason)
                    .or_default()
                    .extend(machines.map(String::as_str));
                continue;
            }
            (false, _) => of_one_kind(group.iter().map(|drift| drift.subject.as_str())),
        };
        let have = if group.len() > 1 { "each " } else { "" };
        out.line(1, format!("{sign} {what} {have}{reason}"));
        let all: Vec<&[FieldChange]> = group.iter().map(|d| d.differences.as_slice()).collect();
        fields(out, 3, &all);
    }
    for (reason, machines) in entries {
        let machines = few(machines.into_iter());
        out.line(1, format!("{sign} WorkloadEntry of {machines}: {reason}"));
    }
    out.blank();
}

/// Joins the first few of many objects of one kind, which is said once.
fn of_one_kind<'a>(objects: impl ExactSizeIterator<Item = &'a str>) -> String {
    let objects = objects.enumerate();
    few(objects.map(|(index, object)| match object.split_once(' ') {
        Some((_, name)) if index > 0 => name,
        Some(_) | None => object,
    }))
}

/// Returns the fields that change: what is alike in objects that come by the hundred.
fn names_of(changes: &[FieldChange]) -> Vec<&str> {
    changes.iter().map(|change| change.field.as_str()).collect()
}

/// Tells how the same fields change in one object or in many; of many, with the values of the first.
fn fields(out: &mut Text, indent: usize, of_each: &[&[FieldChange]]) {
    let Some((first, others)) = of_each.split_first() else {
        return;
    };
    for (index, change) in first.iter().enumerate() {
        let other = others
            .iter()
            .filter(|changes| changes.get(index) != Some(change));
        field(out, indent, change, other.count());
    }
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
                1 => "it stays, and is the stack's no more",
                _ => "they stay, and are the stack's no more",
            };
            format!("{} forget {names}; {stay}", paint(CHANGE, "→"))
        }
    };
    out.line(1, format!("{text} {why}"));
    for difference in &change.differences {
        field(out, 3, &shown(difference), 0);
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

/// Tells how a field changes, and in how many objects it does so with other values.
fn field(out: &mut Text, indent: usize, change: &FieldChange, others: usize) {
    let FieldChange {
        field,
        before,
        after,
    } = change;
    let text = match (before, after) {
        (None, Some(after)) => format!("{} {field}: {after}", paint(ADD, "+")),
        (Some(before), None) => format!("{} {field}: {before}", paint(REMOVE, "-")),
        (Some(before), Some(after)) => {
            format!("{} {field}: {before} -> {after}", paint(CHANGE, "~"))
        }
        (None, None) => field.clone(),
    };
    out.line(indent, text + &otherwise(others));
}

/// Says in how many objects it is the same with other values.
fn otherwise(others: usize) -> String {
    match others {
        0 => String::new(),
        _ => paint(FAINT, format!(" (in {others} others with other values)")),
    }
}

/// Returns the last line: how much of what.
pub fn summary(plan: &Plan) -> String {
    let has_none = plan.changes().next().is_none() && plan.leftovers.is_empty();
    if has_none && plan.objects.is_empty() && plan.revoked.is_empty() {
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
    let is_told_all = plan.uncompared().is_empty();
    if options.refresh_only {
        return if plan.drift.is_empty() && !is_told_all {
            "No drift that could be told.".to_owned()
        } else if plan.drift.is_empty() {
            "No drift: clouds and mesh are what the last complete apply left.".to_owned()
        } else {
            "Nothing is planned about the drift (--refresh-only).".to_owned()
        };
    }
    if !options.destroy && !plan.drift.is_empty() {
        return "No changes: an apply cannot mend what is told above.".to_owned();
    }
    if !is_told_all {
        return "No changes that could be told.".to_owned();
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
