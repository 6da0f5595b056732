//! The program is killed at every single call that changes something, before the call has its
//! effect and after: the next apply ends with exactly what the file asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

use meshvm_arm::{Halt, Manners};
use serde_json::{Value, json};

use super::ground::{Ground, member};

/// How long the program may take to come to a call.
const PATIENCE: Duration = Duration::from_secs(120);

const OLD: &str = "0.20260909.9";
const NEW: &str = "0.20261010.10";

fn fleet(name: &str, replicas: u32, version: &str, tag: &str) -> Value {
    let image = json!({
        "publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": version,
    });
    let block = json!({"zones": ["1", "2"], "image": image, "tags": {"team": tag}});
    member(name, replicas, &block)
}

/// How a case ended.
enum Ended {
    /// There is no such call: the run came to its end.
    Whole,
    /// It was killed, and resumed.
    Resumed,
}

/// Kills a run at a call, and lets the next one end.
fn case(halt: Halt) -> Ended {
    let ground = Ground::new(Manners {
        lag: 2,
        pending: 1,
        ..Manners::default()
    });
    let before = [
        ("api", fleet("api", 2, OLD, "blue")),
        ("old", fleet("old", 2, OLD, "blue")),
        ("web", fleet("web", 2, OLD, "blue")),
    ];
    ground.write(&BTreeMap::from(before));
    ground.meshvm("apply -y").exits(0);
    // One fleet grows and gets another tag, one gets another image, one goes.
    let after = [
        ("api", fleet("api", 4, OLD, "green")),
        ("web", fleet("web", 2, NEW, "blue")),
    ];
    ground.write(&BTreeMap::from(after));
    ground.arm.halt(Some(halt));
    let mut run = ground
        .command(&["apply", "-y"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let whole = loop {
        if ground.arm.is_halted() {
            break None;
        }
        if let Some(status) = run.try_wait().unwrap() {
            break Some(status);
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{halt:?}: neither there nor at its end"
        );
        std::thread::sleep(Duration::from_millis(10));
    };
    run.kill().ok();
    run.wait().unwrap();
    ground.arm.halt(None);
    let ended = match whole {
        Some(status) => {
            assert_eq!(status.code(), Some(0), "{halt:?}");
            Ended::Whole
        }
        None => {
            let ran = ground.meshvm("apply -y");
            assert_eq!(ran.code, Some(0), "{halt:?}\n{}", ran.all());
            Ended::Resumed
        }
    };
    let found = ground.machines();
    let of = |fleet: &str| {
        let own = found.iter().filter(|it| it.tags["meshvm-fleet"] == fleet);
        own.collect::<Vec<_>>()
    };
    assert_eq!(
        (of("api").len(), of("web").len()),
        (4, 2),
        "{halt:?}: {found:?}"
    );
    assert_eq!(found.len(), 6, "{halt:?}: {found:?}");
    assert!(
        of("api").iter().all(|it| it.tags["team"] == "green"),
        "{halt:?}: {found:?}"
    );
    let entries: BTreeSet<String> = ground
        .sandbox
        .files()
        .into_keys()
        .filter_map(|name| {
            let name = name.strip_prefix("mesh/vm/workloadentry-")?;
            Some(name.trim_end_matches(".yaml").to_owned())
        })
        .collect();
    let names: BTreeSet<String> = found.iter().map(|it| it.name.clone()).collect();
    assert_eq!(entries, names, "{halt:?}");
    ground.meshvm("plan --detailed-exitcode").exits(0);
    ended
}

/// Kills at each call, on several stacks at once, until there is no further one.
fn every_call(is_done: bool) {
    const AT_ONCE: u64 = 4;
    let killed: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..=AT_ONCE)
            .map(|first| {
                scope.spawn(move || {
                    let mut killed = 0;
                    for change in (first..).step_by(AT_ONCE as usize) {
                        match case(Halt { change, is_done }) {
                            Ended::Whole => break,
                            Ended::Resumed => killed += 1,
                        }
                    }
                    killed
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    println!("killed at each of {killed} calls");
    assert!(killed >= 10, "only {killed} calls change something");
}

#[test]
fn killed_before_each_change() {
    every_call(false);
}

#[test]
fn killed_after_each_change() {
    every_call(true);
}
