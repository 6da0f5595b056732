//! What fleets have of their own beside machines, such as firewall rules.
//!
//! It goes with a fleet's last machine. Where that went by itself, nobody deletes a machine there
//! any more: then it goes when the fleet does, which is what the ledger remembers it for.

use std::collections::BTreeSet;

use meshvm_provider_api::Scope;

use super::Engine;
use crate::apply::worker::chain;
use crate::apply::{Failure, Outcome};
use crate::plan::last::Parts;
use crate::plan::{Applied, Plan};
use crate::steps::{Op, lower};

/// What a failure to clear a scope is told as.
const STEP: &str = "clear";

impl Engine {
    /// Returns what fleets have once a plan is applied, and where fleets that go may have left
    /// something behind.
    pub(super) fn parts(&self, plan: &Plan, last: &Applied) -> (Parts, BTreeSet<Scope>) {
        let goes = |fleet: &str| plan.options.destroy && plan.options.covers(fleet);
        let fleets = plan.desired.fleets.iter();
        let asked = fleets.filter(|(_, desired)| {
            let kind = self.connections.kind(&desired.template.scope);
            kind.is_ok_and(|kind| kind.has_parts(&desired.template))
        });
        let asked = asked.map(|(fleet, desired)| (fleet.clone(), desired.template.scope.clone()));
        let is_here = |fleet: &str, scope: &Scope| {
            let desired = plan.desired.fleets.get(fleet);
            desired.is_some_and(|desired| desired.template.scope == *scope)
        };
        let before = last.parts.iter().cloned();
        let all: Parts = before.chain(asked).collect();
        let (stay, go): (Parts, Parts) = all.into_iter().partition(|(fleet, scope)| {
            !plan.options.covers(fleet) || (is_here(fleet, scope) && !goes(fleet))
        });
        // Whoever deletes a fleet's machines clears up after the last one.
        let graph = lower(plan);
        let is_deleted = |fleet: &str, scope: &Scope| {
            let mut steps = graph.steps.iter();
            steps.any(|step| match &step.op {
                Op::Delete {
                    fleet: of,
                    scope: at,
                    machines: _,
                } => of == fleet && at == scope,
                Op::Prepare { .. }
                | Op::Create(_)
                | Op::Await { .. }
                | Op::Enter { .. }
                | Op::Change { .. }
                | Op::Write { .. }
                | Op::Prune { .. } => false,
            })
        };
        let go = go.into_iter().filter(|(fleet, at)| !is_deleted(fleet, at));
        (stay, go.map(|(_, scope)| scope).collect())
    }

    /// Clears scopes of what fleets without machines left behind; what cannot be cleared is added
    /// to the outcome. Safe to repeat.
    pub(super) async fn clear(&self, stack: &str, scopes: BTreeSet<Scope>, outcome: &mut Outcome) {
        for scope in scopes {
            let cleared = match self.connections.open(&scope, None).await {
                Ok(provider) => provider.delete(stack, &[]).await,
                Err(error) => Err(error),
            };
            outcome.failed.extend(cleared.err().map(|error| Failure {
                step: format!("{STEP} {scope}"),
                class: error.class,
                message: chain(&error),
                created: 0,
                hint: error.hint.clone(),
                held: Vec::new(),
            }));
        }
    }
}
