//! Asks clouds and mesh what there is of a stack, after what its ledger says.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::{MachineId, Scope};

use super::{Engine, EngineError, read_runs};
use crate::desired::Desired;
use crate::journal::Memory;
use crate::mesh::Backend;
use crate::observe;
use crate::observed::Observed;
use crate::plan::Options;

impl Engine {
    /// Looks at the clouds alone, where the mesh cannot be read: for whoever wants to see the
    /// machines, and plans nothing. Changes nothing.
    ///
    /// # Errors
    /// When the ledger or a cloud cannot be read.
    pub async fn look_at_clouds(&self, desired: &Desired) -> Result<Observed, EngineError> {
        let runs = read_runs(self.ledger.runs().await?)?;
        let memory = self.fold(&runs);
        let scopes = self.ledger.scopes().await?;
        self.observe(desired, &Options::default(), &memory, None, scopes)
            .await
    }

    /// Asks about the scopes that the ledger knows, and those of the fleets.
    pub(super) async fn observe(
        &self,
        desired: &Desired,
        options: &Options,
        memory: &Memory,
        mesh: Option<&dyn Backend>,
        mut scopes: BTreeSet<Scope>,
    ) -> Result<Observed, EngineError> {
        let fleets = desired.fleets.values();
        scopes.extend(fleets.map(|fleet| fleet.template.scope.clone()));
        let mut adopt: BTreeMap<Scope, Vec<MachineId>> = BTreeMap::new();
        for (machine, fleet) in &options.adopt {
            if let Some(fleet) = desired.fleets.get(fleet) {
                let scope = fleet.template.scope.clone();
                adopt.entry(scope).or_default().push(machine.clone());
            }
        }
        let by_themselves = desired.by_themselves();
        let namespaces = desired.namespaces();
        let fleets = desired.fleets.iter();
        let homes = fleets.map(|(name, fleet)| (name.as_str(), &fleet.template.scope));
        let homes = homes.collect();
        let request = observe::Request {
            stack: &desired.stack,
            scopes: &scopes,
            adopt: &adopt,
            expected: &memory.expected,
            begun: &memory.begun,
            open: &memory.unsettled(),
            by_themselves: &by_themselves,
            namespaces: &namespaces,
            homes: &homes,
        };
        Ok(observe::observe(&request, &self.connections, mesh).await?)
    }
}
