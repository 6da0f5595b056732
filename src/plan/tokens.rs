//! Keeps the tokens of machines that stay. Pure.
//!
//! A copy of a machine has all its labels, and so names the same token: when the copy goes, whoever
//! stays keeps it.

use std::collections::{BTreeMap, BTreeSet};

use super::fleet::FleetOutcome;
use super::{ObjectAction, ObjectChange};
use crate::mesh::objects;
use crate::observed::ObservedMachine;

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
        .map(|seen| &seen.machine)
        .map(|machine| objects::token_of(machine).unwrap_or_else(|| machine.name.clone()))
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
