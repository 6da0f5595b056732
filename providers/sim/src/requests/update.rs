//! A change of existing machines: attributes, labels, power.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meshvm_provider_api::{
    Difference, ErrorClass, Machine, MachineId, Mutability, Power, ProviderError, Scope, Template,
    contract,
};

use super::{Request, check_size, names};
use crate::faults::{Call, FaultPlan};
use crate::machine::{Shape, Stored};
use crate::record::Effect;
use crate::world::World;

/// Judges what it takes to change a machine: the pure comparison of a provider.
pub(crate) type Compare = Arc<dyn Fn(&Template, &Machine) -> Vec<Difference> + Send + Sync>;

/// Asks for a change.
pub(crate) struct Update {
    pub scope: Scope,
    pub update: contract::Update,
    pub compare: Compare,
    pub max_batch: u32,
}

/// The new shapes of a request, each once for all machines that had the same before.
#[derive(Default)]
struct Reshaped {
    shapes: Vec<Shape>,
    /// By the shape that they had: the new one and who gets it.
    machines: BTreeMap<usize, (usize, Vec<MachineId>)>,
}

impl Request for Update {
    /// The machines that do not exist.
    type Decided = Vec<MachineId>;
    type Answer = ();
    const CALL: Call = Call::Update;

    fn decide(
        &self,
        world: &World,
        plan: &FaultPlan,
    ) -> Result<(Vec<Effect>, Vec<MachineId>), ProviderError> {
        check_size(self.update.machines.len(), self.max_batch)?;
        let (mut reshaped, mut boots, mut missing) = (Reshaped::default(), Vec::new(), Vec::new());
        for id in self.update.machines.iter().collect::<BTreeSet<_>>() {
            let found = world.stored(id).and_then(|machine| {
                let shape = world.shapes.get(machine.now.shape)?;
                (shape.scope == self.scope).then_some((machine, shape))
            });
            let Some((machine, shape)) = found else {
                missing.push(id.clone());
                continue;
            };
            let restarts = self.restarts(world, id, machine)?;
            let starts = self.update.start && machine.now.power == Power::Stopped;
            if restarts || starts {
                let bootstraps = machine.life.ready.is_some();
                let life = plan.life(world.clock, &id.0, &machine.name, bootstraps);
                boots.push(Effect::Boot {
                    id: id.clone(),
                    life,
                });
            }
            reshaped.add(world, id, machine, self.change(shape));
        }
        let mut effects = reshaped.into_effects();
        effects.extend(boots);
        Ok((effects, missing))
    }

    fn answer(
        &self,
        _: &World,
        _: &FaultPlan,
        missing: Vec<MachineId>,
    ) -> Result<(), ProviderError> {
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!("no machine {}", names(&missing));
        Err(ProviderError::new(ErrorClass::NotFound, message))
    }
}

impl Update {
    /// Returns whether the change restarts the machine.
    fn restarts(
        &self,
        world: &World,
        id: &MachineId,
        machine: &Stored,
    ) -> Result<bool, ProviderError> {
        let attributes = &self.update.attributes;
        if attributes.is_empty() {
            return Ok(false);
        }
        let invalid = |message: String| ProviderError::new(ErrorClass::Invalid, message);
        let Some(template) = &self.update.template else {
            return Err(invalid("attributes to change but no template".to_owned()));
        };
        let mut restarts = false;
        let shown = world.show(id, machine, &machine.now);
        for difference in shown.map_or_else(Vec::new, |shown| (self.compare)(template, &shown)) {
            if !attributes.contains(&difference.attribute) {
                continue;
            }
            match difference.mutability {
                Mutability::InPlace => {}
                Mutability::Restart => {
                    restarts |= matches!(machine.now.power, Power::Starting | Power::Running);
                }
                Mutability::Replace => {
                    let attribute = difference.attribute;
                    return Err(invalid(format!(
                        "`{attribute}` of {id} cannot change on an existing machine"
                    )));
                }
            }
        }
        Ok(restarts)
    }

    /// Returns what a shape becomes.
    fn change(&self, before: &Shape) -> Shape {
        let contract::Update {
            machines: _,
            template,
            attributes,
            start: _,
            set_labels,
            remove_labels,
        } = &self.update;
        let mut shape = before.clone();
        for (template, attribute) in template
            .iter()
            .flat_map(|template| attributes.iter().map(move |name| (template, name)))
        {
            match template.attributes.get(attribute) {
                Some(value) => shape.attributes.insert(attribute.clone(), value.clone()),
                None => shape.attributes.remove(attribute),
            };
        }
        for label in remove_labels {
            shape.labels.remove(label);
        }
        shape.labels.extend(set_labels.clone());
        shape
    }
}

impl Reshaped {
    fn add(&mut self, world: &World, id: &MachineId, machine: &Stored, after: Shape) {
        let before = machine.now.shape;
        if let Some((_, machines)) = self.machines.get_mut(&before) {
            machines.push(id.clone());
        } else if world.shapes.get(before) != Some(&after) {
            let position = world.shapes.len() + self.shapes.len();
            self.shapes.push(after);
            self.machines.insert(before, (position, vec![id.clone()]));
        }
    }

    fn into_effects(self) -> Vec<Effect> {
        let shapes = self.shapes.into_iter().map(Effect::Shape);
        let machines = self.machines.into_values();
        shapes
            .chain(machines.map(|(shape, machines)| Effect::Reshape { shape, machines }))
            .collect()
    }
}
