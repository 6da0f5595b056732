//! What is changed, changed back and changed again, all before a listing shows the first of it.
//!
//! A listing that is late shows a machine as it once was. Where that is just what it should be
//! again, nothing but memory tells that the listing is not up to date, and that it will yet show
//! what came in between.

use meshvm::apply::{Alive, Fate, RunError};
use meshvm::engine::EngineError;
use meshvm::plan::Options;
use meshvm_provider_sim::{FaultPlan, Span};

use crate::support::stack::{DiesAfter, File, Fleet, How, World};

fn file(tag: &str, others: u32) -> File {
    File::of([("api", Fleet::of(others)), ("web", Fleet::of(2).tag(tag))])
}

/// Makes a world of green machines whose listings are late from now on.
fn world(list_lag: u64, by_id_lag: u64) -> World {
    let world = World::new(FaultPlan::default());
    let outcome = apply(&world, &file("green", 1), &Alive);
    assert!(outcome.is_ok(), "{outcome:?}");
    world.wait(2 * 60 * 60);
    world.cloud.tick(1000).unwrap();
    world.cloud.set_faults(FaultPlan {
        list_lag: Span {
            min: list_lag,
            max: list_lag,
        },
        by_id_lag: Span {
            min: 0,
            max: by_id_lag,
        },
        ..FaultPlan::default()
    });
    world.begin_story();
    world
}

fn apply(world: &World, file: &File, fate: &dyn Fate) -> Result<(), String> {
    let how = How {
        fate,
        ..How::default()
    };
    match world.apply(&file.desired(), &Options::default(), how) {
        Ok(outcome) if outcome.is_complete() => Ok(()),
        Err(EngineError::Apply(RunError::Died)) => Ok(()),
        other => Err(format!("not complete: {other:?}")),
    }
}

/// Applies, and looks until every listing has caught up: it never was anything else.
fn settles(world: &World, file: &File, lag: u64) -> Result<(), String> {
    apply(world, file, &Alive)?;
    for _ in 0..=lag {
        world.settled(&file.desired())?;
    }
    Ok(())
}

#[test]
fn a_machine_that_is_as_it_was_before_is_not_changed_again() {
    for lag in (1..40).step_by(3) {
        let world = world(lag, 0);
        let result = apply(&world, &file("blue", 1), &Alive)
            .and_then(|()| apply(&world, &file("green", 1), &Alive))
            // A run that does something else takes over what the ones before it remembered.
            .and_then(|()| settles(&world, &file("green", 2), lag));
        world.check(&format!("{lag} calls late"), result);
    }
}

#[test]
fn a_change_back_that_never_came_is_not_taken_for_done() {
    for lag in [7, 30] {
        for place in 0..30 {
            let world = world(lag, 3);
            let result = apply(&world, &file("blue", 1), &Alive)
                .and_then(|()| apply(&world, &file("green", 1), &DiesAfter::places(place)))
                .and_then(|()| settles(&world, &file("green", 1), lag));
            world.check(&format!("{lag} calls late, killed at {place}"), result);
        }
    }
}

#[test]
fn a_change_back_that_is_not_wanted_any_more_is_forgotten() {
    for lag in [7, 30] {
        for place in 0..30 {
            let world = world(lag, 3);
            let result = apply(&world, &file("blue", 1), &Alive)
                .and_then(|()| apply(&world, &file("green", 1), &DiesAfter::places(place)))
                .and_then(|()| settles(&world, &file("blue", 2), lag));
            world.check(&format!("{lag} calls late, killed at {place}"), result);
        }
    }
}
