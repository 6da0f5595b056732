//! Asks clouds what the fleets' blocks name, before anything is planned.

use futures::future::try_join_all;
use meshvm_provider_api::Effort;

use super::{Engine, EngineError};
use crate::desired::Desired;

impl Engine {
    /// Looks up what templates only name, so that the plan holds every choice.
    pub(super) async fn resolve(&self, desired: &mut Desired) -> Result<(), EngineError> {
        let lookups = desired.fleets.iter_mut().map(async |(name, fleet)| {
            let failed = |source| EngineError::Resolve {
                fleet: name.clone(),
                source,
            };
            let scope = fleet.template.scope.clone();
            // A provider that this build lacks is told of where it is needed.
            let kind = self.connections.kinds().get(scope.provider.as_str());
            if fleet.replicas == 0 || !kind.is_some_and(|kind| kind.info().resolves) {
                return Ok(());
            }
            let provider = self.connections.open(&scope, Some(&fleet.template));
            let provider = provider.await.map_err(failed)?;
            let resolved = provider.prepare(&fleet.template, Effort::Look).await;
            fleet.template = resolved.map_err(failed)?;
            Ok(())
        });
        try_join_all(lookups).await.map(drop)
    }
}
