//! Apply: makes a plan so, step by step, with the journal first.
//!
//! The [`dispatcher`] owns the journal and follows the edges; a [`worker`] does
//! one step. Neither makes a choice: every choice is in the plan. Nothing is
//! ever undone; what failed is planned again.

pub mod dispatcher;
mod done;
pub mod settle;
pub mod tokens;
pub mod wait;
pub mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use meshvm_provider_api::ErrorClass;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::Notify;

use crate::journal::Entry;
use crate::mesh::kubernetes::Refusal;
use crate::steps::Step;

pub use dispatcher::run;
pub use worker::Worker;

/// Where a run writes its journal.
#[async_trait]
pub trait Journal: Send {
    /// Makes entries durable before it returns.
    ///
    /// # Errors
    /// When they are not, or when another run took over; nothing more may be done then.
    async fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError>;
}

/// Why the journal cannot be written.
#[derive(Debug, Error)]
#[error("cannot write the journal")]
pub struct JournalError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Steps that were done.
    pub done: u32,
    /// Steps that failed, in order.
    pub failed: Vec<Failure>,
    /// Steps that were not started, and why.
    pub skipped: BTreeMap<String, Skipped>,
    /// Machines made.
    pub created: u32,
    /// Machines deleted.
    pub deleted: u32,
    /// Machines changed.
    pub changed: u32,
    /// Objects of the mesh.
    pub mesh: MeshOutcome,
}

/// How many objects of the mesh the steps wrote and deleted that were done; of a step that failed
/// some may be written, and are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshOutcome {
    /// Objects written.
    pub written: u32,
    /// Objects deleted, without what tokens are bound to: that is in no plan either.
    pub deleted: u32,
}

impl Outcome {
    /// Returns whether everything was done.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty()
    }
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The step.
    pub step: String,
    /// What kind of failure it is.
    pub class: ErrorClass,
    /// What happened, with all causes.
    pub message: String,
    /// Machines that it made all the same.
    pub created: u32,
    /// What the user can do about it.
    pub hint: Option<String>,
    /// What others hold of objects of the mesh, of every one that was not written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Refusal>,
}

/// Why a step was not started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "because")]
pub enum Skipped {
    /// A step that it needs failed.
    Needs {
        /// That step.
        step: String,
    },
    /// The run was asked to stop.
    Stopped,
}

/// What a run tells while it works.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// A step begins.
    Started(&'a Step),
    /// A step waits for machines.
    Waiting {
        /// The step.
        step: &'a Step,
        /// How many are ready.
        ready: usize,
        /// How many it waits for.
        of: usize,
    },
    /// A step was done.
    Done(&'a Step),
    /// A step failed.
    Failed(&'a Step, &'a Failure),
}

/// Takes what a run tells.
pub type Listener = dyn Fn(Progress<'_>) + Send + Sync;

/// Asks a run to stop: once to finish what is in flight, twice at once.
#[derive(Debug, Default)]
pub struct Stop {
    asked: AtomicU8,
    changed: Notify,
}

impl Stop {
    /// Asks once more.
    pub fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Returns whether no new step may start.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst) > 0
    }

    /// Waits until no new step may start.
    pub async fn first(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_asked() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until the run must stop at once.
    pub async fn at_once(&self) {
        loop {
            let changed = self.changed.notified();
            if self.asked.load(Ordering::SeqCst) > 1 {
                return;
            }
            changed.await;
        }
    }
}

/// A place in the run of a step where a process may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashPoint {
    /// Nothing is written.
    BeforeBegin,
    /// The begin is durable, and nothing is sent.
    AfterBegin,
    /// The action had its effect, and its reply is not looked at.
    AfterSend,
    /// The reply is known, and the end is not written.
    BeforeEnd,
    /// The end is durable, and nothing that depends on it has begun.
    AfterEnd,
}

impl CrashPoint {
    /// All points, in order.
    pub const ALL: [Self; 5] = [
        Self::BeforeBegin,
        Self::AfterBegin,
        Self::AfterSend,
        Self::BeforeEnd,
        Self::AfterEnd,
    ];
}

/// Decides where a run dies; a run for real never does.
pub trait Fate: Send + Sync {
    /// Returns whether the run ends here, as if its process were killed.
    fn dies(&self, point: CrashPoint, step: &Step) -> bool;
}

/// A run that nothing kills.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alive;

impl Fate for Alive {
    fn dies(&self, _: CrashPoint, _: &Step) -> bool {
        false
    }
}

/// Why a run ended before its end.
#[derive(Debug, Error)]
pub enum RunError {
    /// The journal cannot be written, so nothing more was started.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run was asked twice to stop; steps in flight are settled by the next run.
    #[error("stopped at once; steps in flight: {in_flight}")]
    Stopped {
        /// How many steps were in flight.
        in_flight: usize,
    },
    /// The run's [`Fate`] ended it.
    #[error("the run died")]
    Died,
}
