//! What keeps new machines out of the mesh, and a plan from making some.

use std::collections::BTreeMap;

use super::CliError;
use crate::diag::Diagnostic;
use crate::engine::EngineError;
use crate::plan::Plan;

/// What the mesh does not say of itself, by the fleet whose new machines would have to be told.
#[derive(Clone, Debug, Default)]
pub struct Lacking(pub BTreeMap<String, Diagnostic>);

impl Lacking {
    /// Says why a plan is refused: where it makes machines that could not join, at its place in the
    /// file.
    pub fn explain(&self, error: EngineError) -> CliError {
        let found: Vec<Diagnostic> = match &error {
            EngineError::Unjoinable(fleets) => {
                let found = fleets.iter().filter_map(|fleet| self.0.get(fleet));
                found.cloned().collect()
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
        found.cloned().map(Diagnostic::as_warning).collect()
    }
}
