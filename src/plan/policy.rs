//! Budgets and protection: what a plan may not do without being told to. Pure.

use std::fmt;

use super::{Action, MachineChange, Plan, Reason};
use crate::many::few;

/// What the user allows on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// Machines of protected fleets may be destroyed and replaced.
    pub protected: bool,
    /// Budgets do not count.
    pub over_budget: bool,
}

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase", tag = "refused")]
pub enum Refusal {
    /// More machines would go than the budget allows.
    Budget {
        /// Which budget: destroy or replace.
        budget: &'static str,
        /// How many machines the plan takes.
        planned: u32,
        /// How many it may.
        allowed: u32,
        /// The budget as it stands in the file, or its default.
        text: String,
    },
    /// A protected fleet would lose machines.
    Protected {
        /// The fleet.
        fleet: String,
        /// How many machines.
        machines: u32,
    },
    /// The cloud refuses to delete machines that would go.
    ProtectedByCloud {
        /// The fleet.
        fleet: String,
        /// The machines' names.
        machines: Vec<String>,
    },
    /// Something would be deleted that no run of this ledger has made.
    Strangers {
        /// The stack.
        stack: String,
        /// What.
        names: Vec<String>,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget {
                budget,
                planned,
                allowed,
                text,
            } => write!(
                f,
                "the plan would {budget} {planned} machines, and the budget `{budget}: {text}` allows {allowed}"
            ),
            Self::Protected { fleet, machines } => write!(
                f,
                "fleet `{fleet}` is protected, and the plan would destroy or replace {machines} of its machines"
            ),
            Self::Strangers { stack, names } => write!(
                f,
                "the plan would delete {}, which no run of this ledger has made: is there another stack `{stack}`?",
                few(names.iter().map(String::as_str))
            ),
            Self::ProtectedByCloud { fleet, machines } => write!(
                f,
                "the cloud refuses to delete {} of fleet `{fleet}`, which the plan would destroy or replace",
                few(machines.iter().map(String::as_str))
            ),
        }
    }
}

impl Refusal {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Budget { .. } => {
                "raise it under `budgets` in the fleet file, or pass --override-budgets for this run"
            }
            Self::Protected { .. } => "pass --allow-protected if that is what you want",
            Self::Strangers { .. } => {
                "give the stack another name; if it is the same stack and its ledger was lost, \
                 pass --override-budgets for this run"
            }
            Self::ProtectedByCloud { .. } => {
                "switch the protection off in the fleet's block, apply that change alone, and then this one"
            }
        }
    }
}

/// Checks a plan against its budgets and protections.
///
/// A percentage is of the machines that the stack has; any budget but an
/// explicit 0 allows one, or a small stack could never change.
pub fn check(plan: &Plan, allowed: Allowed) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if !allowed.over_budget {
        let desired = &plan.desired;
        let budgets = [
            ("destroy", Action::Delete, desired.destroy_budget),
            ("replace", Action::Replace, desired.replace_budget),
        ];
        for (budget, action, amount) in budgets {
            // `meshvm destroy` says itself that everything goes: only a budget that
            // somebody wrote down stands against it.
            let said = plan.options.destroy && !desired.destroy_budget_is_explicit;
            let least = u32::from(amount != crate::spec::scalars::Amount::Count(0));
            let limit = amount.of_rounded_down(plan.observed_machines).max(least);
            let planned = plan.count(action);
            if planned > limit && !(said && action == Action::Delete) {
                refusals.push(Refusal::Budget {
                    budget,
                    planned,
                    allowed: limit,
                    text: amount.to_string(),
                });
            }
        }
    }
    if !allowed.over_budget && !plan.strangers.is_empty() {
        refusals.push(Refusal::Strangers {
            stack: plan.desired.stack.clone(),
            names: plan.strangers.clone(),
        });
    }
    if !allowed.protected {
        refusals.extend(protected(plan));
    }
    refusals.extend(protected_by_cloud(plan));
    refusals
}

/// Returns whether machines go by a change.
fn takes_away(change: &MachineChange) -> bool {
    match change.action {
        Action::Delete | Action::Replace => true,
        Action::Create | Action::Update | Action::Adopt | Action::Forget => false,
    }
}

fn protected_by_cloud(plan: &Plan) -> impl Iterator<Item = Refusal> {
    plan.fleets.iter().filter_map(|(fleet, changes)| {
        let going = changes.changes.iter().filter(|change| takes_away(change));
        let machines = going.flat_map(|change| &change.machines);
        let machines = machines.filter(|machine| machine.protected);
        let machines: Vec<String> = machines.map(|machine| machine.name.clone()).collect();
        (!machines.is_empty()).then(|| Refusal::ProtectedByCloud {
            fleet: fleet.clone(),
            machines,
        })
    })
}

fn protected(plan: &Plan) -> impl Iterator<Item = Refusal> {
    plan.fleets.iter().filter_map(|(fleet, changes)| {
        let protect = plan.desired.fleets.get(fleet)?.protect;
        let machines: u32 = changes
            .changes
            .iter()
            .filter(|change| takes_away(change))
            // What is broken cannot be protected any more, only brought back.
            .filter(|change| !matches!(change.reason, Reason::Failed { .. }))
            .map(MachineChange::count)
            .sum();
        (protect && machines > 0).then(|| Refusal::Protected {
            fleet: fleet.clone(),
            machines,
        })
    })
}
