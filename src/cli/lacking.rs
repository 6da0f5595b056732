//! What keeps new machines out of the mesh, and a plan from making some.

use std::collections::BTreeMap;

use super::CliError;
use super::mesh::Ask;
use crate::desired::{Desired, Expanded};
use crate::diag::Diagnostic;
use crate::engine::EngineError;
use crate::plan::Plan;

/// What the mesh does not say of itself, or does not have, by the fleet whose new machines need it.
#[derive(Clone, Debug, Default)]
pub struct Lacking(BTreeMap<String, Vec<Diagnostic>>);

impl Lacking {
    /// Says why a plan is refused: where it makes machines that could not join, at its place in the
    /// file.
    pub fn explain(&self, error: EngineError) -> CliError {
        let found: Vec<Diagnostic> = match &error {
            EngineError::Unjoinable(fleets) => {
                let found = fleets.iter().filter_map(|fleet| self.0.get(fleet));
                found.flatten().cloned().collect()
            }
            _ => Vec::new(),
        };
        match found.is_empty() {
            true => error.into(),
            false => CliError::input(found),
        }
    }

    /// Warns of it where a plan makes no machines.
    pub fn warnings(&self, plan: &Plan) -> Vec<Diagnostic> {
        let found = plan.lacking().filter_map(|(fleet, _)| self.0.get(fleet));
        let found = found.flatten().cloned();
        found.map(Diagnostic::as_warning).collect()
    }
}

/// Takes what a file asks for from what is in the way of new machines, where that waits for a plan
/// that makes some. Of the accounts that fleets lack the rest is added to what was `found`.
pub fn split(
    expanded: Result<Expanded, Vec<Diagnostic>>,
    accounts: BTreeMap<String, Diagnostic>,
    ask: Ask,
    found: &mut Vec<Diagnostic>,
) -> (Result<Desired, Vec<Diagnostic>>, Lacking) {
    let waits = match ask {
        Ask::Plan | Ask::Obstacles | Ask::Preflight => true,
        Ask::Mesh | Ask::Status | Ask::Advice | Ask::Nobody => false,
    };
    match expanded {
        Ok(Expanded {
            mut desired,
            lacking,
        }) if waits => {
            let mut all: BTreeMap<String, Vec<Diagnostic>> = BTreeMap::new();
            for fleet in accounts.keys() {
                if let Some(fleet) = desired.fleets.get_mut(fleet) {
                    fleet.lacks_account = true;
                }
            }
            for (fleet, lack) in lacking.into_iter().chain(accounts) {
                all.entry(fleet).or_default().push(lack);
            }
            (Ok(desired), Lacking(all))
        }
        expanded => {
            let accounts = accounts.into_values();
            match ask {
                // What machines boot with does not depend on it.
                Ask::Mesh => found.extend(accounts.map(Diagnostic::as_warning)),
                Ask::Plan
                | Ask::Status
                | Ask::Obstacles
                | Ask::Advice
                | Ask::Preflight
                | Ask::Nobody => found.extend(accounts),
            }
            let expanded =
                expanded.and_then(|Expanded { desired, lacking }| match lacking.is_empty() {
                    true => Ok(desired),
                    false => Err(lacking.into_values().collect()),
                });
            (expanded, Lacking::default())
        }
    }
}
