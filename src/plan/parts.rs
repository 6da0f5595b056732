//! What fleets have of their own beside machines, such as firewall rules. Pure.
//!
//! It goes with a fleet's last machine. Where that went by itself, nobody deletes a machine there
//! any more: then it goes when the fleet does, which is what the ledger remembers it for.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::Scope;

use super::{Action, FleetPlan, Input};

/// Where which fleets have something of their own beside machines.
pub type Parts = BTreeSet<(String, Scope)>;

/// Returns what fleets have once the plan is applied, and what those may have left that go.
pub(super) fn sorted(input: &Input<'_>, plans: &BTreeMap<String, FleetPlan>) -> (Parts, Parts) {
    let options = &input.options;
    let goes = |fleet: &str| options.destroy && options.covers(fleet);
    let fleets = input.desired.fleets.iter();
    // Who never had a machine has nothing, unless it is the ledger that does not know.
    let asked = fleets.filter(|(fleet, desired)| {
        let kind = input.kinds.get(desired.template.scope.provider.as_str());
        let has_some = kind.is_some_and(|kind| kind.has_parts(&desired.template));
        let may_have = !goes(fleet) || input.is_first;
        has_some && may_have && options.covers(fleet)
    });
    let asked = asked.map(|(fleet, desired)| (fleet.clone(), desired.template.scope.clone()));
    let is_here = |fleet: &str, scope: &Scope| {
        let desired = input.desired.fleets.get(fleet);
        desired.is_some_and(|desired| desired.template.scope == *scope)
    };
    let all: Parts = input.last.parts.iter().cloned().chain(asked).collect();
    let (stay, mut go): (Parts, Parts) = all.into_iter().partition(|(fleet, scope)| {
        !options.covers(fleet) || (is_here(fleet, scope) && !goes(fleet))
    });
    // Whoever deletes a fleet's machines clears up after the last one.
    go.retain(|(fleet, scope)| {
        let mut changes = plans.get(fleet).into_iter().flat_map(|plan| &plan.changes);
        !changes.any(|change| {
            matches!(change.action, Action::Delete | Action::Replace) && change.scope == *scope
        })
    });
    (stay, go)
}
