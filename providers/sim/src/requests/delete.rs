//! The deletion of machines of one stack.

use std::collections::BTreeSet;

use meshvm_provider_api::{ErrorClass, MachineId, ProviderError, Scope, labels};

use super::{Request, check_size, names};
use crate::faults::{Call, FaultPlan};
use crate::record::Effect;
use crate::world::World;

/// Asks for a deletion.
pub(crate) struct Delete {
    pub scope: Scope,
    pub stack: String,
    pub machines: Vec<MachineId>,
    pub max_batch: u32,
}

impl Request for Delete {
    type Decided = ();
    type Answer = ();
    const CALL: Call = Call::Delete;

    fn decide(&self, world: &World, _: &FaultPlan) -> Result<(Vec<Effect>, ()), ProviderError> {
        check_size(self.machines.len(), self.max_batch)?;
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for id in self.machines.iter().collect::<BTreeSet<_>>() {
            let shape = world
                .stored(id)
                .and_then(|machine| world.shapes.get(machine.now.shape))
                .filter(|shape| shape.scope == self.scope);
            match shape.map(|shape| shape.labels.get(labels::STACK)) {
                Some(Some(stack)) if *stack == self.stack => own.push(id.clone()),
                Some(Some(_) | None) => others.push(id.clone()),
                None => {}
            }
        }
        if !others.is_empty() {
            let message = format!("not of stack {}: {}", self.stack, names(&others));
            return Err(ProviderError::new(ErrorClass::Conflict, message));
        }
        let effects = if own.is_empty() {
            Vec::new()
        } else {
            vec![Effect::Delete { machines: own }]
        };
        Ok((effects, ()))
    }

    fn answer(&self, _: &World, _: &FaultPlan, (): ()) -> Result<(), ProviderError> {
        Ok(())
    }
}
