//! Finds machines to adopt by a tag: a plan names each by its id.

use std::collections::BTreeMap;

use meshvm_provider_api::labels::{Labels, Ownership};
use meshvm_provider_api::{MachineId, Query};

use super::{Engine, EngineError};
use crate::desired::Desired;
use crate::observe::ObserveError;
use crate::plan::PlanError;

/// Machines to adopt, by a tag of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The fleet to take them into.
    pub fleet: String,
    /// The tag, or label as some clouds call it.
    pub name: String,
    /// What its value is like; `*` stands for any text.
    pub pattern: String,
}

impl Engine {
    /// Adds the machines that carry the tags and belong to no stack, each with its fleet.
    ///
    /// # Errors
    /// When a tag fits no machine but those of other stacks, or one machine is for two fleets.
    pub async fn tagged(
        &self,
        desired: &Desired,
        wanted: &[Tagged],
        adopt: &mut BTreeMap<MachineId, String>,
    ) -> Result<(), EngineError> {
        for wanted in wanted {
            let Tagged {
                fleet,
                name,
                pattern,
            } = wanted;
            let unknown = || PlanError::UnknownFleet(fleet.clone());
            let target = desired.fleets.get(fleet).ok_or_else(unknown)?;
            let scope = &target.template.scope;
            let failed = |source| ObserveError::Scope {
                scope: scope.clone(),
                source,
            };
            let provider = self.connections.open(scope, None).await.map_err(failed)?;
            let query = Query::Labelled(Labels::from([(name.clone(), pattern.clone())]));
            let machines = provider.observe(&query).await.map_err(failed)?;
            let mut is_there = false;
            for machine in machines {
                match Ownership::from_labels(&machine.labels) {
                    // An earlier run took it over.
                    Some(owned) if owned.stack == desired.stack => is_there = true,
                    Some(_) => {}
                    None => {
                        is_there = true;
                        let id = machine.id.clone();
                        if let Some(other) = adopt.insert(id, fleet.clone())
                            && other != *fleet
                        {
                            let both = PlanError::TwoFleets(machine.id, other, fleet.clone());
                            return Err(both.into());
                        }
                    }
                }
            }
            if !is_there {
                let tag = format!("{name}={pattern}");
                return Err(PlanError::NothingTagged(tag, fleet.clone()).into());
            }
        }
        Ok(())
    }
}
