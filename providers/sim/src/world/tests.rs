//! Tests of the fold.

use super::*;
use crate::faults::Death;
use crate::machine::Life;
use meshvm_provider_api::{Power, Readiness};

fn shape(zone: &str) -> Shape {
    Shape {
        scope: Scope::new("sim", [], []),
        zone: zone.into(),
        labels: BTreeMap::new(),
        attributes: BTreeMap::new(),
    }
}

fn birth(id: &str, clock: u64, shape: usize, life: Life) -> Effect {
    Effect::Birth {
        id: id.into(),
        machine: Stored {
            name: id.into(),
            address: None,
            born: clock,
            now: Version {
                since: clock,
                shape,
                power: Power::Starting,
                readiness: Readiness::Waiting,
            },
            past: Vec::new(),
            life,
            gone: None,
        },
    }
}

fn record(clock: u64, effects: Vec<Effect>) -> Record {
    Record {
        call: None,
        clock,
        effects,
    }
}

#[test]
fn what_is_due_happens_in_order_and_once() {
    let mut world = World::new(2);
    let mut seen = Vec::new();
    let mut sink = |event: Event, world: &World| {
        assert_eq!(event.clock, world.clock);
        seen.push((event.clock, event.machine.0, event.kind));
    };
    let life = |starts, ready| Life {
        starts,
        ready: Some(ready),
        ..Life::default()
    };
    let births = vec![
        Effect::Shape(shape("a")),
        birth("x", 1, 0, life(5, 7)),
        birth("y", 1, 0, life(1, 6)),
    ];
    world.apply(record(1, births), &mut sink);
    world.apply(record(100, Vec::new()), &mut sink);
    let kill = |id: &str| Effect::Kill {
        id: id.into(),
        how: Death::Gone,
    };
    world.apply(record(101, vec![kill("x")]), &mut sink);
    assert!(world.known(&"x".into()).is_some() && world.stored(&"x".into()).is_none());
    world.advance(103, &mut sink);
    assert!(world.known(&"x".into()).is_none());
    let expected = [
        (1, "x", EventKind::Created),
        (1, "y", EventKind::Created),
        (1, "y", EventKind::Running),
        (5, "x", EventKind::Running),
        (6, "y", EventKind::Ready),
        (7, "x", EventKind::Ready),
        (101, "x", EventKind::Vanished),
    ];
    assert_eq!(
        seen,
        expected.map(|(clock, id, kind)| (clock, id.to_owned(), kind))
    );
}

#[test]
fn a_snapshot_makes_the_world_again() {
    let mut world = World::new(3);
    let silent: Sink<'_> = &mut |_, _| {};
    let life = Life {
        starts: 2,
        ready: Some(20),
        ..Life::default()
    };
    let mut effects = vec![Effect::Shape(shape("unused")), Effect::Shape(shape("a"))];
    effects.extend(["x", "y", "z"].map(|id| birth(id, 1, 1, life.clone())));
    world.apply(record(1, effects), silent);
    let move_y = vec![
        Effect::Shape(shape("b")),
        Effect::Reshape {
            shape: 2,
            machines: vec!["y".into()],
        },
    ];
    world.apply(record(9, move_y), silent);
    let machines = vec!["z".into()];
    world.apply(record(10, vec![Effect::Delete { machines }]), silent);

    world.compact();
    assert_eq!(world.shapes.len(), 2);
    let (header, records) = world.snapshot(Uuid::nil());
    let mut copy = World::new(3);
    copy.begin(header);
    records.for_each(|record| copy.apply(record, silent));
    for world in [&mut world, &mut copy] {
        world.advance(11, silent);
        assert_eq!(world.known_after(None).count(), 3);
        world.advance(50, silent);
        assert_eq!(world.known_after(None).count(), 2);
    }
    let all = |world: &World| world.all().collect::<Vec<_>>();
    assert_eq!(all(&world), all(&copy));
    assert!(all(&copy).iter().all(|m| m.readiness == Readiness::Ready));
}
