//! The cloud itself: what a request goes through, from the lock to the reply.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use meshvm_provider_api::{ErrorClass, ProviderError};

use crate::error::SimError;
use crate::event::{Event, Truth};
use crate::faults::FaultPlan;
use crate::kind::SimKind;
use crate::record::{Effect, Record};
use crate::requests::Request;
use crate::store::{FileStore, Store};
use crate::world::World;

/// What is called at every event.
pub(crate) type Watcher = Box<dyn FnMut(&Event, Truth<'_>) + Send>;

/// A simulated cloud; clones are the same cloud.
///
/// Beside what a provider sees it has what only tests may use: the truth, and
/// hands that reach into it.
#[derive(Clone)]
pub struct SimCloud {
    state: Arc<Mutex<State>>,
    /// Whether a request may wait for another process.
    may_block: bool,
}

/// Everything of a cloud that one request has to itself.
pub(crate) struct State {
    pub plan: FaultPlan,
    pub world: World,
    pub store: Store,
    pub events: Vec<Event>,
    pub watchers: Vec<Watcher>,
}

impl SimCloud {
    /// Makes an empty cloud in memory.
    pub fn memory(plan: FaultPlan) -> Self {
        Self::new(plan, Store::Memory)
    }

    /// Opens the cloud that is kept in a file, empty if there is none.
    ///
    /// Any number of processes may use the file at once, and any of them may
    /// be killed at any time. Beside it lies a lock file, `PATH.lock`.
    ///
    /// # Errors
    /// `File` when the folder or the lock file cannot be made. What is wrong
    /// with the file itself comes with the first request.
    pub fn file(path: impl Into<PathBuf>, plan: FaultPlan) -> Result<Self, SimError> {
        let store = FileStore::open(path.into())?;
        Ok(Self::new(plan, Store::File(store)))
    }

    /// Opens the cloud of a folder: the file `cloud.jsonl`, under the fault plan `faults.json` if
    /// there is one.
    ///
    /// # Errors
    /// As [`SimCloud::file`]; `FaultPlan` when the plan cannot be understood.
    pub fn folder(folder: &Path) -> Result<Self, SimError> {
        let path = folder.join("faults.json");
        let plan = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|source| SimError::FaultPlan { path, source })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => FaultPlan::default(),
            Err(source) => {
                return Err(SimError::File {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        Self::file(folder.join("cloud.jsonl"), plan)
    }

    fn new(plan: FaultPlan, store: Store) -> Self {
        let may_block = matches!(store, Store::File(_));
        let state = State {
            world: World::new(plan.longest_lag()),
            plan,
            store,
            events: Vec::new(),
            watchers: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            may_block,
        }
    }

    /// Returns the provider whose machines live in this cloud.
    pub fn kind(&self) -> SimKind {
        SimKind::on(self.clone())
    }

    /// Sends one request.
    pub(crate) async fn send<R: Request>(&self, request: R) -> Result<R::Answer, ProviderError> {
        if self.may_block {
            let cloud = self.clone();
            let answer =
                tokio::task::spawn_blocking(move || cloud.with(|state| state.serve(&request)));
            return answer.await.map_err(|error| {
                ProviderError::new(ErrorClass::ReplyLost, "the request was given up")
                    .with_source(error)
            })?;
        }
        // Lets others in between, as a network would; the order stays the runtime's, which is fixed
        // for a single thread.
        tokio::task::yield_now().await;
        self.with(|state| state.serve(&request))
    }

    /// Runs something with the cloud to itself.
    pub(crate) fn with<T>(&self, run: impl FnOnce(&mut State) -> T) -> T {
        run(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Serves one request: tick, fault, decision, record, effects, reply.
    fn serve<R: Request>(&mut self, request: &R) -> Result<R::Answer, ProviderError> {
        let Self {
            plan,
            world,
            store,
            events,
            watchers,
        } = self;
        let mut sink = sink(events, watchers);
        let _held = store.begin(world, &mut sink)?;
        world.advance(world.clock + 1, &mut sink);

        let nth = world.calls.get(&R::CALL).copied().unwrap_or_default() + 1;
        let fault = plan.fault(R::CALL, nth, world.clock);
        let decided = match fault {
            None | Some(ErrorClass::ReplyLost) => request.decide(world, plan),
            Some(class) => Err(ProviderError::new(class, "the simulated cloud says so")),
        };
        let (effects, decided) = match decided {
            Ok((effects, decided)) => (effects, Ok(decided)),
            Err(error) => (Vec::new(), Err(error)),
        };
        let record = Record {
            call: Some(R::CALL),
            clock: world.clock,
            effects,
        };
        store.append(&record)?;
        world.apply(record, &mut sink);
        store.compact(world)?;

        if fault == Some(ErrorClass::ReplyLost) {
            let message = "the simulated cloud lost the reply";
            return Err(ProviderError::new(ErrorClass::ReplyLost, message));
        }
        decided.and_then(|decided| request.answer(world, plan, decided))
    }

    /// Reaches into the cloud from outside; no request, so no tick of its own.
    pub fn reach<T>(
        &mut self,
        ticks: u64,
        act: impl FnOnce(&World) -> Result<(Vec<Effect>, T), SimError>,
    ) -> Result<T, SimError> {
        let Self {
            plan: _,
            world,
            store,
            events,
            watchers,
        } = self;
        let mut sink = sink(events, watchers);
        let _held = store.begin(world, &mut sink)?;
        let (effects, answer) = act(world)?;
        if ticks > 0 || !effects.is_empty() {
            let record = Record {
                call: None,
                clock: world.clock.saturating_add(ticks),
                effects,
            };
            store.append(&record)?;
            world.apply(record, &mut sink);
            store.compact(world)?;
        }
        Ok(answer)
    }
}

/// Tells the log and every watcher.
fn sink<'a>(
    events: &'a mut Vec<Event>,
    watchers: &'a mut [Watcher],
) -> impl FnMut(Event, &World) + 'a {
    move |event, world| {
        for watcher in watchers.iter_mut() {
            watcher(&event, Truth(world));
        }
        events.push(event);
    }
}
