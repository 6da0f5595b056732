//! The crash matrix: an apply that dies at any place, and the next one that ends what was begun.
//!
//! Every scenario runs once to learn all its places (a step, and how far it
//! came), and then once for each place, dying there. Whatever died, the next
//! apply ends with exactly what was asked for.

mod scenarios;

use std::collections::BTreeSet;
use std::time::Duration;

use meshvm::apply::{Alive, CrashPoint, Fate, Outcome, RunError};
use meshvm::desired::{Desired, Tokens};
use meshvm::engine::EngineError;
use meshvm::plan::Options;
use meshvm_provider_api::Kind as _;
use meshvm_provider_sim::{FaultPlan, Probability, SimKind, Span};

use crate::support::stack::{
    DiesAfter, DiesAt, File, Fleet, How, KINDS, LEASE, Place, Recorder, Role, World,
};
use scenarios::{Scenario, all};

/// More calls than any listing is late.
const LATEST: u64 = 40;

/// How badly the world behaves, and what is left after the crash.
#[derive(Clone, Copy, Debug)]
struct Mode {
    seed: u64,
    is_late: bool,
    loses_replies: bool,
    loses_ledger: bool,
    parallelism: usize,
}

const PROMPT: Mode = Mode {
    seed: 1,
    is_late: false,
    loses_replies: false,
    loses_ledger: false,
    parallelism: 10,
};

impl Mode {
    fn faults(self) -> FaultPlan {
        let lag = Span {
            min: 0,
            max: if self.is_late { LATEST } else { 0 },
        };
        FaultPlan {
            seed: self.seed,
            list_lag: lag,
            by_id_lag: lag,
            start_after: Span { min: 0, max: 2 },
            ready_after: Span { min: 0, max: 4 },
            lost_reply: Probability::percent(if self.loses_replies { 40 } else { 0 }),
            ..FaultPlan::default()
        }
    }
}

#[test]
fn a_crash_anywhere_is_mended() {
    matrix(PROMPT);
}

#[test]
fn a_crash_anywhere_is_mended_while_listings_are_late_and_replies_are_lost() {
    matrix(Mode {
        seed: 2,
        is_late: true,
        loses_replies: true,
        parallelism: 2,
        ..PROMPT
    });
}

#[test]
fn a_crash_anywhere_is_mended_without_the_ledger() {
    matrix(Mode {
        loses_replies: true,
        loses_ledger: true,
        parallelism: 1,
        ..PROMPT
    });
}

#[test]
fn a_crash_anywhere_is_mended_without_the_ledger_once_listings_have_caught_up() {
    matrix(Mode {
        seed: 3,
        is_late: true,
        loses_ledger: true,
        ..PROMPT
    });
}

/// Dies once at every place of every scenario.
fn matrix(mode: Mode) {
    let mut failures = Failures::default();
    for scenario in all() {
        for (place, _) in places(&scenario, mode, &mut failures) {
            let world = scenario.world(mode.faults());
            let died = dies(&world, &scenario, mode, &DiesAt(place.clone()));
            let result = died.and_then(|()| recover(&world, &scenario, mode));
            failures.add(&world, &scenario, &[place], result);
        }
    }
    failures.report(mode);
}

#[test]
fn machines_that_can_be_given_no_token_any_more_keep_nobody_from_the_rest() {
    let world = World::new(FaultPlan::default());
    let mut file = File::of([("db", Fleet::of(1).role(Role::Nothing))]);
    let run = |desired: &Desired, destroy: bool, fate: &dyn Fate| {
        let options = Options {
            destroy,
            ..Options::default()
        };
        let how = How {
            fate,
            ..How::default()
        };
        world.apply(desired, &options, how)
    };
    assert!(run(&file.desired(), false, &Alive).unwrap().is_complete());
    file.0.insert("web", Fleet::of(1));
    let mut desired = file.desired();
    // This mesh makes none; a cluster's account may be gone when a run is taken up again.
    desired.tokens = Some(Tokens {
        ttl: Duration::from_secs(900),
        in_user_data: true,
    });
    let begun = DiesAt((CrashPoint::AfterBegin, "create/web/0/a/0".to_owned()));
    let died = run(&desired, false, &begun).unwrap_err();
    assert!(matches!(died, EngineError::Apply(RunError::Died)), "{died}");
    // A listing may miss it for some seconds more, and is waited for.
    let lag = SimKind::new().info().listing_lag.as_secs();
    world.wait(i64::try_from(lag).unwrap() - LEASE - 10);
    assert!(run(&desired, true, &Alive).unwrap().is_complete());
    assert_eq!(world.machines("db").len() + world.machines("web").len(), 0);
}

#[test]
fn two_crashes_in_a_row_are_mended() {
    let mut failures = Failures::default();
    let scenarios = all();
    let counts: Vec<usize> = scenarios
        .iter()
        .map(|scenario| places(scenario, PROMPT, &mut failures).len())
        .collect();
    for seed in 0..300 {
        let mode = Mode {
            seed,
            is_late: seed % 3 > 0,
            loses_replies: seed % 5 == 0,
            loses_ledger: seed % 4 == 3,
            parallelism: 1 + seed as usize % 4,
        };
        let (scenario, count) = (
            &scenarios[seed as usize % scenarios.len()],
            counts[seed as usize % scenarios.len()],
        );
        let world = scenario.world(mode.faults());
        // Any two places; what was done before the first crash is not done again, so
        // the second comes earlier, or it comes never.
        let first = (seed * 7919) as usize % count;
        let second = (seed * 104_729 + 13) as usize % count / 2;
        let died = dies(&world, scenario, mode, &DiesAfter::places(first));
        run_again(&world, scenario, mode, &DiesAfter::places(second)).ok();
        let result = died.and_then(|()| recover(&world, scenario, mode));
        let result = result.map_err(|problem| format!("at {first} and {second}: {problem}"));
        failures.add(&world, scenario, &[], result);
    }
    failures.report(PROMPT);
}

#[test]
fn a_crash_is_mended_when_the_next_apply_comes_the_next_day() {
    let mode = Mode {
        is_late: true,
        ..PROMPT
    };
    let mut failures = Failures::default();
    for scenario in all() {
        for (place, _) in places(&scenario, mode, &mut failures)
            .into_iter()
            .step_by(3)
        {
            let world = scenario.world(mode.faults());
            let died = dies(&world, &scenario, mode, &DiesAt(place.clone()));
            world.wait(24 * 60 * 60);
            world.cloud.tick(LATEST).unwrap();
            let result = died.and_then(|()| recover(&world, &scenario, mode));
            failures.add(&world, &scenario, &[place], result);
        }
    }
    failures.report(mode);
}

#[test]
fn what_failed_after_its_effect_is_not_done_twice() {
    let mode = Mode {
        is_late: true,
        ..PROMPT
    };
    let mut failures = Failures::default();
    for scenario in all() {
        for seed in 0..12 {
            let world = scenario.world(FaultPlan {
                seed,
                // So often that all attempts of some calls are in vain.
                lost_reply: Probability::percent(if seed < 2 { 100 } else { 90 }),
                ..mode.faults()
            });
            let result = run(&world, &scenario, mode, &Alive);
            let result = result.map_err(|error| format!("{error:?}"));
            world.cloud.set_faults(mode.faults());
            let result = result.and_then(|_| recover(&world, &scenario, mode));
            failures.add(&world, &scenario, &[], result);
        }
    }
    failures.report(mode);
}

#[test]
fn the_matrix_has_every_kind_of_step_at_every_crash_point() {
    let mut met = BTreeSet::new();
    let mut failures = Failures::default();
    for scenario in all() {
        for ((point, _), kind) in places(&scenario, PROMPT, &mut failures) {
            met.insert((kind, point));
        }
    }
    for kind in KINDS {
        for point in CrashPoint::ALL {
            assert!(met.contains(&(kind, point)), "no {kind} at {point:?}");
        }
    }
}

/// Returns every place where the scenario's run can die.
fn places(scenario: &Scenario, mode: Mode, failures: &mut Failures) -> Vec<(Place, &'static str)> {
    let world = scenario.world(mode.faults());
    let recorder = Recorder::default();
    let result = complete(run(&world, scenario, mode, &recorder));
    let result = result.and_then(|()| world.settled(&scenario.end()));
    failures.add(&world, scenario, &[], result);
    recorder.places()
}

/// Runs what is asked for.
fn run(
    world: &World,
    scenario: &Scenario,
    mode: Mode,
    fate: &dyn Fate,
) -> Result<Outcome, EngineError> {
    let how = how(mode, fate);
    world.apply(&scenario.desired(), &scenario.asked, how)
}

/// Runs what is asked for until it dies.
fn dies(world: &World, scenario: &Scenario, mode: Mode, fate: &dyn Fate) -> Result<(), String> {
    match run(world, scenario, mode, fate) {
        Err(EngineError::Apply(RunError::Died)) => Ok(()),
        other => Err(format!("it lives: {other:?}")),
    }
}

/// Asks again, as a person would: when what is named does not exist any more, without naming it.
fn run_again(
    world: &World,
    scenario: &Scenario,
    mode: Mode,
    fate: &dyn Fate,
) -> Result<Outcome, EngineError> {
    let (desired, how) = (scenario.desired(), how(mode, fate));
    match world.apply(&desired, &scenario.asked_again, how) {
        Err(EngineError::Plan(_)) => world.apply(&desired, &Options::default(), how),
        result => result,
    }
}

fn how(mode: Mode, fate: &dyn Fate) -> How<'_> {
    How {
        parallelism: mode.parallelism,
        fate,
        stop: None,
    }
}

fn complete(result: Result<Outcome, EngineError>) -> Result<(), String> {
    match result {
        Ok(outcome) if outcome.is_complete() => Ok(()),
        other => Err(format!("not complete: {other:?}")),
    }
}

/// Applies after a crash, and checks that one apply was enough.
fn recover(world: &World, scenario: &Scenario, mode: Mode) -> Result<(), String> {
    if mode.loses_ledger {
        world.lose_ledger();
    }
    let mut next = run_again(world, scenario, mode, &Alive);
    if mode.loses_ledger && mode.is_late {
        // Nothing tells that run what its listing misses: it takes back, or makes anew,
        // what was let go or made a moment ago.
        world.ignore_released();
        world.valid()?;
        world.cloud.tick(LATEST).unwrap();
        next = run_again(world, scenario, mode, &Alive);
    }
    complete(next)?;
    world.settled(&scenario.end())
}

/// What went wrong, and where; the first with all there is to know.
#[derive(Default)]
struct Failures {
    lines: Vec<String>,
    story: String,
    runs: usize,
}

impl Failures {
    fn add(
        &mut self,
        world: &World,
        scenario: &Scenario,
        places: &[Place],
        result: Result<(), String>,
    ) {
        self.runs += 1;
        if let Err(problem) = result.and_then(|()| world.guard.verdict()) {
            if self.lines.is_empty() {
                self.story = world.story();
            }
            let line = format!("{}, dead at {places:?}: {problem}", scenario.name);
            self.lines.push(line);
        }
    }

    fn report(self, mode: Mode) {
        let Self { lines, story, runs } = self;
        assert!(runs > 100, "{runs} runs are no matrix");
        assert!(
            lines.is_empty(),
            "{} of {runs} runs went wrong under {mode:?}:\n{}\n\nThe first:\n{story}",
            lines.len(),
            lines.join("\n")
        );
    }
}
