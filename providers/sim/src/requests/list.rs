//! One page of a listing, as late as the fault plan says.

use meshvm_provider_api::{Labels, Machine, MachineId, ProviderError, Scope, labels};

use super::Request;
use crate::faults::{Call, FaultPlan};
use crate::machine::{Shape, Stored, Version};
use crate::record::Effect;
use crate::world::World;

/// The most machines on a page, or ids in a request.
pub(crate) const PAGE: usize = 1000;

/// Asks for one page.
pub(crate) struct List {
    pub scope: Scope,
    pub listed: Listed,
}

/// What to list.
#[derive(Clone)]
pub(crate) enum Listed {
    /// The machines of a stack, from after `last`.
    Stack {
        stack: String,
        last: Option<MachineId>,
    },
    /// Those with labels that fit, from after `last`.
    Labelled {
        patterns: Labels,
        last: Option<MachineId>,
    },
    /// These machines: at most a page.
    Machines(Vec<MachineId>),
}

/// One page of an answer.
pub(crate) struct Page {
    pub machines: Vec<Machine>,
    /// Where the next page goes on, if there is more.
    pub last: Option<MachineId>,
}

impl Request for List {
    type Decided = ();
    type Answer = Page;
    const CALL: Call = Call::List;

    fn decide(&self, _: &World, _: &FaultPlan) -> Result<(Vec<Effect>, ()), ProviderError> {
        Ok((Vec::new(), ()))
    }

    fn answer(&self, world: &World, plan: &FaultPlan, (): ()) -> Result<Page, ProviderError> {
        Ok(match &self.listed {
            Listed::Stack { stack, last } => self.page(world, plan, last.as_ref(), |shape| {
                shape.labels.get(labels::STACK) == Some(stack)
            }),
            Listed::Labelled { patterns, last } => self.page(world, plan, last.as_ref(), |shape| {
                patterns.iter().all(|(key, pattern)| {
                    let value = shape.labels.get(key);
                    value.is_some_and(|value| labels::fits(pattern, value))
                })
            }),
            Listed::Machines(ids) => {
                let machines = ids.iter().filter_map(|id| {
                    let (id, machine) = world.known(id)?;
                    let lag = plan.by_id_lag(&id.0);
                    let version = self.seen(world, machine, lag, |_| true)?;
                    world.show(id, machine, version)
                });
                Page {
                    machines: machines.collect(),
                    last: None,
                }
            }
        })
    }
}

impl List {
    /// Returns a page of what fits, from after `last`.
    fn page(
        &self,
        world: &World,
        plan: &FaultPlan,
        last: Option<&MachineId>,
        fits: impl Fn(&Shape) -> bool,
    ) -> Page {
        let mut found = world.known_after(last).filter_map(|(id, machine)| {
            let version = self.seen(world, machine, plan.list_lag(&id.0), &fits)?;
            Some((id, machine, version))
        });
        let machines: Vec<Machine> = found
            .by_ref()
            .take(PAGE)
            .filter_map(|(id, machine, version)| world.show(id, machine, version))
            .collect();
        let last = machines.last().map(|machine| machine.id.clone());
        Page {
            machines,
            last: last.filter(|_| found.next().is_some()),
        }
    }

    fn seen<'a>(
        &self,
        world: &World,
        machine: &'a Stored,
        lag: u64,
        fits: impl Fn(&Shape) -> bool,
    ) -> Option<&'a Version> {
        // Before the first call there was nothing to be late with.
        let version = machine.at(world.clock.saturating_sub(lag))?;
        let shape = world.shapes.get(version.shape)?;
        (shape.scope == self.scope && fits(shape)).then_some(version)
    }
}
