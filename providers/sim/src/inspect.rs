//! What only tests may use of the cloud: the truth, and hands that reach into it.
//!
//! None of it is a wire request: it does not tick the clock, meets no faults
//! and lags behind nothing. With a cloud in a file each may wait for another
//! process and fails as [`SimError`] says.

use std::collections::BTreeMap;

use meshvm_provider_api::{Machine, MachineId, Scope};
use serde_json::Value;

use crate::cloud::SimCloud;
use crate::error::SimError;
use crate::event::{Event, Truth};
use crate::faults::{Call, Death, FaultPlan};
use crate::machine::{Life, Shape, Stored, Version};
use crate::record::Effect;
use crate::world::World;

impl SimCloud {
    /// Returns every machine of every scope as it truly is, by id.
    ///
    /// # Errors
    /// Only of the file.
    pub fn machines(&self) -> Result<Vec<Machine>, SimError> {
        self.look(|world| world.all().collect())
    }

    /// Returns a machine as it truly is, if it exists.
    ///
    /// # Errors
    /// Only of the file.
    pub fn machine(&self, id: &MachineId) -> Result<Option<Machine>, SimError> {
        self.look(|world| world.machine(id))
    }

    /// Returns the clock: how many wire requests and ticks there were.
    ///
    /// # Errors
    /// Only of the file.
    pub fn clock(&self) -> Result<u64, SimError> {
        self.look(|world| world.clock)
    }

    /// Returns how many wire requests of each kind there were, failed ones included.
    ///
    /// # Errors
    /// Only of the file.
    pub fn calls(&self) -> Result<BTreeMap<Call, u64>, SimError> {
        self.look(|world| world.calls.clone())
    }

    /// Lets so many calls pass.
    ///
    /// # Errors
    /// Only of the file.
    pub fn tick(&self, calls: u64) -> Result<(), SimError> {
        self.with(|state| state.reach(calls, |_| Ok((Vec::new(), ()))))
    }

    /// Ends a machine as if by itself.
    ///
    /// # Errors
    /// `NoMachine`.
    pub fn kill(&self, id: &MachineId, how: Death) -> Result<(), SimError> {
        self.touch(id, |_, _| {
            vec![Effect::Kill {
                id: id.clone(),
                how,
            }]
        })
    }

    /// Changes an attribute behind everybody's back.
    ///
    /// # Errors
    /// `NoMachine`.
    pub fn edit(&self, id: &MachineId, attribute: &str, value: Value) -> Result<(), SimError> {
        self.reshape(id, |shape| {
            shape.attributes.insert(attribute.to_owned(), value);
        })
    }

    /// Changes a label behind everybody's back; `None` removes it.
    ///
    /// # Errors
    /// `NoMachine`.
    pub fn relabel(
        &self,
        id: &MachineId,
        label: &str,
        value: Option<&str>,
    ) -> Result<(), SimError> {
        self.reshape(id, |shape| {
            match value {
                Some(value) => shape.labels.insert(label.to_owned(), value.to_owned()),
                None => shape.labels.remove(label),
            };
        })
    }

    /// Adds a machine that somebody else made, exactly as given.
    ///
    /// # Errors
    /// `Exists` when there is a machine with this id.
    pub fn add_foreign(&self, scope: &Scope, machine: Machine) -> Result<(), SimError> {
        let Machine {
            id,
            name,
            zone,
            power,
            readiness,
            address,
            labels,
            attributes,
        } = machine;
        self.with(|state| {
            state.reach(0, |world| {
                if world.known(&id).is_some() {
                    return Err(SimError::Exists(id));
                }
                let shape = Effect::Shape(Shape {
                    scope: scope.clone(),
                    zone,
                    labels,
                    attributes,
                });
                let machine = Stored {
                    name,
                    address,
                    born: world.clock,
                    now: Version {
                        since: world.clock,
                        shape: world.shapes.len(),
                        power,
                        readiness,
                    },
                    past: Vec::new(),
                    life: Life::default(),
                    gone: None,
                };
                Ok((vec![shape, Effect::Birth { id, machine }], ()))
            })
        })
    }

    /// Makes the cloud behave by another plan from now on.
    ///
    /// What was drawn before stays: a machine keeps the life that it has.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.with(|state| {
            state.world.keep(plan.longest_lag());
            state.plan = plan;
        });
    }

    /// Calls `watcher` at every event, with the cloud as it is right after it.
    ///
    /// The cloud is locked meanwhile: a watcher that calls it waits for ever.
    /// What happened before this process opened a cloud in a file, or while
    /// another process wrote the file anew, is not told.
    pub fn watch(&self, watcher: impl FnMut(&Event, Truth<'_>) + Send + 'static) {
        self.with(|state| state.watchers.push(Box::new(watcher)));
    }

    /// Returns all events so far, with the limits of [`SimCloud::watch`].
    pub fn events(&self) -> Vec<Event> {
        self.with(|state| state.events.clone())
    }

    fn look<T>(&self, look: impl FnOnce(&World) -> T) -> Result<T, SimError> {
        self.with(|state| state.reach(0, |world| Ok((Vec::new(), look(world)))))
    }

    fn touch(
        &self,
        id: &MachineId,
        act: impl FnOnce(&World, &Stored) -> Vec<Effect>,
    ) -> Result<(), SimError> {
        self.with(|state| {
            state.reach(0, |world| {
                let machine = world.stored(id);
                let machine = machine.ok_or_else(|| SimError::NoMachine(id.clone()))?;
                Ok((act(world, machine), ()))
            })
        })
    }

    fn reshape(&self, id: &MachineId, change: impl FnOnce(&mut Shape)) -> Result<(), SimError> {
        self.touch(id, |world, machine| {
            let Some(mut shape) = world.shapes.get(machine.now.shape).cloned() else {
                return Vec::new();
            };
            change(&mut shape);
            vec![
                Effect::Shape(shape),
                Effect::Reshape {
                    shape: world.shapes.len(),
                    machines: vec![id.clone()],
                },
            ]
        })
    }
}
