//! The journal: what was begun and what ended, and what follows from it. Pure.
//!
//! Rules of writing, kept by [`crate::apply`]:
//! 1. No remote action starts before its `Begin` is durable.
//! 2. None counts as done before its end is durable; what depends on it waits.
//! 3. Ends are facts, never edited.
//!
//! So a `Begin` without an end may have happened or not, and nothing else may.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use meshvm_provider_api::{ErrorClass, MachineId, Scope};
use serde::{Deserialize, Serialize};

use crate::observed::{Expected, UnsettledBatch};
use crate::plan::Plan;
use crate::steps::NewBatch;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// When it was written.
    pub at: Timestamp,
    /// The step, by its id in the run's plan.
    pub step: String,
    /// What happened to it.
    pub event: Event,
}

/// What happened to a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// It is about to be sent.
    Begin(Recorded),
    /// It was done.
    Done {
        /// The machines that it made.
        machines: Vec<MachineId>,
    },
    /// It failed; what it may have done is found by observing.
    Failed {
        /// How.
        class: ErrorClass,
        /// What was said.
        message: String,
    },
    /// What earlier runs did that listings did not show yet when this run began.
    Inherited {
        /// By scope.
        expected: Vec<(Scope, Expected)>,
    },
}

/// What a step does, as far as a later run must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Recorded {
    /// Creates a batch; the run's plan has the rest of the request.
    Create(NewBatch),
    /// Changes machines, which then carry this hash, or no label of the stack.
    Change {
        /// Where.
        scope: Scope,
        /// Which.
        machines: Vec<MachineId>,
        /// The hash in their label afterwards; `None` when they are let go.
        spec: Option<String>,
    },
    /// Deletes machines.
    Delete {
        /// Where.
        scope: Scope,
        /// Which.
        machines: Vec<MachineId>,
    },
    /// Does what can be seen, or done again, at any time.
    Repeatable,
}

/// A run as it stands in the ledger.
#[derive(Clone, Debug)]
pub struct Run {
    /// The fencing token under which it ran.
    pub fence: u64,
    /// Its plan.
    pub plan: Plan,
    /// Its journal, in order.
    pub entries: Vec<Entry>,
}

/// A step that was begun and never ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// The run.
    pub fence: u64,
    /// The step.
    pub step: String,
    /// When it began.
    pub at: Timestamp,
    /// What it does.
    pub action: Recorded,
}

/// What follows from the journal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Steps that may have happened or not.
    pub open: Vec<Open>,
    /// What listings must show, by scope.
    pub expected: BTreeMap<Scope, Expected>,
}

impl Memory {
    /// Returns the batches that may have been sent, none of whose machines is known.
    pub fn unsettled(&self) -> Vec<UnsettledBatch> {
        self.open
            .iter()
            .filter_map(|open| match &open.action {
                Recorded::Create(batch) => Some(UnsettledBatch {
                    fleet: batch.fleet.clone(),
                    zone: batch.zone.clone(),
                    key: batch.key,
                    missing: batch.count,
                }),
                Recorded::Change { .. } | Recorded::Delete { .. } | Recorded::Repeatable => None,
            })
            .collect()
    }
}

/// Folds journals into what follows from them.
///
/// `lag` says how long a listing of a provider may miss a change; ends older
/// than that are left to the listing.
pub fn fold(runs: &[Run], now: Timestamp, lag: impl Fn(&str) -> SignedDuration) -> Memory {
    let mut memory = Memory::default();
    for run in runs {
        let mut open: BTreeMap<&str, (&Entry, &Recorded)> = BTreeMap::new();
        for entry in &run.entries {
            match &entry.event {
                Event::Begin(action) => {
                    open.insert(&entry.step, (entry, action));
                }
                Event::Done { machines } => {
                    if let Some((_, action)) = open.remove(entry.step.as_str()) {
                        remember(&mut memory, run, action, machines, |scope| {
                            now.duration_since(entry.at) < lag(&scope.provider)
                        });
                    }
                }
                Event::Failed { .. } => {
                    open.remove(entry.step.as_str());
                }
                Event::Inherited { expected } => {
                    for (scope, expected) in expected {
                        if now.duration_since(entry.at) < lag(&scope.provider) {
                            memory
                                .expected
                                .entry(scope.clone())
                                .or_default()
                                .extend(expected);
                        }
                    }
                }
            }
        }
        memory
            .open
            .extend(open.into_values().map(|(entry, action)| Open {
                fence: run.fence,
                step: entry.step.clone(),
                at: entry.at,
                action: action.clone(),
            }));
    }
    memory
}

fn remember(
    memory: &mut Memory,
    run: &Run,
    action: &Recorded,
    made: &[MachineId],
    is_recent: impl Fn(&Scope) -> bool,
) {
    let (scope, machines, spec) = match action {
        Recorded::Create(batch) => {
            let Some(desired) = run.plan.desired.fleets.get(&batch.fleet) else {
                return;
            };
            (
                &desired.template.scope,
                made,
                Some(desired.spec.to_string()),
            )
        }
        Recorded::Change {
            scope,
            machines,
            spec,
        } => (scope, machines.as_slice(), spec.clone()),
        Recorded::Delete { scope, machines } => (scope, machines.as_slice(), None),
        Recorded::Repeatable => return,
    };
    if !is_recent(scope) {
        return;
    }
    let expected = memory.expected.entry(scope.clone()).or_default();
    for machine in machines {
        match &spec {
            Some(spec) => expected.expect(machine, spec),
            None => expected.expect_gone(machine),
        }
    }
}
