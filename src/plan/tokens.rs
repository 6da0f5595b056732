//! Keeps the tokens of machines that stay, and finds those of machines that are gone. Pure.
//!
//! A copy of a machine has all its labels, and so names the same token: when the copy goes, whoever
//! stays keeps it.

use std::collections::{BTreeMap, BTreeSet};

use super::fleet::FleetOutcome;
use super::planner::Input;
use super::{Action, ObjectAction, ObjectChange, Plan};
use crate::mesh::{MACHINE_LABEL, ObjectRef, TOKEN_LABEL, Target, objects, secret_ref};
use crate::observed::{Observed, ObservedMachine};

/// Makes what goes name no token of a machine that stays.
pub(super) fn keep(
    by_fleet: &BTreeMap<&str, Vec<&ObservedMachine>>,
    outcomes: &mut BTreeMap<&str, FleetOutcome>,
    changes: &mut [ObjectChange],
) {
    let machines = by_fleet
        .iter()
        .filter_map(|(fleet, machines)| Some((outcomes.get(fleet)?, machines)))
        .flat_map(|(outcome, machines)| {
            let stays = |seen: &&&ObservedMachine| outcome.staying.contains(&seen.machine.name);
            machines.iter().filter(stays)
        });
    let used: BTreeSet<String> = machines
        .map(|seen| objects::token_name(&seen.machine))
        .collect();
    let let_go = |token: &mut Option<String>| {
        token.take_if(|token| used.contains(token));
    };
    let leaving = outcomes.values_mut().flat_map(|o| &mut o.plan.changes);
    for machine in leaving.flat_map(|change| &mut change.machines) {
        let_go(&mut machine.token_of);
    }
    let deleted = |change: &&mut ObjectChange| change.action == ObjectAction::Delete;
    for change in changes.iter_mut().filter(deleted) {
        let_go(&mut change.token_of);
    }
}

/// Returns what the tokens are bound to of machines that are gone. Where the control plane makes the
/// entries, none names the machine; and a machine may go before it is entered.
pub(super) fn orphaned(input: &Input<'_>) -> BTreeSet<ObjectRef> {
    if !is_cluster(input.context.mesh.as_ref()) || input.options.refresh_only {
        return BTreeSet::new();
    }
    let Observed {
        machines,
        adoptable,
        ..
    } = input.observed;
    let machines = machines.iter().chain(adoptable);
    let used: BTreeSet<String> = machines
        .map(|seen| secret_ref("", &objects::token_name(&seen.machine)).name)
        .collect();
    let entered = entered(input.observed);
    let known = input.tokens.iter();
    known
        .filter(|(fleet, _)| input.options.covers(fleet))
        .flat_map(|(_, secrets)| secrets)
        .filter(|secret| !used.contains(&secret.name) && !entered.contains(secret))
        .cloned()
        .collect()
}

/// Returns what tokens are bound to that later runs must know, of what is `known` and what is seen:
/// all that nothing else names, and that this plan does not delete in any other way.
pub fn unnamed(
    plan: &Plan,
    observed: &Observed,
    mut known: BTreeMap<String, BTreeSet<ObjectRef>>,
) -> BTreeMap<String, BTreeSet<ObjectRef>> {
    let membership = |fleet: &str| plan.desired.fleets.get(fleet)?.membership.as_ref();
    if plan.desired.tokens.is_some() && is_cluster(plan.context.mesh.as_ref()) {
        for seen in &observed.machines {
            let fleet = seen.ownership().map(|owned| owned.fleet);
            let Some((fleet, member)) = fleet.and_then(|f| Some((f.clone(), membership(&f)?)))
            else {
                continue;
            };
            if member.auto_register {
                let secret = secret_ref(
                    member.namespace.as_str(),
                    &objects::token_name(&seen.machine),
                );
                known.entry(fleet).or_default().insert(secret);
            }
        }
    }
    let entered = entered(observed);
    let let_go = plan
        .changes()
        .filter(|(_, change)| change.action == Action::Forget);
    let let_go: BTreeSet<String> = let_go
        .flat_map(|(_, change)| &change.machines)
        .map(|machine| secret_ref("", machine.token_of()).name)
        .collect();
    for (fleet, secrets) in &mut known {
        let member = membership(fleet).filter(|_| !plan.options.destroy);
        secrets.retain(|secret| {
            // The WorkloadGroup owns them, and takes them with it.
            let is_owned = !plan.options.covers(fleet)
                || member.is_some_and(|member| member.namespace.as_str() == secret.namespace);
            is_owned && !entered.contains(secret) && !let_go.contains(&secret.name)
        });
    }
    known.retain(|_, secrets| !secrets.is_empty());
    known
}

/// Returns what the tokens are bound to whose machines' entries are there: they go with these.
fn entered(observed: &Observed) -> BTreeSet<ObjectRef> {
    let entries = observed.objects.iter().map(|seen| &seen.object);
    let secrets = entries.filter_map(|entry| {
        let machine = entry.label(TOKEN_LABEL).or(entry.label(MACHINE_LABEL))?;
        Some(secret_ref(&entry.reference.namespace, machine))
    });
    secrets.collect()
}

/// Returns whether there is somebody who makes tokens.
fn is_cluster(mesh: Option<&Target>) -> bool {
    match mesh {
        Some(Target::Kubernetes(_)) => true,
        Some(Target::Manifests(_)) | None => false,
    }
}
