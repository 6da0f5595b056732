//! Operations that are killed at any moment, and then repeated.
//!
//! The operation runs in a process of its own, this very program, which is
//! killed with SIGKILL a little later each time.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use meshvm_provider_api::{Effort, Machine, MachineId, NoPrivateFiles, Power, labels};
use uuid::Uuid;

use crate::ground::{Ground, QUICK, STACK, batch};
use crate::private::Source;

/// The time from one moment to the next, at which an operation is killed.
const STEP: Duration = Duration::from_millis(10);
/// How often an operation must have come to its end before it was killed, for all its moments to be tried.
const WHOLE: u32 = 2;
/// The least number of moments that a test means something with.
const LEAST: u32 = 8;
/// How many machines an operation makes or deletes.
pub const MACHINES: u32 = 2;
/// The source of the private files that killed processes hand over.
pub const SOURCE: &str = "killed";

/// How many creates are killed until one is killed in time.
const TRIES: u32 = 20;
/// The wait between two looks for what a create has made.
const LOOK: Duration = Duration::from_millis(1);

const FOLDER: &str = "MESHVM_TEST_FOLDER";
const KEY: &str = "MESHVM_TEST_KEY";
const DELETE: &str = "MESHVM_TEST_DELETE";

/// Not a test of its own: what the killed processes do.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the tests of crashes"]
async fn operation() {
    let ground = Ground::at(PathBuf::from(env::var_os(FOLDER).unwrap()));
    let key = Uuid::parse_str(&env::var(KEY).unwrap()).unwrap();
    let provider = ground.open().await;
    if env::var_os(DELETE).is_some() {
        let ids: Vec<MachineId> = ground.list().await.into_iter().map(|m| m.id).collect();
        provider.delete(STACK, &ids).await.unwrap();
    } else {
        let batch = batch(key, MACHINES, QUICK, Vec::new());
        provider.create(&batch, &Source::new(SOURCE)).await.unwrap();
    }
}

fn start(ground: &Ground, key: Uuid, delete: bool) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["crash::operation", "--exact", "--ignored", "--quiet"])
        .env(FOLDER, &ground.data_dir)
        .env(KEY, key.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if delete {
        command.env(DELETE, "yes");
    }
    command.spawn().unwrap()
}

/// The moments at which an operation is killed: later and later, until it is too late.
struct Moments {
    next: u32,
    cut: u32,
    whole: u32,
}

impl Moments {
    fn new() -> Self {
        Self {
            next: 0,
            cut: 0,
            whole: 0,
        }
    }

    /// Runs an operation and kills it at the next moment; false when all were tried.
    fn cut(&mut self, ground: &Ground, key: Uuid, delete: bool) -> bool {
        if self.whole == WHOLE {
            let Self { cut, .. } = self;
            eprintln!("killed at {cut} moments, {STEP:?} apart");
            assert!(*cut >= LEAST, "only {cut} were killed at work");
            return false;
        }
        if cut(ground, key, delete, STEP * self.next) {
            self.cut += 1;
        } else {
            self.whole += 1;
        }
        self.next += 1;
        true
    }
}

/// Runs an operation and kills it; returns whether it was still at work.
fn cut(ground: &Ground, key: Uuid, delete: bool, after: Duration) -> bool {
    let mut child = start(ground, key, delete);
    std::thread::sleep(after);
    let working = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    working
}

/// Kills a create when it has made a record and started nothing of it yet; returns its key, and a
/// machine that was never started.
pub async fn killed_before_a_start(ground: &Ground) -> (Uuid, Machine) {
    let provider = ground.open().await;
    provider
        .prepare(
            &batch(Uuid::nil(), 1, QUICK, Vec::new()).template,
            Effort::Make,
        )
        .await
        .unwrap();
    for _ in 0..TRIES {
        let key = Uuid::new_v4();
        let mut child = start(ground, key, false);
        let wanted = batch(key, MACHINES, QUICK, Vec::new());
        let name = wanted.key.machine_name(&wanted.ownership.fleet, 0);
        let record = ground.folder(&name).join("machine.json");
        while !record.exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(LOOK);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let never = |machine: &Machine| {
            let folder = ground.folder(&machine.name);
            machine.power == Power::Stopped && !folder.join("ticket").exists()
        };
        let mut machines = ground.list().await;
        if machines.iter().all(never) && !machines.is_empty() {
            return (key, machines.remove(0));
        }
        // Too late: it was already starting them.
        let ids: Vec<MachineId> = machines.into_iter().map(|m| m.id).collect();
        provider.delete(STACK, &ids).await.unwrap();
    }
    panic!("{TRIES} creates were killed, and none before it started a machine");
}

/// Checks that every container belongs to a machine which is listed with all its labels.
async fn nothing_runs_unknown(ground: &Ground) {
    let listed = ground.list().await;
    for machine in &listed {
        assert!(
            labels::ALWAYS
                .iter()
                .all(|label| machine.labels.contains_key(*label))
        );
    }
    let known: BTreeSet<String> = listed.iter().map(|m| ground.unit(&m.name)).collect();
    for cgroup in ground.cgroups() {
        let events = fs::read_to_string(cgroup.join("cgroup.events")).unwrap_or_default();
        let name = cgroup.file_name().unwrap().to_string_lossy().into_owned();
        let name = name.trim_end_matches(".service").to_owned();
        assert!(
            !events.contains("populated 1") || known.contains(&name),
            "{name}: {listed:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_create_is_finished_by_the_same_create() {
    let ground = Ground::new();
    let provider = ground.open().await;
    provider
        .prepare(
            &batch(Uuid::nil(), 1, QUICK, Vec::new()).template,
            Effort::Make,
        )
        .await
        .unwrap();
    let mut moments = Moments::new();
    let mut key = Uuid::new_v4();
    while moments.cut(&ground, key, false) {
        let moment = moments.next;
        nothing_runs_unknown(&ground).await;
        let batch = batch(key, MACHINES, QUICK, Vec::new());
        let created = provider.create(&batch, &NoPrivateFiles).await.unwrap();
        assert_eq!(created.shortfall, None, "moment {moment}");
        let machines = come_up(&ground, moment).await;
        assert_eq!(machines.len(), 2, "moment {moment}: {machines:#?}");
        let addresses: BTreeSet<_> = machines.iter().map(|m| m.address).collect();
        assert_eq!(addresses.len(), 2);
        let ids: Vec<MachineId> = machines.into_iter().map(|m| m.id).collect();
        one_system_each(&ground, &ids);
        provider.delete(STACK, &ids).await.unwrap();
        ground.assert_clean(&format!("moment {moment}")).await;
        key = Uuid::new_v4();
    }
    ground.clear().await;
}

/// Waits until all machines run, and for some moments until they are ready, which takes long.
async fn come_up(ground: &Ground, moment: u32) -> Vec<Machine> {
    if moment.is_multiple_of(4) {
        ground.ready().await
    } else {
        ground
            .wait("running", |machine| machine.power == Power::Running)
            .await
    }
}

/// Checks that no disk has two systems on it.
fn one_system_each(ground: &Ground, ids: &[MachineId]) {
    let mut systems = BTreeMap::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let read = |file| fs::read(process.path().join(file)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let ours = command.contains(&*ground.data_dir.to_string_lossy());
        if ours && command.starts_with("systemd-nspawn ") {
            let stat = String::from_utf8_lossy(&read("stat")).into_owned();
            let (_, rest) = stat.rsplit_once(") ").unwrap_or_default();
            let parent = rest.split(' ').nth(1).unwrap_or_default().to_owned();
            systems.insert(process.file_name().to_string_lossy().into_owned(), parent);
        }
    }
    // While it starts, it has children of the same name.
    let first = systems
        .values()
        .filter(|parent| !systems.contains_key(*parent));
    assert_eq!(first.count(), ids.len(), "{systems:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_create_is_undone_by_a_delete() {
    let ground = Ground::new();
    let provider = ground.open().await;
    provider
        .prepare(
            &batch(Uuid::nil(), 1, QUICK, Vec::new()).template,
            Effort::Make,
        )
        .await
        .unwrap();
    let mut moments = Moments::new();
    while moments.cut(&ground, Uuid::new_v4(), false) {
        // As after a lost ledger: only what is listed is known.
        let ids: Vec<MachineId> = ground.list().await.into_iter().map(|m| m.id).collect();
        provider.delete(STACK, &ids).await.unwrap();
        assert_eq!(ground.list().await, []);
        ground
            .assert_clean(&format!("moment {}", moments.next))
            .await;
    }
    ground.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_delete_is_finished_by_the_same_delete() {
    let ground = Ground::new();
    let provider = ground.open().await;
    let mut moments = Moments::new();
    loop {
        let batch = batch(Uuid::new_v4(), MACHINES, QUICK, Vec::new());
        let created = provider.create(&batch, &NoPrivateFiles).await.unwrap();
        let ids: Vec<MachineId> = created.machines.into_iter().map(|m| m.id).collect();
        let more = moments.cut(&ground, batch.key.0, true);
        let moment = moments.next;
        nothing_runs_unknown(&ground).await;
        let left = ground.list().await;
        assert!(left.iter().all(|machine| ids.contains(&machine.id)));
        if moment.is_multiple_of(2) {
            provider.delete(STACK, &ids).await.unwrap();
        } else {
            // The same key makes whole machines of what is half deleted.
            provider.create(&batch, &NoPrivateFiles).await.unwrap();
            let machines = come_up(&ground, moment + 1).await;
            assert_eq!(machines.len(), 2, "moment {moment}: {machines:#?}");
            let ids: Vec<MachineId> = machines.into_iter().map(|m| m.id).collect();
            provider.delete(STACK, &ids).await.unwrap();
        }
        ground.assert_clean(&format!("moment {moment}")).await;
        if !more {
            break;
        }
    }
    ground.clear().await;
}
