//! Watches the cloud for what may never happen, at every event.
//!
//! 1. Nothing is done to a machine before the begin of a step that says so is
//!    durable, nor after its end is.
//! 2. Nothing is done to a machine that is not the stack's.
//! 3. No fleet has more machines than its limit, where one is set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use meshvm::journal::{Entry, Event as Line, Recorded};
use meshvm::ledger::Ledger;
use meshvm_provider_api::{Machine, MachineId, labels};
use meshvm_provider_sim::{Event, EventKind, SimCloud, Truth};

use super::STACK;

/// What watches; clones share what they saw.
#[derive(Clone)]
pub struct Guard(Arc<Mutex<State>>);

struct State {
    ledger: Ledger,
    /// Whether it is the test itself that reaches into the cloud.
    is_test: bool,
    foreign: BTreeSet<MachineId>,
    limits: BTreeMap<String, usize>,
    broken: Vec<String>,
}

impl Guard {
    /// Watches a cloud for a stack whose ledger is in memory.
    pub fn on(cloud: &SimCloud, ledger: Ledger) -> Self {
        let guard = Self(Arc::new(Mutex::new(State {
            ledger,
            is_test: false,
            foreign: BTreeSet::new(),
            limits: BTreeMap::new(),
            broken: Vec::new(),
        })));
        let rule = guard.clone();
        guard.watch(cloud, move |event, truth| {
            let state = rule.0.lock().unwrap();
            if state.is_test {
                return Ok(());
            }
            state.owner(event)?;
            state.journal(event, truth)?;
            state.limit(event, truth)
        });
        guard
    }

    /// Adds a rule of the test's own.
    pub fn watch(
        &self,
        cloud: &SimCloud,
        mut rule: impl FnMut(&Event, Truth<'_>) -> Result<(), String> + Send + 'static,
    ) {
        let guard = self.clone();
        cloud.watch(move |event, truth| {
            if let Err(broken) = rule(event, truth) {
                let line = format!("at {event:?}: {broken}");
                guard.0.lock().unwrap().broken.push(line);
            }
        });
    }

    /// Looks into another ledger from now on.
    pub fn follow(&self, ledger: Ledger) {
        self.0.lock().unwrap().ledger = ledger;
    }

    /// Lets the test itself reach into the cloud.
    pub fn unwatched<T>(&self, act: impl FnOnce() -> T) -> T {
        self.0.lock().unwrap().is_test = true;
        let answer = act();
        self.0.lock().unwrap().is_test = false;
        answer
    }

    /// Protects a machine that is not the stack's.
    pub fn protect(&self, machine: &MachineId) {
        self.0.lock().unwrap().foreign.insert(machine.clone());
    }

    /// Lets the stack have a machine that was not its own.
    pub fn release(&self, machine: &MachineId) {
        self.0.lock().unwrap().foreign.remove(machine);
    }

    /// Sets the most machines that fleets may have, and nothing for all others.
    pub fn limit(&self, limits: BTreeMap<String, usize>) {
        self.0.lock().unwrap().limits = limits;
    }

    /// Returns what happened that may not.
    pub fn verdict(&self) -> Result<(), String> {
        let broken = self.0.lock().unwrap().broken.join("\n");
        if broken.is_empty() {
            Ok(())
        } else {
            Err(broken)
        }
    }
}

impl State {
    fn owner(&self, event: &Event) -> Result<(), String> {
        if self.foreign.contains(&event.machine) {
            return Err("that machine is not the stack's".to_owned());
        }
        Ok(())
    }

    fn limit(&self, event: &Event, truth: Truth<'_>) -> Result<(), String> {
        if event.kind != EventKind::Created {
            return Ok(());
        }
        for (fleet, &most) in &self.limits {
            let count = of_fleet(&truth.machines(), fleet).count();
            if count > most {
                return Err(format!("{count} machines of fleet {fleet}, at most {most}"));
            }
        }
        Ok(())
    }

    fn journal(&self, event: &Event, truth: Truth<'_>) -> Result<(), String> {
        let id = &event.machine;
        let machine = truth.machine(id);
        let batch = machine.and_then(|machine| machine.labels.get(labels::BATCH).cloned());
        let says: &dyn Fn(&Recorded) -> bool = match event.kind {
            EventKind::Created => &|step: &Recorded| match step {
                Recorded::Create(new) => batch == Some(new.key.to_string()),
                _ => false,
            },
            EventKind::Changed | EventKind::Starting => &|step: &Recorded| match step {
                Recorded::Change { machines, .. } => machines.contains(id),
                _ => false,
            },
            EventKind::Deleted => &|step: &Recorded| match step {
                Recorded::Delete { machines, .. } => machines.contains(id),
                _ => false,
            },
            EventKind::Running
            | EventKind::Ready
            | EventKind::BootstrapFailed
            | EventKind::Stopped
            | EventKind::Broke
            | EventKind::Vanished => return Ok(()),
        };
        if self.open_steps().iter().any(says) {
            return Ok(());
        }
        Err("no open step of the journal says so".to_owned())
    }

    /// Returns the steps that were begun and did not end, as the ledger has them right now.
    fn open_steps(&self) -> Vec<Recorded> {
        let runs = self.ledger.runs::<Entry>().now_or_never();
        let runs = runs.expect("a ledger in memory answers at once").unwrap();
        let mut all = Vec::new();
        for run in runs {
            let mut open = BTreeMap::new();
            for entry in run.entries {
                match entry.event {
                    Line::Begin(step) => {
                        open.insert(entry.step, step);
                    }
                    Line::Done { .. } | Line::Failed { .. } => {
                        open.remove(&entry.step);
                    }
                    Line::Inherited { .. } => {}
                }
            }
            all.extend(open.into_values());
        }
        all
    }
}

/// Returns the machines of a fleet of the stack.
pub fn of_fleet<'a>(machines: &'a [Machine], fleet: &'a str) -> impl Iterator<Item = &'a Machine> {
    machines.iter().filter(move |machine| {
        let is = |label, value| {
            machine
                .labels
                .get(label)
                .is_some_and(|found| found == value)
        };
        is(labels::STACK, STACK) && is(labels::FLEET, fleet)
    })
}
