//! Plans the machines of one fleet. Pure.
//!
//! Every machine gets one verdict by itself; then the fleet as a whole is
//! brought to its number and spread. Machines that are wrong or down are the
//! first to go, so a shrinking fleet keeps its best.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::{Difference, Kind, MachineId};

use super::collect::{Changes, reference};
use super::spread::{allot, rebalance, take_room, take_surplus};
use super::verdict::{Verdict, judge, judge_adoption};
use super::{Action, Drift, FieldChange, FleetPlan, MachineChange, Options, Reason, Waiting};
use crate::desired::{Boot, DesiredFleet};
use crate::observed::{ObservedMachine, UnsettledBatch};

/// What one fleet is planned from.
pub struct FleetInput<'a> {
    /// The fleet's name.
    pub name: &'a str,
    /// What the file asks for, and the provider that judges it; `None` when nothing shall be left.
    pub desired: Option<(&'a DesiredFleet, &'a dyn Kind)>,
    /// Its machines.
    pub machines: &'a [&'a ObservedMachine],
    /// Machines that it takes over.
    pub adopted: &'a [&'a ObservedMachine],
    /// Batches of it that an interrupted run may have sent.
    pub unsettled: &'a [UnsettledBatch],
    /// How many replicas the last finished run asked for.
    pub last_replicas: Option<u32>,
    /// What its machines' user-data was made from then.
    pub last_boot: Option<&'a Boot>,
    /// Whether a run after that one was interrupted.
    pub interrupted: bool,
    /// Machines that no run has seen ready, and that are not.
    pub unready: &'a BTreeSet<MachineId>,
    /// What was asked for on the command line.
    pub options: &'a Options,
}

/// What becomes of one fleet.
#[derive(Debug, Default)]
pub struct FleetOutcome {
    /// What changes.
    pub plan: FleetPlan,
    /// What changed outside meshvm.
    pub drift: Vec<Drift>,
    /// What it waits for.
    pub waiting: Vec<Waiting>,
    /// The names of the machines that stay members.
    pub staying: BTreeSet<String>,
}

/// Plans one fleet.
pub fn plan_fleet(input: &FleetInput<'_>) -> FleetOutcome {
    let mut changes = Changes::default();
    let (let_go, machines): (Vec<&ObservedMachine>, Vec<_>) =
        input.machines.iter().copied().partition(|observed| {
            let machine = &observed.machine;
            let forget = &input.options.forget;
            forget.contains(&machine.name) || forget.contains(&machine.id.0)
        });
    let forgotten = u32::try_from(let_go.len()).unwrap_or(u32::MAX);
    for observed in let_go {
        changes.add(
            Action::Forget,
            Reason::Requested,
            observed,
            Vec::new(),
            false,
        );
    }
    if let Some((desired, kind)) = input.desired {
        return plan_standing(input, desired, kind, machines, forgotten, changes);
    }
    let reason = if input.options.destroy {
        Reason::Destroyed
    } else {
        Reason::FleetRemoved
    };
    for observed in machines {
        changes.add(Action::Delete, reason.clone(), observed, Vec::new(), false);
    }
    FleetOutcome {
        plan: FleetPlan {
            changes: changes.finish(),
            ..FleetPlan::default()
        },
        ..FleetOutcome::default()
    }
}

fn plan_standing(
    input: &FleetInput<'_>,
    desired: &DesiredFleet,
    kind: &dyn Kind,
    machines: Vec<&ObservedMachine>,
    forgotten: u32,
    mut changes: Changes,
) -> FleetOutcome {
    let own = machines.into_iter().map(|observed| {
        let verdict = judge(input.options, desired, kind, observed, input.last_boot);
        (observed, verdict)
    });
    let adopted = input.adopted.iter().map(|&observed| {
        let verdict = judge_adoption(desired, kind, observed);
        (observed, verdict)
    });
    let mut judged: Vec<(&ObservedMachine, Verdict)> = own.chain(adopted).collect();
    let mut outcome = FleetOutcome {
        drift: drift_of(input.name, &judged),
        ..FleetOutcome::default()
    };
    let phantoms: u32 = input.unsettled.iter().map(|batch| batch.missing).sum();
    let total = u32::try_from(judged.len()).unwrap_or(u32::MAX) + phantoms;
    let last = input.last_replicas;

    let zones = &desired.template.zones;
    let removed = take_surplus(&mut judged, total.saturating_sub(desired.replicas), zones);
    let unexplained = remove(input, desired.replicas, removed, &mut changes);

    let standing = standing(&judged, input.unsettled, zones);
    let targets = allot(desired.replicas, zones, &standing);
    rebalance(&targets, &standing, &mut judged, zones);
    let mut room: BTreeMap<String, u32> = targets
        .into_iter()
        .map(|(zone, wanted)| {
            let has = standing.get(&zone).copied().unwrap_or(0);
            (zone, wanted.saturating_sub(has))
        })
        .collect();

    let mut unhealthy = Vec::new();
    for (observed, verdict) in judged {
        let is_waited_for = verdict.stays() && !verdict.waits();
        let is_unready = is_waited_for
            && observed.machine.is_available()
            && input.unready.contains(&observed.machine.id);
        let is_sick = observed.machine.is_available() && !observed.is_available();
        if is_sick && !is_unready && is_waited_for {
            unhealthy.push(reference(observed));
        }
        if verdict.stays() {
            outcome.staying.insert(observed.machine.name.clone());
            outcome.plan.available += u32::from(observed.is_available() && !is_unready);
        }
        // A machine that is still coming is waited for and entered, whatever else is done to
        // it; a start or a restart waits by itself. So is one that is up, and that a run waited
        // for in vain: it is no more ready than it was then.
        if is_unready || (observed.machine.is_coming() && is_waited_for) {
            outcome.plan.coming.push(reference(observed));
        }
        match verdict {
            Verdict::Keep => {}
            Verdict::Adopt { differences } => {
                changes.add(
                    Action::Adopt,
                    Reason::Requested,
                    observed,
                    differences,
                    false,
                );
            }
            Verdict::Update {
                reason,
                differences,
                start,
            } => changes.add(Action::Update, reason, observed, differences, start),
            Verdict::Replace {
                reason,
                differences,
            } => {
                let zone = take_room(&mut room, observed.home(zones));
                changes.replace(reason, observed, differences, zone);
            }
        }
    }
    let missing = last
        .map_or(0, |last| last.min(desired.replicas))
        .saturating_sub(total + forgotten);
    let asked = if total + forgotten == 0 && last.is_none() {
        Reason::NewFleet
    } else if last.is_some_and(|last| last >= desired.replicas) {
        // Nothing is missing and no more are asked for: they stand in for those let go.
        Reason::Requested
    } else {
        Reason::ScaledUp
    };
    changes.create(&desired.template.scope, room, missing, &asked);

    outcome
        .drift
        .extend(count_drift(input, Reason::Missing, missing));
    outcome
        .drift
        .extend(count_drift(input, Reason::Surplus, unexplained));
    outcome.plan.changes = changes.finish();
    // Nothing goes while what is there takes no traffic. A fleet that only grows, or is as it shall
    // be, is not held up by it: nothing that apply does would mend it.
    let goes = |change: &MachineChange| match change.action {
        Action::Replace | Action::Delete => true,
        Action::Create | Action::Update | Action::Adopt | Action::Forget => false,
    };
    if outcome.plan.changes.iter().any(goes) {
        outcome.plan.coming.extend(unhealthy);
        outcome.plan.coming.sort();
    }
    outcome.waiting = waiting(input, &outcome.plan);
    outcome
}

/// Removes machines that are too many, each with its reason; returns how many have none but that.
fn remove(
    input: &FleetInput<'_>,
    replicas: u32,
    removed: Vec<(&ObservedMachine, Verdict)>,
    changes: &mut Changes,
) -> u32 {
    // What the last run asked for beyond what the file asks for now is the file's doing.
    let last = input.last_replicas;
    let mut scaled_down = last.map_or(0, |last| last.saturating_sub(replicas));
    let mut taken_over = input.adopted.len();
    let mut unexplained = 0;
    for (observed, verdict) in removed {
        let reason = if scaled_down > 0 {
            scaled_down -= 1;
            Reason::ScaledDown
        } else if verdict.is_superseded() {
            // An interrupted rollout made its successor already.
            Reason::FileChanged
        } else if taken_over > 0 {
            taken_over -= 1;
            Reason::Requested
        } else if input.interrupted {
            Reason::Interrupted
        } else {
            unexplained += 1;
            Reason::Surplus
        };
        changes.add(Action::Delete, reason, observed, Vec::new(), false);
    }
    unexplained
}

/// Counts the machines that could stay, by zone; batches that may exist count as there.
fn standing(
    judged: &[(&ObservedMachine, Verdict)],
    unsettled: &[UnsettledBatch],
    zones: &[String],
) -> BTreeMap<String, u32> {
    let mut standing: BTreeMap<String, u32> = BTreeMap::new();
    for (observed, verdict) in judged {
        if verdict.stays() {
            *standing.entry(observed.home(zones).to_owned()).or_default() += 1;
        }
    }
    for batch in unsettled {
        *standing.entry(batch.zone.clone()).or_default() += batch.missing;
    }
    standing
}

fn waiting(input: &FleetInput<'_>, plan: &FleetPlan) -> Vec<Waiting> {
    let readiness = (!plan.coming.is_empty()).then(|| Waiting::Readiness {
        fleet: input.name.to_owned(),
        machines: plan.coming.iter().map(|m| m.name.clone()).collect(),
    });
    let unsettled = input
        .unsettled
        .iter()
        .filter(|batch| batch.missing > 0)
        .map(|batch| Waiting::Unsettled {
            batch: batch.clone(),
        });
    readiness.into_iter().chain(unsettled).collect()
}

fn count_drift(input: &FleetInput<'_>, reason: Reason, count: u32) -> Option<Drift> {
    (count > 0).then(|| Drift {
        subject: input.name.to_owned(),
        reason,
        count,
        machines: Vec::new(),
        differences: Vec::new(),
    })
}

/// Returns the drift of single machines, grouped.
fn drift_of(fleet: &str, judged: &[(&ObservedMachine, Verdict)]) -> Vec<Drift> {
    let mut groups: BTreeMap<(&Reason, &[Difference]), Vec<String>> = BTreeMap::new();
    let mut unhealthy: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (observed, verdict) in judged {
        if let Some((reason, differences)) = verdict.cause()
            && reason.is_drift()
        {
            groups
                .entry((reason, differences))
                .or_default()
                .push(observed.machine.name.clone());
        } else if observed.machine.is_available()
            && let Some(detail) = &observed.unhealthy
        {
            unhealthy
                .entry(detail)
                .or_default()
                .push(observed.machine.name.clone());
        }
    }
    let drift = |reason: Reason, machines: Vec<String>, differences: &[Difference]| Drift {
        subject: fleet.to_owned(),
        reason,
        count: u32::try_from(machines.len()).unwrap_or(u32::MAX),
        machines,
        differences: differences.iter().map(what_happened).collect(),
    };
    let unhealthy = unhealthy.into_iter().map(|(detail, machines)| {
        let detail = detail.to_owned();
        drift(Reason::Unhealthy { detail }, machines, &[])
    });
    groups
        .into_iter()
        .map(|((reason, differences), machines)| drift(reason.clone(), machines, differences))
        .chain(unhealthy)
        .collect()
}

/// Turns a difference round: drift tells how the world left what the file asks for.
fn what_happened(difference: &Difference) -> FieldChange {
    FieldChange {
        field: difference.attribute.clone(),
        before: difference.after.clone(),
        after: difference.before.clone(),
    }
}
