//! Rollouts, simulated: what a rollout allows holds after every single event.
//!
//! Machines become ready after random times, and steps run in random numbers at
//! a time. Every case runs under many seeds; a seed that fails fails again.

use std::sync::{Arc, Mutex};

use meshvm::apply::Outcome;
use meshvm::desired::Desired;
use meshvm::plan::Options;
use meshvm_provider_sim::{Death, FailBootstrap, FaultPlan, Probability, Span};

use crate::support::stack::{File, Fleet, How, Role, World, of_fleet};

/// How many seeds each case runs under.
const SEEDS: u64 = 100;

/// A fleet before and after, and what has become of some of its machines.
struct Case {
    name: &'static str,
    before: Fleet,
    after: Fleet,
    down: &'static [Death],
}

fn cases() -> Vec<Case> {
    let case = |name, before: &Fleet, after: Fleet, down| Case {
        name,
        before: before.clone(),
        after,
        down,
    };
    let of = |replicas| Fleet::of(replicas).zones(&["a", "b"]).role(Role::Nothing);
    let new = |fleet: Fleet| fleet.image("debian-13");
    vec![
        case("surge by one", &of(3), new(of(3)), &[]),
        case("surge by all", &of(4), new(of(4).rollout(4, 0)), &[]),
        case("no surge", &of(4), new(of(4).rollout(0, 1)), &[]),
        case("a window", &of(6), new(of(6).rollout(1, 2)), &[]),
        case("wide window", &of(7), new(of(7).rollout(3, 3)), &[]),
        case("one machine", &of(1), new(of(1)), &[]),
        case(
            "some are down",
            &of(5),
            new(of(5).rollout(2, 1)),
            &[Death::Broken, Death::Stopped],
        ),
        case(
            "more are down than may be",
            &of(4),
            new(of(4).rollout(1, 1)),
            &[Death::Broken, Death::Gone, Death::Stopped],
        ),
        case("and more machines", &of(3), new(of(6).rollout(1, 1)), &[]),
        case(
            "and fewer machines",
            &of(6),
            new(of(3).rollout(1, 1)),
            &[Death::Broken],
        ),
        case(
            "and another zone",
            &of(4),
            new(of(4).zones(&["b", "c"])),
            &[],
        ),
        case("restart", &of(5), of(5).size("large").rollout(1, 2), &[]),
        case(
            "restart, and some are down",
            &of(5),
            of(5).size("large").rollout(1, 2),
            &[Death::Broken, Death::Stopped],
        ),
        case(
            "in place, and some are down",
            &of(5),
            of(5).tag("blue").rollout(1, 1),
            &[Death::Broken, Death::Gone],
        ),
    ]
}

#[test]
fn rollouts_keep_their_bounds_after_every_event() {
    for case in cases() {
        for seed in 0..SEEDS {
            let world = start(&case, seed);
            let desired = file(&case.after).desired();
            let most = keep_bounds(&world, &case.after);
            let result = apply(&world, &desired, seed);
            let what = format!("{}, seed {seed}", case.name);
            let is_complete = result.is_ok_and(|outcome| outcome.is_complete());
            world.check(
                &what,
                is_complete.then_some(()).ok_or("not complete".into()),
            );
            world.check(&what, world.settled(&desired));
            world.check(&what, most.lock().unwrap().few(&case));
        }
    }
}

#[test]
fn a_rollout_whose_machines_do_not_come_up_stops_and_says_why() {
    for case in cases() {
        for seed in 0..SEEDS / 10 {
            let world = start(&case, seed);
            let desired = file(&case.after).desired();
            let what = format!("{}, seed {seed}, failing", case.name);
            let before: Vec<_> = world.machines("web").into_iter().map(|m| m.id).collect();
            world.cloud.set_faults(FaultPlan {
                fail_bootstrap: FailBootstrap {
                    probability: Probability::ALWAYS,
                    names: Vec::new(),
                },
                ..faults(seed)
            });
            let most = keep_bounds(&world, &case.after);
            // However often it is tried, the old machines go on serving.
            for _ in 0..3 {
                let outcome = apply(&world, &desired, seed).unwrap();
                let says_why = outcome
                    .failed
                    .iter()
                    .any(|failure| failure.message.contains("bootstrap failed"));
                world.check(&what, says_why.then_some(()).ok_or("says not why".into()));
                let down = world.machines("web").into_iter();
                let down = down
                    .filter(|m| !m.is_available() && !before.contains(&m.id))
                    .count();
                let Case { before, after, .. } = &case;
                let more = after.replicas.saturating_sub(before.replicas);
                let most = (after.surge + after.unavailable + more) as usize + case.down.len();
                let result = (down <= most).then_some(());
                world.check(&what, result.ok_or(format!("{down} failed machines")));
            }
            world.check(&what, most.lock().unwrap().few(&case));
            // Once the cause is mended, and those that will fail have failed, one apply ends it.
            world.cloud.set_faults(faults(seed));
            world.cloud.tick(100).unwrap();
            let outcome = apply(&world, &desired, seed).unwrap();
            world.check(
                &what,
                outcome
                    .is_complete()
                    .then_some(())
                    .ok_or("not complete".into()),
            );
            world.check(&what, world.settled(&desired));
        }
    }
}

#[test]
fn a_rollout_among_failures_ends_in_the_end() {
    for case in cases() {
        for seed in 0..SEEDS / 10 {
            let world = start(&case, seed);
            let desired = file(&case.after).desired();
            let what = format!("{}, seed {seed}, unlucky", case.name);
            world.cloud.set_faults(FaultPlan {
                fail_bootstrap: FailBootstrap {
                    probability: Probability::percent(25),
                    names: Vec::new(),
                },
                ..faults(seed)
            });
            keep_bounds(&world, &case.after);
            let ends = (0..60).any(|_| apply(&world, &desired, seed).unwrap().is_complete());
            world.check(&what, ends.then_some(()).ok_or("does not end".into()));
            world.check(&what, world.settled(&desired));
        }
    }
}

fn file(fleet: &Fleet) -> File {
    File::of([("web", fleet.clone())])
}

fn faults(seed: u64) -> FaultPlan {
    let lag = Span {
        min: 0,
        max: if seed.is_multiple_of(2) { 0 } else { 20 },
    };
    FaultPlan {
        seed,
        list_lag: lag,
        by_id_lag: lag,
        start_after: Span { min: 0, max: 4 },
        ready_after: Span { min: 0, max: 12 },
        ..FaultPlan::default()
    }
}

fn start(case: &Case, seed: u64) -> World {
    let world = World::without_mesh(FaultPlan::default());
    let outcome = apply(&world, &file(&case.before).desired(), seed).unwrap();
    assert!(outcome.is_complete());
    for (machine, death) in world.machines("web").iter().zip(case.down) {
        world
            .reach(|cloud| cloud.kill(&machine.id, *death))
            .unwrap();
    }
    // What was done so far is known to everybody by now.
    world.wait(2 * 60 * 60);
    world.cloud.tick(1000).unwrap();
    world.cloud.set_faults(faults(seed));
    world.begin_story();
    world
}

fn apply(
    world: &World,
    desired: &Desired,
    seed: u64,
) -> Result<Outcome, meshvm::engine::EngineError> {
    let how = How {
        parallelism: 1 + seed as usize % 8,
        ..How::default()
    };
    world.apply(desired, &Options::default(), how)
}

/// What was seen of a fleet during a rollout.
#[derive(Default)]
struct Seen {
    events: usize,
    machines: usize,
    available: usize,
}

impl Seen {
    /// Checks that the rollout took no more events than its machines account for.
    fn few(&self, case: &Case) -> Result<(), String> {
        // Created, running, ready, changed, starting, deleted: each machine a few times.
        let machines = case.before.replicas + case.after.replicas + case.after.surge;
        let most = 20 * machines as usize;
        if self.events > most {
            return Err(format!("{} events, more than {most}", self.events));
        }
        Ok(())
    }
}

/// Checks the bounds of a rollout after every event, as far as the start kept them.
fn keep_bounds(world: &World, fleet: &Fleet) -> Arc<Mutex<Seen>> {
    let replicas = fleet.replicas as usize;
    let most = replicas + fleet.surge as usize;
    let fewest = replicas - fleet.unavailable as usize;
    let count = |machines: &[meshvm_provider_api::Machine]| {
        let available = of_fleet(machines, "web")
            .filter(|m| m.is_available())
            .count();
        (of_fleet(machines, "web").count(), available)
    };
    let (machines, available) = count(&world.cloud.machines().unwrap());
    let seen = Arc::new(Mutex::new(Seen {
        events: 0,
        machines,
        available,
    }));
    let shared = Arc::clone(&seen);
    world.guard.watch(&world.cloud, move |_, truth| {
        let (machines, available) = count(&truth.machines());
        let mut seen = shared.lock().unwrap();
        seen.events += 1;
        let most = most.max(seen.machines);
        let fewest = fewest.min(seen.available);
        // What was out of bounds may come back into them, and stays there.
        seen.machines = machines;
        seen.available = seen.available.max(available);
        if machines > most {
            return Err(format!("{machines} machines, at most {most} are allowed"));
        }
        if available < fewest {
            return Err(format!("{available} available, at least {fewest} must be"));
        }
        Ok(())
    });
    seen
}
