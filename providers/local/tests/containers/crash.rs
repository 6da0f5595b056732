//! Operations that are killed at any moment, and then repeated.
//!
//! The operation runs in a process of its own, this very program, which is
//! killed with SIGKILL a little later each time.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use meshvm_provider_api::{MachineId, Power, labels};
use uuid::Uuid;

use crate::ground::{Ground, QUICK, STACK, batch};

/// How many moments of each operation are tried.
const MOMENTS: u32 = 24;
/// How many machines an operation makes or deletes.
const MACHINES: u32 = 2;

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
        provider.create(&batch).await.unwrap();
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

/// Lets an operation run to its end, and returns how long it took.
fn whole(ground: &Ground, key: Uuid, delete: bool) -> Duration {
    let begin = Instant::now();
    assert!(start(ground, key, delete).wait().unwrap().success());
    begin.elapsed()
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

/// Checks that every container belongs to a machine which is listed with all its labels.
async fn nothing_runs_unknown(ground: &Ground) {
    let listed = ground.list().await;
    for machine in &listed {
        assert!(
            labels::ALL
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
        .prepare(&batch(Uuid::nil(), 1, QUICK, Vec::new()).template)
        .await
        .unwrap();
    let key = Uuid::new_v4();
    let time = whole(&ground, key, false);
    whole(&ground, key, true);
    let mut cuts = 0;
    for moment in 0..MOMENTS {
        let key = Uuid::new_v4();
        cuts += u32::from(cut(&ground, key, false, time * moment / MOMENTS));
        nothing_runs_unknown(&ground).await;
        let batch = batch(key, MACHINES, QUICK, Vec::new());
        let created = provider.create(&batch).await.unwrap();
        assert_eq!(created.shortfall, None, "moment {moment}");
        let machines = ground.ready().await;
        assert_eq!(machines.len(), 2, "moment {moment}: {machines:#?}");
        let addresses: BTreeSet<_> = machines.iter().map(|m| m.address).collect();
        assert_eq!(addresses.len(), 2);
        let ids: Vec<MachineId> = machines.into_iter().map(|m| m.id).collect();
        one_system_each(&ground, &ids);
        provider.delete(STACK, &ids).await.unwrap();
        assert_eq!(ground.leftovers(), BTreeSet::new(), "moment {moment}");
    }
    eprintln!("create takes {time:?}; {cuts} of {MOMENTS} were killed at work");
    assert!(cuts > MOMENTS / 2, "only {cuts} were killed at work");
    ground.clear().await;
}

/// Checks that no disk has two systems on it.
fn one_system_each(ground: &Ground, ids: &[MachineId]) {
    let mut systems = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains("systemd-nspawn ")
            && command.contains(&*ground.data_dir.to_string_lossy())
        {
            systems.push(command);
        }
    }
    assert_eq!(systems.len(), ids.len(), "{systems:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_create_is_undone_by_a_delete() {
    let ground = Ground::new();
    let provider = ground.open().await;
    provider
        .prepare(&batch(Uuid::nil(), 1, QUICK, Vec::new()).template)
        .await
        .unwrap();
    let key = Uuid::new_v4();
    let time = whole(&ground, key, false);
    whole(&ground, key, true);
    for moment in 0..MOMENTS {
        cut(&ground, Uuid::new_v4(), false, time * moment / MOMENTS);
        // As after a lost ledger: only what is listed is known.
        let ids: Vec<MachineId> = ground.list().await.into_iter().map(|m| m.id).collect();
        provider.delete(STACK, &ids).await.unwrap();
        assert_eq!(ground.list().await, []);
        assert_eq!(ground.leftovers(), BTreeSet::new(), "moment {moment}");
    }
    ground.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_delete_is_finished_by_the_same_delete() {
    let ground = Ground::new();
    let provider = ground.open().await;
    let first = Uuid::new_v4();
    whole(&ground, first, false);
    let time = whole(&ground, first, true);
    let mut cuts = 0;
    for moment in 0..MOMENTS {
        let key = Uuid::new_v4();
        let batch = batch(key, MACHINES, QUICK, Vec::new());
        let created = provider.create(&batch).await.unwrap();
        let ids: Vec<MachineId> = created.machines.into_iter().map(|m| m.id).collect();
        cuts += u32::from(cut(&ground, key, true, time * moment / MOMENTS));
        nothing_runs_unknown(&ground).await;
        let left = ground.list().await;
        assert!(left.iter().all(|machine| ids.contains(&machine.id)));
        if moment % 2 == 0 {
            provider.delete(STACK, &ids).await.unwrap();
        } else {
            // The same key makes whole machines of what is half deleted.
            provider.create(&batch).await.unwrap();
            let machines = ground.ready().await;
            assert_eq!(machines.len(), 2, "moment {moment}: {machines:#?}");
            assert!(
                machines
                    .iter()
                    .all(|machine| machine.power == Power::Running)
            );
            let ids: Vec<MachineId> = machines.into_iter().map(|m| m.id).collect();
            provider.delete(STACK, &ids).await.unwrap();
        }
        assert_eq!(ground.leftovers(), BTreeSet::new(), "moment {moment}");
    }
    eprintln!("delete takes {time:?}; {cuts} of {MOMENTS} were killed at work");
    assert!(cuts > MOMENTS / 2, "only {cuts} were killed at work");
    ground.clear().await;
}
