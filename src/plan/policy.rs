//! Budgets and protection: what a plan may not do without being told to. Pure.

use std::fmt;

use super::{Action, Plan, Reason};

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
    if !allowed.protected {
        refusals.extend(protected(plan));
    }
    refusals
}

fn protected(plan: &Plan) -> impl Iterator<Item = Refusal> {
    plan.fleets.iter().filter_map(|(fleet, changes)| {
        let protect = plan.desired.fleets.get(fleet)?.protect;
        let machines: u32 = changes
            .changes
            .iter()
            .filter(|change| match change.action {
                Action::Delete | Action::Replace => true,
                Action::Create | Action::Update | Action::Adopt | Action::Forget => false,
            })
            // What is broken cannot be protected any more, only brought back.
            .filter(|change| !matches!(change.reason, Reason::Failed { .. }))
            .map(super::MachineChange::count)
            .sum();
        (protect && machines > 0).then(|| Refusal::Protected {
            fleet: fleet.clone(),
            machines,
        })
    })
}
