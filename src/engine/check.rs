//! Looks whether what a plan makes can be made, before the first change.

use std::collections::BTreeMap;

use futures::future::join_all;
use meshvm_provider_api::{Effort, ProviderError};

use super::{Engine, EngineError};
use crate::mesh::Object;
use crate::plan::{Action, FleetPlan, ObjectAction, Plan};

impl Engine {
    /// Looks whether the machines and objects that a plan makes can be made. Changes nothing.
    ///
    /// # Errors
    /// All that keeps machines from being made; or an object that exists and is not the stack's;
    /// or when clouds or the mesh cannot be asked.
    pub async fn check(&self, plan: &Plan) -> Result<(), EngineError> {
        let checks = plan.fleets.iter().map(async |(fleet, changes)| {
            let checked = self.check_fleet(plan, fleet, changes).await;
            checked.err().map(|error| (fleet.clone(), error))
        });
        let unready: Vec<_> = join_all(checks).await.into_iter().flatten().collect();
        if !unready.is_empty() {
            return Err(EngineError::Unready(unready));
        }
        self.check_objects(plan).await
    }

    async fn check_fleet(
        &self,
        plan: &Plan,
        fleet: &str,
        changes: &FleetPlan,
    ) -> Result<(), ProviderError> {
        let Some(desired) = plan.desired.fleets.get(fleet) else {
            return Ok(());
        };
        // Machines that take others' places are not more than there are for long.
        let mut growth: BTreeMap<String, u32> = BTreeMap::new();
        let made = changes.changes.iter();
        for change in made.filter(|change| change.action == Action::Create) {
            for (zone, count) in &change.zones {
                *growth.entry(zone.clone()).or_default() += count;
            }
        }
        let template = &desired.template;
        let kind = self.connections.kind(&template.scope)?;
        if growth.is_empty() || !kind.info().resolves {
            return Ok(());
        }
        let provider = self
            .connections
            .open(&template.scope, Some(template))
            .await?;
        let checked = provider.prepare(template, Effort::Check(growth)).await;
        checked.map(drop)
    }

    async fn check_objects(&self, plan: &Plan) -> Result<(), EngineError> {
        let made = plan
            .objects
            .iter()
            .filter_map(|change| match change.action {
                ObjectAction::Create => change.object.clone(),
                ObjectAction::Update | ObjectAction::Delete | ObjectAction::Release => None,
            });
        let made: Vec<Object> = made.collect();
        match &self.mesh {
            Some(mesh) if !made.is_empty() => mesh
                .check(&plan.desired.stack, &made)
                .await
                .map_err(EngineError::Check),
            Some(_) | None => Ok(()),
        }
    }
}
