//! The real program is killed at random moments on a cloud with a cloud's manners: in the end
//! there is exactly what the file asks for.
//!
//! `MESHVM_KILLS` kills more or less often than by default, `MESHVM_KILL_SEED` draws another
//! series.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Cloud, Image};
use crate::support::draw::Draw;

/// What the file asks for of a fleet.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub replicas: u32,
    pub tag: &'static str,
    pub image: Image,
}

impl Wanted {
    fn draw(draw: &mut Draw) -> Self {
        Self {
            replicas: u32::try_from(draw.below(7)).unwrap(),
            tag: draw.one_of(&["blue", "green"]),
            image: draw.one_of(&[Image::Old, Image::New]),
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Kills over and over while the file asks for ever other things, lets the last run end, looks at
/// what there is, and destroys it.
pub fn series(ground: &impl Cloud, kills: u32, fleet: impl Fn(&str, Wanted) -> Value) {
    let seed = number("MESHVM_KILL_SEED").unwrap_or(1);
    let kills = number("MESHVM_KILLS").map_or(kills, |kills| u32::try_from(kills).unwrap());
    let mut draw = Draw(seed);
    let mut fleets = BTreeMap::from([
        ("api", Wanted::draw(&mut draw)),
        ("web", Wanted::draw(&mut draw)),
    ]);
    let mut killed = 0;
    let mut history = String::new();
    let write = |fleets: &BTreeMap<&'static str, Wanted>| {
        let all = fleets
            .iter()
            .map(|(&name, wanted)| (name, fleet(name, *wanted)));
        ground.write(&all.collect());
    };
    write(&fleets);
    while killed < kills {
        if draw.below(3) == 0 {
            fleets = fleets
                .into_keys()
                .map(|name| (name, Wanted::draw(&mut draw)))
                .collect();
            write(&fleets);
            history.push_str(&format!("now {fleets:?}\n"));
        }
        let after = Duration::from_millis(draw.below(4000));
        let mut run = ground
            .command(&["apply", "-y"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        std::thread::sleep(after.saturating_sub(begun.elapsed()));
        run.kill().unwrap();
        let code = run.wait().unwrap().code();
        killed += u32::from(code.is_none());
        history.push_str(&format!("after {after:?}: {code:?}\n"));
    }
    let ran = ground.meshvm("apply -y");
    history.push_str(&ran.all());
    assert_eq!(ran.code, Some(0), "seed {seed}\n{history}");
    let found = ground.found();
    for (&name, wanted) in &fleets {
        let own: Vec<_> = found.iter().filter(|it| it.is_of(name)).collect();
        let count = own.len();
        assert_eq!(
            count, wanted.replicas as usize,
            "{name}, seed {seed}\n{history}"
        );
        for machine in own {
            assert_eq!(machine.labels["team"], wanted.tag, "{machine:?}");
            let entry = format!("mesh/vm/workloadentry-{}.yaml", machine.entry);
            let is_there = ground.sandbox().path(&entry).exists();
            assert!(is_there, "{entry}, seed {seed}\n{history}");
        }
    }
    let total: u32 = fleets.values().map(|wanted| wanted.replicas).sum();
    assert_eq!(found.len(), total as usize, "seed {seed}\n{history}");
    ground.meshvm("plan --detailed-exitcode").exits(0);
    let (lost, throttled) = ground.troubles();
    println!("{killed} kills, {lost} replies lost, {throttled} calls throttled");
    ground.meshvm("destroy -y").exits(0);
    assert!(ground.found().is_empty(), "{:?}", ground.found());
}
