//! A stack in a world of its own, driven through the library by processes that may die.
//!
//! Everything is reproducible: the clock is the test's, plans get ids in turn,
//! a process runs on one thread in virtual time, and the mesh is written at once.

mod fates;
mod fleets;
mod guard;
mod truth;

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, mpsc};

use async_trait::async_trait;
use jiff::Timestamp;
use meshvm::apply::{Alive, Fate, Outcome, RunError, Stop};
use meshvm::desired::Desired;
use meshvm::engine::{ApplySettings, Engine, EngineError};
use meshvm::ledger::{Clock, Holder, Ledger};
use meshvm::mesh::{Backend, Manifests, MeshError, Object, ObjectRef, Seen, Target};
use meshvm::plan::{Context, Options, Plan};
use meshvm::providers::{self, Connections};
use meshvm::show;
use meshvm_provider_api::{Machine, MachineId, Progress};
use meshvm_provider_sim::{FaultPlan, SimCloud};
use tempfile::TempDir;
use uuid::Uuid;

pub use fates::{AsksToStop, DiesAfter, DiesAt, KINDS, Place, Recorder};
pub use fleets::{File, Fleet, Role};
pub use guard::{Guard, of_fleet};
pub use truth::outsider;

/// The name of the stack in every world.
pub const STACK: &str = "shop";

/// How long after its death the lock of a process is free: more than a lease, less than a listing's lag.
pub const LEASE: i64 = 120;

/// A simulated cloud, a ledger in memory, a mesh in a folder, and a clock.
pub struct World {
    pub cloud: SimCloud,
    pub guard: Guard,
    has_mesh: bool,
    folder: TempDir,
    name: String,
    ledgers: Cell<u32>,
    clock: Arc<AtomicI64>,
    plans: Cell<u128>,
    story: RefCell<Vec<Chapter>>,
    /// How many events are left out of the story.
    told: Cell<usize>,
    foreign: RefCell<Vec<Machine>>,
    let_go: RefCell<Vec<(String, Machine)>>,
    ignores_released: Cell<bool>,
}

/// How a process carries out its run.
#[derive(Clone, Copy)]
pub struct How<'a> {
    pub parallelism: usize,
    pub fate: &'a dyn Fate,
    pub stop: Option<&'a Stop>,
}

impl Default for How<'_> {
    fn default() -> Self {
        Self {
            parallelism: 10,
            fate: &Alive,
            stop: None,
        }
    }
}

enum Chapter {
    Said(String),
    Planned(Box<Plan>),
}

impl World {
    /// Makes an empty world, with machines and files in it that are not the stack's.
    pub fn new(faults: FaultPlan) -> Self {
        Self::make(faults, true)
    }

    /// Makes a world without a mesh.
    pub fn without_mesh(faults: FaultPlan) -> Self {
        Self::make(faults, false)
    }

    fn make(faults: FaultPlan, has_mesh: bool) -> Self {
        static WORLDS: AtomicU64 = AtomicU64::new(0);
        let name = format!("world-{}", WORLDS.fetch_add(1, Ordering::SeqCst));
        let cloud = SimCloud::memory(faults);
        let world = Self {
            guard: Guard::on(&cloud, open_ledger(&name, 0)),
            cloud,
            has_mesh,
            folder: temporary_folder(),
            name,
            ledgers: Cell::new(0),
            clock: Arc::new(AtomicI64::new(1_750_000_000)),
            plans: Cell::new(0),
            story: RefCell::default(),
            told: Cell::new(0),
            foreign: RefCell::default(),
            let_go: RefCell::default(),
            ignores_released: Cell::new(false),
        };
        world.settle_others();
        world
    }

    /// Plans and applies, in a process of its own.
    pub fn apply(
        &self,
        desired: &Desired,
        options: &Options,
        how: How<'_>,
    ) -> Result<Outcome, EngineError> {
        let stop = Stop::default();
        let settings = ApplySettings {
            parallelism: how.parallelism,
            listener: Arc::new(|_| {}),
            stop: how.stop.unwrap_or(&stop),
            fate: how.fate,
        };
        let result = self.process(async |engine| {
            let mut hold = engine.hold(self.holder()).await?;
            match hold.plan(desired.clone(), options.clone()).await {
                Ok(mut plan) => {
                    plan.id = self.next_plan();
                    let chapter = Chapter::Planned(Box::new(plan.clone()));
                    self.story.borrow_mut().push(chapter);
                    hold.apply(plan, &settings).await
                }
                Err(error) => {
                    hold.release().await?;
                    Err(error)
                }
            }
        });
        self.say(match &result {
            Ok(outcome) => format!("-> {outcome:?}"),
            Err(error) => format!("-> {}", meshvm::apply::worker::chain(error)),
        });
        if let Err(EngineError::Apply(RunError::Died)) = result {
            self.wait(LEASE);
        }
        result
    }

    /// Plans and changes nothing, in a process of its own.
    pub fn plan(&self, desired: &Desired) -> Result<Plan, EngineError> {
        self.process(async |engine| {
            let looked = engine.look(desired.clone(), Options::default()).await;
            looked.map(|(plan, _)| plan)
        })
    }

    /// Runs something as a process would: when it ends, nothing of it is left.
    fn process<T>(
        &self,
        run: impl AsyncFnOnce(&Engine) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.wait(1);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let engine = self.engine();
        runtime.block_on(run(&engine))
    }

    fn engine(&self) -> Engine {
        let mesh = self.has_mesh.then(|| self.mesh_folder());
        let kinds = providers::kinds(&self.cloud);
        let clock = Arc::clone(&self.clock);
        let second = move || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap();
        Engine {
            ledger: open_ledger(&self.name, self.ledgers.get()),
            connections: Arc::new(Connections::new(
                kinds,
                self.folder.path().join("data"),
                Progress::silent(),
            )),
            mesh: mesh
                .clone()
                .map(|folder| Arc::new(AtOnce(Manifests::new(folder))) as Arc<dyn Backend>),
            context: Context {
                ledger: ledger_url(&self.name, self.ledgers.get()),
                mesh: mesh.map(Target::Manifests),
                simulate: false,
                mesh_name: None,
                mesh_identity: None,
                mesh_read: None,
                sim_cloud: PathBuf::new(),
            },
            clock: Clock::new(second),
        }
    }

    fn holder(&self) -> Holder {
        let second = self.clock.load(Ordering::SeqCst);
        let now = Timestamp::from_second(second).unwrap();
        Holder::this_process("ann", "laptop", "meshvm apply", now)
    }

    fn next_plan(&self) -> Uuid {
        self.plans.set(self.plans.get() + 1);
        Uuid::new_v5(&Uuid::NAMESPACE_OID, &self.plans.get().to_be_bytes())
    }

    /// Lets time pass; the simulated cloud does not notice.
    pub fn wait(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Loses the ledger, with everything in it.
    pub fn lose_ledger(&self) {
        self.say("the ledger is lost");
        self.ledgers.set(self.ledgers.get() + 1);
        let empty = open_ledger(&self.name, self.ledgers.get());
        self.guard.follow(empty);
    }

    /// Lets the test reach into the cloud.
    pub fn reach<T>(&self, act: impl FnOnce(&SimCloud) -> T) -> T {
        self.guard.unwatched(|| act(&self.cloud))
    }

    /// Returns every machine of a fleet as it truly is, by name.
    pub fn machines(&self, fleet: &str) -> Vec<Machine> {
        let all = self.cloud.machines().unwrap();
        let mut machines: Vec<Machine> = of_fleet(&all, fleet).cloned().collect();
        machines.sort_by(|a, b| a.name.cmp(&b.name));
        machines
    }

    /// Notes that the stack may or may not let a machine of a fleet go from now on.
    pub fn may_let_go(&self, fleet: &str, machine: &Machine) {
        let entry = (fleet.to_owned(), machine.clone());
        self.let_go.borrow_mut().push(entry);
    }

    /// Does not look any more at what became of the entries of machines that were let go.
    pub fn ignore_released(&self) {
        self.ignores_released.set(true);
    }

    /// Returns the folder of the mesh.
    pub fn mesh_folder(&self) -> PathBuf {
        self.folder.path().join("mesh")
    }

    /// Adds a line to what is told when something fails.
    pub fn say(&self, line: impl Into<String>) {
        self.story.borrow_mut().push(Chapter::Said(line.into()));
    }

    /// Leaves out of the story what was so far.
    pub fn begin_story(&self) {
        self.story.borrow_mut().clear();
        self.told.set(self.cloud.events().len());
    }

    /// Tells all that was done, and all that happened.
    pub fn story(&self) -> String {
        let mut text = String::new();
        for chapter in self.story.borrow().iter() {
            match chapter {
                Chapter::Said(line) => writeln!(text, "{line}"),
                Chapter::Planned(plan) => writeln!(text, "{}", show::plan::plan(plan)),
            }
            .unwrap();
        }
        for event in self.cloud.events().iter().skip(self.told.get()) {
            writeln!(
                text,
                "{:>5} {:?} {}",
                event.clock, event.kind, event.machine
            )
            .unwrap();
        }
        text
    }

    /// Fails with everything there is to know.
    pub fn check(&self, what: &str, result: Result<(), String>) {
        if let Err(problem) = result.and_then(|()| self.guard.verdict()) {
            panic!("{what}: {problem}\n\n{}", self.story());
        }
    }

    /// Adds a machine that is not the stack's and must stay as it is.
    pub fn add_foreign(&self, machine: Machine) {
        let scope = File::of([("web", Fleet::of(1))]).desired().fleets["web"]
            .template
            .scope
            .clone();
        self.guard.protect(&machine.id);
        self.reach(|cloud| cloud.add_foreign(&scope, machine.clone()))
            .unwrap();
        self.foreign.borrow_mut().push(machine);
    }

    /// Lets the stack take over a machine that was not its own.
    pub fn may_adopt(&self, machine: &MachineId) {
        self.guard.release(machine);
        self.foreign.borrow_mut().retain(|m| m.id != *machine);
    }
}

/// Manifests that are written while everything else stands still, so that tests are reproducible
/// and a process that died writes no more.
struct AtOnce(Manifests);

impl AtOnce {
    fn wait<T, F>(&self, work: impl FnOnce(Manifests) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        static ELSEWHERE: LazyLock<tokio::runtime::Runtime> =
            LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());
        let (send, receive) = mpsc::channel();
        let work = work(self.0.clone());
        ELSEWHERE.spawn(async move { send.send(work.await) });
        receive.recv().unwrap()
    }
}

#[async_trait]
impl Backend for AtOnce {
    async fn observe(&self, stack: &str) -> Result<Vec<Seen>, MeshError> {
        let stack = stack.to_owned();
        self.wait(|mesh| async move { mesh.observe(&stack).await })
    }

    async fn check(&self, stack: &str, objects: &[Object]) -> Result<(), MeshError> {
        let (stack, objects) = (stack.to_owned(), objects.to_vec());
        self.wait(|mesh| async move { mesh.check(&stack, &objects).await })
    }

    async fn write(&self, stack: &str, objects: &[Object]) -> Result<(), MeshError> {
        let (stack, objects) = (stack.to_owned(), objects.to_vec());
        self.wait(|mesh| async move { mesh.write(&stack, &objects).await })
    }

    async fn delete(&self, stack: &str, objects: &[ObjectRef]) -> Result<(), MeshError> {
        let (stack, objects) = (stack.to_owned(), objects.to_vec());
        self.wait(|mesh| async move { mesh.delete(&stack, &objects).await })
    }

    async fn tidy(&self, stack: &str) -> Result<(), MeshError> {
        let stack = stack.to_owned();
        self.wait(|mesh| async move { mesh.tidy(&stack).await })
    }
}

fn ledger_url(world: &str, number: u32) -> String {
    format!("memory://{world}/{number}")
}

fn open_ledger(world: &str, number: u32) -> Ledger {
    Ledger::open(&ledger_url(world, number), Path::new("/"), STACK).unwrap()
}

/// Makes a folder in memory where there is one: the manifests are flushed to disk one by one.
fn temporary_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}
