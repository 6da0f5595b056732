//! The journal: what was begun and what ended, and what follows from it. Pure.
//!
//! Rules of writing, kept by [`crate::apply`]:
//! 1. No remote action starts before its `Begin` is durable.
//! 2. None counts as done before its end is durable; what depends on it waits.
//! 3. Ends are facts, never edited.
//!
//! So a `Begin` without an end may have happened or not, and nothing else may.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use meshvm_provider_api::{ErrorClass, MachineId, Scope};
use serde::{Deserialize, Serialize};

use crate::mesh::ObjectRef;
use crate::observed::{Expectation, Expected, Look, UnsettledBatch};
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
        /// The machines that it made, or waited for.
        machines: Vec<MachineId>,
    },
    /// It failed; where it may have had an effect all the same, it counts as not ended.
    Failed {
        /// How.
        class: ErrorClass,
        /// What was said.
        message: String,
        /// The machines that it made.
        machines: Vec<MachineId>,
    },
    /// What earlier runs did so lately that a listing may not show it.
    Inherited {
        /// By scope.
        expected: Vec<(Scope, Expected)>,
        /// As [`Memory::unready`].
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        unready: BTreeSet<MachineId>,
        /// As [`Memory::tokens`].
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        tokens: BTreeMap<String, BTreeSet<ObjectRef>>,
    },
}

/// What a step does, as far as a later run must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Recorded {
    /// Creates a batch; the run's plan has the rest of the request.
    Create(NewBatch),
    /// Changes machines, or lets them go.
    Change {
        /// Where.
        scope: Scope,
        /// Which.
        machines: Vec<MachineId>,
        /// What they look like afterwards; `None` when they are let go.
        look: Option<Look>,
    },
    /// Deletes machines.
    Delete {
        /// Where.
        scope: Scope,
        /// Which.
        machines: Vec<MachineId>,
    },
    /// Waits for machines, and changes nothing.
    Await {
        /// Where.
        scope: Scope,
        /// Those that were there before the run.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        machines: Vec<MachineId>,
    },
    /// Deletes objects of the mesh; it can be done again at any time.
    Revoke {
        /// What tokens are bound to among these, which nobody may look for.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        tokens: BTreeSet<ObjectRef>,
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
    /// Whether it came to its end.
    pub finished: bool,
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
    /// What listings will show if the open changes and deletions happened, by scope.
    pub begun: BTreeMap<Scope, Expected>,
    /// Machines that a run made or waited for, and none saw ready.
    pub unready: BTreeSet<MachineId>,
    /// What tokens are bound to that runs had made and none deleted, by fleet: that of a machine
    /// which is gone may be named by nothing else.
    pub tokens: BTreeMap<String, BTreeSet<ObjectRef>>,
}

impl Memory {
    /// Remembers what tokens of a fleet's machines are bound to.
    pub fn remember(&mut self, fleet: &str, secrets: impl IntoIterator<Item = ObjectRef>) {
        self.tokens
            .entry(fleet.to_owned())
            .or_default()
            .extend(secrets);
    }

    /// Remembers what a step leaves behind that was done, with the machines that it made, or waited
    /// for.
    fn note(&mut self, run: &Run, action: &Recorded, machines: &[MachineId]) {
        match action {
            Recorded::Create(batch) => {
                self.unready.extend(machines.iter().cloned());
                let secrets = batch.secrets(&run.plan).into_iter();
                self.remember(&batch.fleet, secrets.map(|(_, secret)| secret));
            }
            Recorded::Revoke { tokens } => {
                for known in self.tokens.values_mut() {
                    known.retain(|secret| !tokens.contains(secret));
                }
            }
            Recorded::Await { .. } => self.unready.retain(|id| !machines.contains(id)),
            Recorded::Change { .. } | Recorded::Delete { .. } | Recorded::Repeatable => {}
        }
    }

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
                Recorded::Change { .. }
                | Recorded::Delete { .. }
                | Recorded::Await { .. }
                | Recorded::Revoke { .. }
                | Recorded::Repeatable => None,
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
        // Whoever wrote the first entry had settled all that was open before it.
        if !run.entries.is_empty() {
            memory.open.clear();
            memory.begun.clear();
        }
        let is_recent = |at, scope: &Scope| now.duration_since(at) < lag(&scope.provider);
        let recent = |at, end: Option<(&Scope, End<'_>)>, to: &mut BTreeMap<Scope, Expected>| {
            if let Some((scope, end)) = end.filter(|(scope, _)| is_recent(at, scope)) {
                end.add_to(at, to.entry(scope.clone()).or_default());
            }
        };
        let mut open: BTreeMap<&str, (&Entry, &Recorded)> = BTreeMap::new();
        for entry in &run.entries {
            match &entry.event {
                Event::Begin(action) => {
                    open.insert(&entry.step, (entry, action));
                    if let Recorded::Await { machines, .. } = action {
                        memory.unready.extend(machines.iter().cloned());
                    }
                }
                Event::Done { machines } => {
                    if let Some((_, action)) = open.remove(entry.step.as_str()) {
                        let end = end(run, action, machines);
                        recent(entry.at, end, &mut memory.expected);
                        memory.note(run, action, machines);
                    }
                }
                Event::Failed {
                    class, machines, ..
                } => {
                    if let Some((_, action @ Recorded::Create(_))) = open.get(entry.step.as_str()) {
                        let end = end(run, action, machines);
                        recent(entry.at, end, &mut memory.expected);
                        memory.unready.extend(machines.iter().cloned());
                    }
                    if !may_have_happened(*class) {
                        open.remove(entry.step.as_str());
                    }
                }
                Event::Inherited {
                    expected,
                    unready,
                    tokens,
                } => {
                    memory.unready.extend(unready.iter().cloned());
                    for (fleet, secrets) in tokens {
                        memory.remember(fleet, secrets.iter().cloned());
                    }
                    for (scope, expected) in expected {
                        let mut expected = expected.clone();
                        expected.retain_since(|since| is_recent(since, scope));
                        let known = memory.expected.entry(scope.clone()).or_default();
                        known.extend(&expected);
                    }
                }
            }
        }
        for (entry, action) in open.into_values() {
            if let Recorded::Change { .. } | Recorded::Delete { .. } = action {
                recent(entry.at, end(run, action, &[]), &mut memory.begun);
            }
            memory.open.push(Open {
                fence: run.fence,
                step: entry.step.clone(),
                at: entry.at,
                action: action.clone(),
            });
        }
    }
    memory
}

/// Returns whether a step that failed so, after retries, may have had its effect.
fn may_have_happened(class: ErrorClass) -> bool {
    match class {
        // Of several attempts the last one tells nothing about those before it, and
        // an update that misses one machine changes the others.
        ErrorClass::Throttled
        | ErrorClass::Unavailable
        | ErrorClass::ReplyLost
        | ErrorClass::NotFound
        | ErrorClass::Unrecognized => true,
        ErrorClass::Capacity
        | ErrorClass::Quota
        | ErrorClass::PermissionDenied
        | ErrorClass::Conflict
        | ErrorClass::Invalid
        | ErrorClass::Environment => false,
    }
}

/// What listings show once a step has ended.
enum End<'a> {
    Looks(Look, &'a [MachineId]),
    Available(&'a [MachineId]),
    Gone(&'a [MachineId]),
}

/// Returns what listings show once `action` has ended with these machines, and where.
fn end<'a>(
    run: &'a Run,
    action: &'a Recorded,
    machines: &'a [MachineId],
) -> Option<(&'a Scope, End<'a>)> {
    match action {
        Recorded::Create(batch) => {
            let desired = run.plan.desired.fleets.get(&batch.fleet)?;
            let look = Look::made_from(desired.spec.as_str());
            Some((&desired.template.scope, End::Looks(look, machines)))
        }
        Recorded::Change {
            scope,
            machines,
            look,
        } => Some(match look {
            Some(look) => (scope, End::Looks(look.clone(), machines)),
            None => (scope, End::Gone(machines)),
        }),
        Recorded::Delete { scope, machines } => Some((scope, End::Gone(machines))),
        Recorded::Await { scope, .. } => Some((scope, End::Available(machines))),
        Recorded::Revoke { .. } | Recorded::Repeatable => None,
    }
}

impl End<'_> {
    fn add_to(self, at: Timestamp, expected: &mut Expected) {
        match self {
            Self::Looks(look, machines) => {
                for machine in machines {
                    let look = look.clone();
                    expected.expect(machine, Expectation { look, since: at });
                }
            }
            Self::Available(machines) => {
                for machine in machines {
                    expected.expect_available(machine, at);
                }
            }
            Self::Gone(machines) => {
                for machine in machines {
                    expected.expect_gone(machine, at);
                }
            }
        }
    }
}
