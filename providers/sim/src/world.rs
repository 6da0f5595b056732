//! The state of the cloud, as a fold over its records.
//!
//! Synchronous and without I/O. Invariants:
//! 1. The same records give the same world, whatever fault plan made them.
//! 2. `agenda` names every machine that has a step of its life still to come.
//! 3. A machine that is gone stays only as long as a late listing may show it.

use std::collections::BTreeMap;
use std::ops::Bound;

use meshvm_provider_api::{BatchKey, Machine, MachineId, Scope};
use uuid::Uuid;

use crate::event::{Event, EventKind};
use crate::faults::Call;
use crate::machine::{Shape, Stored, Version};
use crate::record::{Effect, FORMAT, Header, Record, Reservation};

/// Sees every event, and the world right after it.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Event, &World);

/// The state of the cloud.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// How many wire requests were made.
    pub clock: u64,
    /// How many of each kind.
    pub calls: BTreeMap<Call, u64>,
    /// How many addresses were given out.
    pub addresses: u32,
    /// What machines are, once for all that are the same.
    pub shapes: Vec<Shape>,
    /// What each key made.
    pub reservations: BTreeMap<(Scope, BatchKey), Reservation>,
    machines: BTreeMap<MachineId, Stored>,
    /// Who has a step to take at which clock; a machine that has none by then is passed over.
    agenda: BTreeMap<u64, Vec<MachineId>>,
    /// How many calls late a listing may be.
    keep: u64,
}

impl World {
    /// Makes a world in which listings may be `keep` calls late.
    pub fn new(keep: u64) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    /// Takes over what the first line of a file says.
    pub fn begin(&mut self, header: Header) {
        let Header {
            format: _,
            generation: _,
            lines: _,
            clock,
            calls,
            addresses,
        } = header;
        self.clock = clock;
        self.calls = calls;
        self.addresses = addresses;
    }

    /// Forgets everything but how late listings may be.
    pub fn reset(&mut self) {
        *self = Self::new(self.keep);
    }

    /// Keeps the past for listings `keep` calls late from now on.
    pub fn keep(&mut self, keep: u64) {
        self.keep = keep;
    }

    /// Lets the clock run to `clock`, and all happen that is due by then, in order.
    pub fn advance(&mut self, clock: u64, sink: Sink<'_>) {
        while let Some(entry) = self.agenda.first_entry() {
            if *entry.key() > clock {
                break;
            }
            let (due, ids) = entry.remove_entry();
            self.clock = self.clock.max(due);
            for id in ids {
                self.wake(&id, sink);
            }
        }
        self.clock = self.clock.max(clock);
    }

    /// Lets a record happen.
    pub fn apply(&mut self, record: Record, sink: Sink<'_>) {
        let Record {
            call,
            clock,
            effects,
        } = record;
        self.advance(clock, sink);
        if let Some(call) = call {
            *self.calls.entry(call).or_default() += 1;
        }
        for effect in effects {
            self.happen(effect, sink);
        }
    }

    fn happen(&mut self, effect: Effect, sink: Sink<'_>) {
        match effect {
            Effect::Shape(shape) => self.shapes.push(shape),
            Effect::Birth { id, machine } => {
                self.machines.insert(id.clone(), machine);
                self.tell(&id, EventKind::Created, sink);
                self.wake(&id, sink);
            }
            Effect::Reserve {
                scope,
                key,
                reservation,
            } => {
                self.reservations.insert((scope, key), reservation);
            }
            Effect::Addresses(given) => self.addresses = given,
            Effect::Reshape { shape, machines } => {
                for id in machines {
                    self.touch(&id, sink, |machine, clock, keep| {
                        machine.change(clock, keep, |now| now.shape = shape);
                        EventKind::Changed
                    });
                }
            }
            Effect::Boot { id, life } => self.touch(&id, sink, |machine, clock, keep| {
                machine.boot(clock, keep, life);
                EventKind::Starting
            }),
            Effect::Kill { id, how } => self.touch(&id, sink, |machine, clock, keep| {
                machine.die(clock, keep, how)
            }),
            Effect::Delete { machines } => {
                for id in machines {
                    self.touch(&id, sink, |machine, clock, _| {
                        machine.gone = Some(clock);
                        EventKind::Deleted
                    });
                }
            }
        }
    }

    fn touch(
        &mut self,
        id: &MachineId,
        sink: Sink<'_>,
        change: impl FnOnce(&mut Stored, u64, u64) -> EventKind,
    ) {
        if let Some(machine) = self.machines.get_mut(id) {
            let kind = change(machine, self.clock, self.keep);
            self.tell(id, kind, sink);
            self.wake(id, sink);
        }
    }

    /// Lets a machine take the steps that are due, and notes the next.
    fn wake(&mut self, id: &MachineId, sink: Sink<'_>) {
        while let Some(kind) = self
            .machines
            .get_mut(id)
            .and_then(|machine| machine.step(self.clock, self.keep))
        {
            self.tell(id, kind, sink);
        }
        let Some(machine) = self.machines.get(id) else {
            return;
        };
        let next = match machine.gone.map(|gone| gone.saturating_add(self.keep)) {
            Some(forgotten) if forgotten <= self.clock => {
                self.machines.remove(id);
                None
            }
            Some(forgotten) => Some(forgotten),
            None => machine.next_step(),
        };
        if let Some(next) = next {
            self.agenda.entry(next).or_default().push(id.clone());
        }
    }

    fn tell(&self, id: &MachineId, kind: EventKind, sink: Sink<'_>) {
        let event = Event {
            clock: self.clock,
            machine: id.clone(),
            kind,
        };
        sink(event, self);
    }

    /// Returns a machine that exists.
    pub fn stored(&self, id: &MachineId) -> Option<&Stored> {
        self.machines
            .get(id)
            .filter(|machine| machine.gone.is_none())
    }

    /// Returns every machine that exists, with its shape.
    pub fn existing(&self) -> impl Iterator<Item = (&MachineId, &Stored, &Shape)> {
        self.known_after(None)
            .filter(|(_, machine)| machine.gone.is_none())
            .filter_map(|(id, machine)| Some((id, machine, self.shapes.get(machine.now.shape)?)))
    }

    /// Returns every machine that a listing may still show, by id, from after `last`.
    pub fn known_after(
        &self,
        last: Option<&MachineId>,
    ) -> impl Iterator<Item = (&MachineId, &Stored)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.machines
            .range::<MachineId, _>((from, Bound::Unbounded))
    }

    /// Returns a machine that a listing may still show.
    pub fn known(&self, id: &MachineId) -> Option<(&MachineId, &Stored)> {
        self.machines.get_key_value(id)
    }

    /// Returns a machine that exists, as it is now.
    pub fn machine(&self, id: &MachineId) -> Option<Machine> {
        let machine = self.stored(id)?;
        self.show(id, machine, &machine.now)
    }

    /// Returns every machine that exists, as it is now, by id.
    pub fn all(&self) -> impl Iterator<Item = Machine> {
        self.existing()
            .filter_map(|(id, machine, _)| self.show(id, machine, &machine.now))
    }

    /// Returns a machine as it is in one of its versions.
    pub fn show(&self, id: &MachineId, machine: &Stored, version: &Version) -> Option<Machine> {
        let Shape {
            scope: _,
            zone,
            labels,
            attributes,
        } = self.shapes.get(version.shape)?;
        Some(Machine {
            id: id.clone(),
            name: machine.name.clone(),
            zone: zone.clone(),
            power: version.power,
            readiness: version.readiness.clone(),
            address: machine.address,
            labels: labels.clone(),
            attributes: attributes.clone(),
        })
    }

    /// Forgets the shapes that no machine has any more, and numbers the others anew.
    pub fn compact(&mut self) {
        let mut positions = BTreeMap::new();
        for machine in self.machines.values() {
            for version in machine.versions() {
                positions.insert(version.shape, 0);
            }
        }
        let mut shapes = Vec::with_capacity(positions.len());
        for (old, position) in &mut positions {
            *position = shapes.len();
            shapes.extend(self.shapes.get(*old).cloned());
        }
        self.shapes = shapes;
        for machine in self.machines.values_mut() {
            for version in machine.versions_mut() {
                if let Some(position) = positions.get(&version.shape) {
                    version.shape = *position;
                }
            }
        }
    }

    /// Returns the records that make this world again, and what they start from.
    pub fn snapshot(&self, generation: Uuid) -> (Header, impl Iterator<Item = Record>) {
        let header = Header {
            format: FORMAT,
            generation,
            lines: self.shapes.len() + self.machines.len() + self.reservations.len(),
            clock: self.clock,
            calls: self.calls.clone(),
            addresses: self.addresses,
        };
        let shapes = self.shapes.iter().cloned().map(Effect::Shape);
        let births = self.machines.iter().map(|(id, machine)| Effect::Birth {
            id: id.clone(),
            machine: machine.clone(),
        });
        let reservations = self
            .reservations
            .iter()
            .map(|((scope, key), made)| Effect::Reserve {
                scope: scope.clone(),
                key: *key,
                reservation: made.clone(),
            });
        let effects = shapes.chain(births).chain(reservations);
        let records = effects.map(|effect| Record {
            call: None,
            clock: self.clock,
            effects: vec![effect],
        });
        (header, records)
    }
}

#[cfg(test)]
mod tests;
