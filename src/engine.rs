//! The engine: one stack, looked at or worked on.
//!
//! [`Engine::look`] reads and changes nothing. [`Engine::hold`] takes the lock
//! and settles what an interrupted run left; only a [`Hold`] can apply.

mod adopt;
mod check;
mod error;
mod look;
mod resolve;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::SignedDuration;
use meshvm_provider_api::{Kind, Scope};
use uuid::Uuid;

use crate::apply::dispatcher::Settings;
use crate::apply::settle::{Settled, settle};
use crate::apply::worker::SharedListener;
use crate::apply::{self, Journal, JournalError, Outcome, RunError, Worker};
use crate::desired::Desired;
use crate::journal::{Entry, Event, Memory, Run, fold};
use crate::ledger::{Claim, Clock, DEFAULT_TTL, Holder, Lease, Ledger, RunWriter};
use crate::mesh::Backend;
use crate::observe::ObserveError;
use crate::observed::Observed;
use crate::plan::{self, Applied, Context, Options, Plan};
use crate::providers::Connections;
use crate::steps::lower;

pub use adopt::Tagged;
pub use error::EngineError;

/// The step id of entries that are about a run as a whole.
const WHOLE_RUN: &str = "run";

/// A stack and everything that it takes to look at it.
pub struct Engine {
    /// Its ledger.
    pub ledger: Ledger,
    /// Its clouds.
    pub connections: Arc<Connections>,
    /// Its mesh.
    pub mesh: Option<Arc<dyn Backend>>,
    /// Where its plans are applied.
    pub context: Context,
    /// Tells the time.
    pub clock: Clock,
}

impl Engine {
    /// Makes a plan and changes nothing, not even the ledger.
    ///
    /// # Errors
    /// When something cannot be read, or the options name what does not exist.
    pub async fn look(
        &self,
        desired: Desired,
        options: Options,
    ) -> Result<(Plan, Observed), EngineError> {
        let runs = read_runs(self.ledger.runs().await?)?;
        let memory = self.fold(&runs);
        self.plan(desired, options, &memory, is_interrupted(&runs))
            .await
    }

    async fn mesh_identity(&self) -> Result<Option<String>, EngineError> {
        match &self.mesh {
            Some(mesh) => {
                let identity = mesh.identity().await;
                Ok(identity.map_err(ObserveError::Mesh)?)
            }
            None => Ok(None),
        }
    }

    /// Takes the lock of the stack and settles what an interrupted run left.
    ///
    /// # Errors
    /// [`LedgerError::Locked`](crate::ledger::LedgerError::Locked) when somebody else works on the stack; and when
    /// an interrupted run cannot be settled, since nothing may be planned then.
    pub async fn hold(&self, holder: Holder) -> Result<Hold<'_>, EngineError> {
        let claim = Claim {
            holder,
            ttl: DEFAULT_TTL,
        };
        let lease = self.ledger.acquire(claim, self.clock.clone()).await?;
        match self.settle(&lease).await {
            Ok((runs, memory, settled)) => Ok(Hold {
                engine: self,
                lease,
                left_unready: !memory.unready.is_empty(),
                runs,
                memory,
                settled,
            }),
            Err(error) => {
                // The first error is the one to tell; an unreleased lock ends by itself.
                lease.release().await.ok();
                Err(error)
            }
        }
    }

    async fn settle(&self, lease: &Lease) -> Result<(Vec<Run>, Memory, Vec<Settled>), EngineError> {
        let runs = read_runs(self.ledger.take_runs(lease).await?)?;
        if let Some(mesh) = &self.mesh {
            let tidied = mesh.tidy(self.ledger.stack()).await;
            tidied.map_err(ObserveError::Mesh)?;
        }
        let mut memory = self.fold(&runs);
        let mesh = self.mesh.as_ref();
        let now = self.clock.now();
        let settled = settle(&mut memory, &runs, &self.connections, mesh, now).await?;
        Ok((runs, memory, settled))
    }

    fn fold(&self, runs: &[Run]) -> Memory {
        fold(runs, self.clock.now(), |provider| {
            let lag = self
                .connections
                .kinds()
                .get(provider)
                .map(|kind| kind.info().listing_lag);
            // A provider that this build lacks cannot be asked: its machines are all remembered.
            lag.map_or(SignedDuration::MAX, |lag| {
                SignedDuration::try_from(lag).unwrap_or(SignedDuration::MAX)
            })
        })
    }

    async fn plan(
        &self,
        mut desired: Desired,
        options: Options,
        memory: &Memory,
        interrupted: bool,
    ) -> Result<(Plan, Observed), EngineError> {
        // What goes needs no image: one that is withdrawn keeps nobody from destroying.
        if !options.destroy {
            self.resolve(&mut desired).await?;
        }
        let mesh = self.mesh.as_deref();
        let scopes = self.ledger.scopes().await?;
        let is_first = scopes.is_empty();
        let observed = self
            .observe(&desired, &options, memory, mesh, scopes)
            .await?;
        let applied: Option<Applied> = self.ledger.last_applied().await?;
        let kinds: BTreeMap<&'static str, &dyn Kind> = self
            .connections
            .kinds()
            .iter()
            .map(|(&name, kind)| (name, kind.as_ref()))
            .collect();
        let unready = plan::unready::still(&desired, &observed, &memory.unready);
        let context = Context {
            mesh_identity: self.mesh_identity().await?,
            ..self.context.clone()
        };
        let mut plan = plan::plan(plan::Input {
            id: Uuid::new_v4(),
            now: self.clock.now(),
            context,
            options,
            desired,
            observed: &observed,
            last: &applied.unwrap_or_default(),
            interrupted,
            is_first,
            unready: &unready,
            tokens: &memory.tokens,
            kinds: &kinds,
        })?;
        let unseen = plan.unseen();
        if let Some(mesh) = mesh.filter(|_| !unseen.is_empty()) {
            let found = mesh.unlabelled(self.ledger.stack(), &unseen).await;
            plan.tell_unlabelled(&found.map_err(ObserveError::Mesh)?);
        }
        Ok((plan, observed))
    }
}

/// A stack whose lock is held.
pub struct Hold<'a> {
    engine: &'a Engine,
    lease: Lease,
    runs: Vec<Run>,
    memory: Memory,
    settled: Vec<Settled>,
    /// Whether earlier runs left machines that they did not see ready.
    left_unready: bool,
}

/// How a plan is applied.
pub struct ApplySettings<'a> {
    /// The most steps at the same time.
    pub parallelism: usize,
    /// Takes what the run tells.
    pub listener: SharedListener,
    /// Asks it to stop.
    pub stop: &'a apply::Stop,
    /// Decides where it dies.
    pub fate: &'a dyn apply::Fate,
}

impl Hold<'_> {
    /// Returns the batches of an interrupted run that were settled.
    pub fn settled(&self) -> &[Settled] {
        &self.settled
    }

    /// Makes a plan.
    ///
    /// # Errors
    /// As [`Engine::look`] and [`Engine::check`].
    pub async fn plan(&mut self, desired: Desired, options: Options) -> Result<Plan, EngineError> {
        let interrupted = is_interrupted(&self.runs);
        let planned = self
            .engine
            .plan(desired, options, &self.memory, interrupted);
        let (plan, observed) = planned.await?;
        self.engine.check(&plan).await?;
        let unready = &mut self.memory.unready;
        *unready = plan::unready::still(&plan.desired, &observed, unready);
        let tokens = std::mem::take(&mut self.memory.tokens);
        self.memory.tokens = plan::tokens::unnamed(&plan, &observed, tokens);
        // What turned out not to have happened, or to have been undone since, is forgotten.
        self.memory.expected = observed.recent;
        self.memory.begun.clear();
        Ok(plan)
    }

    /// Returns in which fleets, or where in the mesh, a saved plan no longer fits the world.
    ///
    /// # Errors
    /// As [`Engine::look`].
    pub async fn outdated(&mut self, saved: &Plan) -> Result<BTreeSet<String>, EngineError> {
        let fresh = match self
            .plan(saved.desired.clone(), saved.options.clone())
            .await
        {
            Ok(fresh) => fresh,
            // What the plan names meant something when it was made.
            Err(EngineError::Plan(error)) => {
                return match error.subject() {
                    Some(subject) => Ok(BTreeSet::from([subject])),
                    None => Err(error.into()),
                };
            }
            // It made none when it was saved.
            Err(EngineError::Unjoinable(fleets)) => {
                let fleets = fleets.into_iter();
                return Ok(fleets.map(|fleet| format!("fleet `{fleet}`")).collect());
            }
            Err(error) => return Err(error),
        };
        let left = saved.leftovers.symmetric_difference(&fresh.leftovers);
        let left: Vec<&String> = left.map(|(fleet, _)| fleet).collect();
        let names = saved.fleets.keys().chain(fresh.fleets.keys());
        let names = names.chain(left.iter().copied());
        let mut outdated: BTreeSet<String> = names
            .filter(|&fleet| {
                saved.fleets.get(fleet) != fresh.fleets.get(fleet) || left.contains(&fleet)
            })
            .map(|fleet| format!("fleet `{fleet}`"))
            .collect();
        let is_elsewhere = saved.context.mesh_identity != fresh.context.mesh_identity;
        let is_other = saved.objects != fresh.objects || saved.revoked != fresh.revoked;
        if is_elsewhere || is_other {
            outdated.insert("the mesh".to_owned());
        }
        Ok(outdated)
    }

    /// Applies a plan, gives the lock back, and says how it ended.
    ///
    /// # Errors
    /// When the run ended before its end; steps that failed are in the outcome.
    pub async fn apply(
        self,
        plan: Plan,
        settings: &ApplySettings<'_>,
    ) -> Result<Outcome, EngineError> {
        let outcome = self.run(plan, settings).await;
        match outcome {
            // A run that died takes nothing back: that is what is simulated.
            Err(EngineError::Apply(RunError::Died)) => {}
            Ok(_) | Err(_) => self.lease.release().await?,
        }
        outcome
    }

    /// Gives the lock back without applying anything.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn release(self) -> Result<(), EngineError> {
        Ok(self.lease.release().await?)
    }

    async fn run(&self, plan: Plan, settings: &ApplySettings<'_>) -> Result<Outcome, EngineError> {
        let ledger = &self.engine.ledger;
        self.remember_scopes(&plan).await?;
        let last: Applied = ledger.last_applied().await?.unwrap_or_default();
        let applied = plan::last::after(&plan, &last);
        let applied = (applied != last).then_some(applied);
        // What an interrupted run left, or one that waited in vain, is taken over by one that does
        // nothing else, or every later plan would have to find it out again.
        let is_left = is_interrupted(&self.runs) || self.left_unready;
        if plan.is_empty() && self.settled.is_empty() && !is_left {
            self.record(applied).await?;
            return Ok(Outcome::default());
        }
        // Before there is anything, as with scopes: a run that fails may have made some of it.
        self.record(plan::last::with_parts(&plan, last)).await?;
        let graph = lower(&plan);
        let bytes = serde_json::to_vec(&plan).map_err(|source| EngineError::Run {
            fence: self.lease.fence(),
            source,
        })?;
        let writer = ledger.begin_run(&self.lease, bytes).await?;
        let mut journal = LeasedJournal {
            writer,
            lease: &self.lease,
            clock: &self.engine.clock,
        };
        self.inherit(&mut journal).await?;
        let worker = Worker::new(
            Arc::new(plan),
            Arc::new(graph),
            Arc::clone(&self.engine.connections),
            self.engine.mesh.clone(),
            Arc::clone(&settings.listener),
        );
        let clock = self.engine.clock.clone();
        let now = move || clock.now();
        let settings = Settings {
            parallelism: settings.parallelism,
            listener: settings.listener.as_ref(),
            stop: settings.stop,
            fate: settings.fate,
            now: &now,
        };
        let outcome = apply::run(worker, &mut journal, &settings).await?;
        journal.writer.finish().await?;
        if outcome.is_complete() {
            self.record(applied).await?;
        }
        Ok(outcome)
    }

    /// Makes sure that the fleets' scopes are looked at also when they have left the file.
    ///
    /// Not only where machines are made: a fleet may have adopted all that it has, and the
    /// ledger may have been lost since.
    async fn remember_scopes(&self, plan: &Plan) -> Result<(), EngineError> {
        let known = self.engine.ledger.scopes().await?;
        let fleets = plan.desired.fleets.values();
        let scopes: BTreeSet<&Scope> = fleets.map(|fleet| &fleet.template.scope).collect();
        let is_known = |scope: &Scope| {
            let known = known.get(scope);
            known.is_some_and(|known| known.access == scope.access)
        };
        for scope in scopes.into_iter().filter(|scope| !is_known(scope)) {
            self.engine.ledger.add_scope(scope).await?;
        }
        Ok(())
    }

    /// Takes over what earlier runs did and listings may not show; then those runs can go.
    async fn inherit(&self, journal: &mut LeasedJournal<'_>) -> Result<(), EngineError> {
        let expected: Vec<_> = self
            .memory
            .expected
            .iter()
            .map(|(scope, expected)| (scope.clone(), expected.clone()))
            .collect();
        let Memory {
            unready, tokens, ..
        } = self.memory.clone();
        if !(expected.is_empty() && unready.is_empty() && tokens.is_empty()) {
            let entry = Entry {
                at: self.engine.clock.now(),
                step: WHOLE_RUN.to_owned(),
                event: Event::Inherited {
                    expected,
                    unready,
                    tokens,
                },
            };
            journal.append(&[entry]).await.map_err(RunError::Journal)?;
        }
        for run in &self.runs {
            self.engine.ledger.forget_run(run.fence).await?;
        }
        Ok(())
    }

    async fn record(&self, applied: Option<Applied>) -> Result<(), EngineError> {
        if let Some(applied) = applied {
            let ledger = &self.engine.ledger;
            ledger.record_applied(&self.lease, &applied).await?;
        }
        Ok(())
    }
}

/// A journal that is written only while the lock is held.
struct LeasedJournal<'a> {
    writer: RunWriter,
    lease: &'a Lease,
    clock: &'a Clock,
}

#[async_trait]
impl Journal for LeasedJournal<'_> {
    async fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        self.writer
            .append(entries)
            .await
            .map_err(|error| JournalError(Box::new(error)))?;
        let begins = entries
            .iter()
            .any(|entry| matches!(entry.event, Event::Begin(_)));
        // Last of all before the calls themselves: writing may have outlasted the
        // lease. A begin without its call is settled like any other.
        if begins {
            self.lease
                .check(self.clock.now())
                .map_err(|error| JournalError(Box::new(error)))?;
        }
        Ok(())
    }
}

fn is_interrupted(runs: &[Run]) -> bool {
    runs.iter().any(|run| !run.finished)
}

fn read_runs(stored: Vec<crate::ledger::StoredRun<Entry>>) -> Result<Vec<Run>, EngineError> {
    stored
        .into_iter()
        .map(|run| {
            let plan = serde_json::from_slice(&run.plan).map_err(|source| EngineError::Run {
                fence: run.fence,
                source,
            })?;
            Ok(Run {
                fence: run.fence,
                plan,
                entries: run.entries,
                finished: run.finished,
            })
        })
        .collect()
}
