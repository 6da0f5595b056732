//! Follows the edges of a step graph, and is the only writer of the journal.
//!
//! Steps that become ready together are begun with one write, and those that
//! end together are ended with one: the journal costs a few writes a wave, not
//! two a step.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::done::Done;
use super::worker::Worker;
use super::{
    CrashPoint, Failure, Fate, Journal, Listener, Outcome, Progress, RunError, Skipped, Stop,
};
use crate::journal::{Entry, Event};
use crate::steps::{Op, Step, StepGraph};

/// How a run is carried out.
pub struct Settings<'a> {
    /// The most steps at the same time.
    pub parallelism: usize,
    /// Takes what the run tells.
    pub listener: &'a Listener,
    /// Asks it to stop.
    pub stop: &'a Stop,
    /// Decides where it dies.
    pub fate: &'a dyn Fate,
    /// Tells the time.
    pub now: &'a (dyn Fn() -> Timestamp + Sync),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Done,
    Failed,
    Skipped,
}

type Ended = (usize, Result<Done, Failure>);

/// Carries out a step graph.
///
/// # Errors
/// When it ended before its end; steps that failed are in the outcome.
pub async fn run(
    worker: Worker,
    journal: &mut dyn Journal,
    settings: &Settings<'_>,
) -> Result<Outcome, RunError> {
    let graph = worker.graph();
    worker.announce().await;
    Dispatcher {
        states: vec![State::Waiting; graph.steps.len()],
        graph,
        worker: Arc::new(worker),
        tasks: JoinSet::new(),
        journal,
        settings,
        outcome: Outcome::default(),
    }
    .run()
    .await
}

struct Dispatcher<'a> {
    graph: Arc<StepGraph>,
    worker: Arc<Worker>,
    states: Vec<State>,
    tasks: JoinSet<Ended>,
    journal: &'a mut dyn Journal,
    settings: &'a Settings<'a>,
    outcome: Outcome,
}

impl Dispatcher<'_> {
    async fn run(mut self) -> Result<Outcome, RunError> {
        loop {
            self.begin_ready().await?;
            if self.tasks.is_empty() {
                break;
            }
            let ended = self.next_ended().await?;
            self.end(ended).await?;
        }
        for (index, state) in self.states.iter().enumerate() {
            if *state == State::Waiting {
                let skipped = self
                    .outcome
                    .skipped
                    .entry(self.graph.steps[index].id.clone());
                skipped.or_insert(Skipped::Stopped);
            }
        }
        Ok(self.outcome)
    }

    fn dies(&self, point: CrashPoint, index: usize) -> Result<(), RunError> {
        if self.settings.fate.dies(point, &self.graph.steps[index]) {
            return Err(RunError::Died);
        }
        Ok(())
    }

    /// Begins all steps that may run, as far as there is room.
    async fn begin_ready(&mut self) -> Result<(), RunError> {
        self.skip_hopeless();
        if self.settings.stop.is_asked() {
            return Ok(());
        }
        let room = self
            .settings
            .parallelism
            .max(1)
            .saturating_sub(self.tasks.len());
        let ready: Vec<usize> = (0..self.states.len())
            .filter(|&index| {
                let needs = &self.graph.steps[index].needs;
                self.states[index] == State::Waiting
                    && needs.iter().all(|&need| self.states[need] == State::Done)
            })
            .take(room)
            .collect();
        if ready.is_empty() {
            return Ok(());
        }
        for &index in &ready {
            self.dies(CrashPoint::BeforeBegin, index)?;
        }
        let entries: Vec<Entry> = ready
            .iter()
            .map(|&index| self.entry(index, Event::Begin(self.worker.record(index))))
            .collect();
        self.journal.append(&entries).await?;
        for index in ready {
            self.dies(CrashPoint::AfterBegin, index)?;
            self.states[index] = State::Running;
            (self.settings.listener)(Progress::Started(&self.graph.steps[index]));
            let worker = Arc::clone(&self.worker);
            self.tasks
                .spawn(async move { (index, worker.perform(index).await) });
        }
        Ok(())
    }

    /// Marks steps that can never run, since one that they need did not succeed.
    fn skip_hopeless(&mut self) {
        for index in 0..self.states.len() {
            let lost = self.graph.steps[index]
                .needs
                .iter()
                .find(|&&need| matches!(self.states[need], State::Failed | State::Skipped));
            if let (State::Waiting, Some(&need)) = (&self.states[index], lost) {
                self.states[index] = State::Skipped;
                let because = Skipped::Needs {
                    step: self.graph.steps[need].id.clone(),
                };
                let id = self.graph.steps[index].id.clone();
                self.outcome.skipped.insert(id, because);
            }
        }
    }

    /// Waits for a step to end, and takes all that have ended by then.
    async fn next_ended(&mut self) -> Result<Vec<Ended>, RunError> {
        let in_flight = self.tasks.len();
        let first = loop {
            let is_told = self.worker.is_told_to_stop();
            tokio::select! {
                ended = self.tasks.join_next() => break ended,
                () = self.settings.stop.first(), if !is_told => self.worker.stop_waiting(),
                () = self.settings.stop.at_once() => return Err(RunError::Stopped { in_flight }),
            }
        };
        let mut ended = Vec::new();
        let mut next = first;
        while let Some(joined) = next {
            // A task that panicked leaves its begin open: the next run settles it.
            let one =
                joined.map_err(|error| RunError::Journal(super::JournalError(error.into())))?;
            ended.push(one);
            next = self.tasks.try_join_next();
        }
        Ok(ended)
    }

    async fn end(&mut self, ended: Vec<Ended>) -> Result<(), RunError> {
        for (index, _) in &ended {
            self.dies(CrashPoint::AfterSend, *index)?;
            self.dies(CrashPoint::BeforeEnd, *index)?;
        }
        let entries: Vec<Entry> = ended
            .iter()
            .map(|(index, result)| self.entry(*index, self.event(*index, result)))
            .collect();
        self.journal.append(&entries).await?;
        for (index, result) in ended {
            self.dies(CrashPoint::AfterEnd, index)?;
            let step = &self.graph.steps[index];
            match result {
                Ok(done) => {
                    self.states[index] = State::Done;
                    count(&mut self.outcome, step, &done);
                    (self.settings.listener)(Progress::Done(step));
                }
                Err(failure) => {
                    self.states[index] = State::Failed;
                    (self.settings.listener)(Progress::Failed(step, &failure));
                    self.outcome.created += failure.created;
                    self.outcome.failed.push(failure);
                }
            }
        }
        Ok(())
    }

    fn event(&self, index: usize, result: &Result<Done, Failure>) -> Event {
        let machines = self.worker.machines(index);
        match result {
            Ok(_) => Event::Done { machines },
            Err(failure) => Event::Failed {
                class: failure.class,
                message: failure.message.clone(),
                machines,
            },
        }
    }

    fn entry(&self, index: usize, event: Event) -> Entry {
        Entry {
            at: (self.settings.now)(),
            step: self.graph.steps[index].id.clone(),
            event,
        }
    }
}

fn count(outcome: &mut Outcome, step: &Step, done: &Done) {
    outcome.done += 1;
    outcome.mesh.written += done.mesh.written;
    outcome.mesh.deleted += done.mesh.deleted;
    let many = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    match &step.op {
        Op::Create(_) => outcome.created += many(done.made.len()),
        Op::Delete { machines, .. } => outcome.deleted += many(machines.len()),
        Op::Change { update, .. } => outcome.changed += many(update.machines.len()),
        Op::Prepare { .. }
        | Op::Await { .. }
        | Op::Enter { .. }
        | Op::Write { .. }
        | Op::Prune { .. } => {}
    }
}
