//! The program is killed at every single call that changes something, before the call has its
//! effect or after: the next apply ends with exactly what the file asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Cloud, Found, Image};

/// How long the program may take to come to a call.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many stacks are worked on at once.
const AT_ONCE: u64 = 4;

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There is no such call: the run came to its end.
    Whole,
    /// It was killed.
    Killed,
}

/// Runs a command until it comes to a call, and kills it there.
pub fn kill_at(ground: &impl Cloud, args: &[&str], change: u64, is_done: bool) -> Ended {
    ground.halt(change, is_done);
    let mut command = ground.command(args);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut run = command.spawn().unwrap();
    let begun = Instant::now();
    let whole = loop {
        if ground.is_halted() {
            break None;
        }
        if let Some(status) = run.try_wait().unwrap() {
            break Some(status);
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{args:?}, call {change}: neither there nor at its end"
        );
        std::thread::sleep(Duration::from_millis(10));
    };
    run.kill().ok();
    run.wait().unwrap();
    ground.go_on();
    match whole {
        Some(status) => {
            assert_eq!(status.code(), Some(0), "{args:?}, call {change}");
            Ended::Whole
        }
        None => Ended::Killed,
    }
}

/// Makes a fleet: its name, its replicas, its image and its tag.
pub trait Fleet: Fn(&str, u32, Image, &str) -> Value + Sync {}

impl<T: Fn(&str, u32, Image, &str) -> Value + Sync> Fleet for T {}

/// Kills a run at a call, and lets the next one end.
fn case(ground: &impl Cloud, fleet: &impl Fleet, change: u64, is_done: bool) -> Ended {
    use Image::{New, Old};
    let place = format!("call {change}, is_done {is_done}");
    let before = [
        ("api", fleet("api", 2, Old, "blue")),
        ("old", fleet("old", 2, Old, "blue")),
        ("web", fleet("web", 2, Old, "blue")),
    ];
    ground.write(&BTreeMap::from(before));
    ground.meshvm("apply -y").exits(0);
    // One fleet grows and gets another tag, one gets another image, one goes.
    let after = [
        ("api", fleet("api", 4, Old, "green")),
        ("web", fleet("web", 2, New, "blue")),
    ];
    ground.write(&BTreeMap::from(after));
    let ended = kill_at(ground, &["apply", "-y"], change, is_done);
    if ended == Ended::Killed {
        let ran = ground.meshvm("apply -y");
        assert_eq!(ran.code, Some(0), "{place}\n{}", ran.all());
    }
    let found = ground.found();
    let of = |fleet: &str| {
        found
            .iter()
            .filter(|it| it.is_of(fleet))
            .collect::<Vec<_>>()
    };
    let counts = (of("api").len(), of("web").len(), found.len());
    assert_eq!(counts, (4, 2, 6), "{place}: {found:?}");
    let is_green = |it: &&Found| it.labels["team"] == "green";
    assert!(of("api").iter().all(is_green), "{place}: {found:?}");
    let entries: BTreeSet<String> = ground
        .sandbox()
        .files()
        .into_keys()
        .filter_map(|name| {
            let name = name.strip_prefix("mesh/vm/workloadentry-")?;
            Some(name.trim_end_matches(".yaml").to_owned())
        })
        .collect();
    let names: BTreeSet<String> = found.iter().map(|it| it.entry.clone()).collect();
    assert_eq!(entries, names, "{place}");
    ground.meshvm("plan --detailed-exitcode").exits(0);
    ended
}

/// Kills at each call, on several stacks at once, until there is no further one; there must be
/// as many as `least`.
pub fn every_call<C: Cloud>(
    new: impl Fn() -> C + Sync,
    fleet: impl Fleet,
    is_done: bool,
    least: u64,
) {
    let (new, fleet) = (&new, &fleet);
    let killed: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..=AT_ONCE)
            .map(|first| {
                scope.spawn(move || {
                    let changes = (first..).step_by(AT_ONCE as usize);
                    let killed = changes.take_while(|change| {
                        case(&new(), fleet, *change, is_done) == Ended::Killed
                    });
                    killed.count() as u64
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    println!("killed at each of {killed} calls");
    assert!(killed >= least, "only {killed} calls change something");
}
