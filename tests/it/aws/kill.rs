//! The real program is killed at random moments on a cloud with EC2's manners: in the end there
//! is exactly what the file asks for.
//!
//! Listings lag, replies are lost, calls are throttled, and one type is short of room.
//! `MESHVM_KILLS` kills more or less often than by default, `MESHVM_KILL_SEED` draws another series.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use meshvm_ec2::{Bucket, Manners};
use serde_json::{Value, json};

use super::ground::{Ground, member};

/// How often a series kills.
const KILLS: u32 = 50;

/// A sequence that looks random and is the same for the same seed (SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    replicas: u32,
    tag: &'static str,
    image: &'static str,
}

impl Wanted {
    fn draw(draw: &mut Draw) -> Self {
        let one = |draw: &mut Draw, of: [&'static str; 2]| of[draw.below(2) as usize];
        Self {
            replicas: draw.below(7) as u32,
            tag: one(draw, ["blue", "green"]),
            image: one(draw, ["kernel-6.1-arm64", "kernel-6.12-arm64"]),
        }
    }

    fn fleet(self, name: &str) -> Value {
        let ssm = format!(
            "/aws/service/ami-amazon-linux-latest/al2023-ami-{}",
            self.image
        );
        let block = json!({
            "instanceType": ["m7g.large", "m6g.large"],
            "zones": ["eu-west-1a", "eu-west-1b"],
            "image": {"ssm": ssm},
            "tags": {"team": self.tag},
        });
        member(name, self.replicas, &block)
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn killed_at_random_moments_nothing_is_orphaned_and_nothing_doubled() {
    let seed = number("MESHVM_KILL_SEED").unwrap_or(1);
    let kills = number("MESHVM_KILLS").map_or(KILLS, |kills| u32::try_from(kills).unwrap());
    let mut manners = Manners {
        lag: 3,
        lose_every: 5,
        room: [("m7g.large".to_owned(), 9)].into(),
        ..Manners::default()
    };
    for action in ["RunInstances", "TerminateInstances", "CreateTags"] {
        manners.buckets.insert(action.to_owned(), Bucket::new(3, 5));
    }
    let ground = Ground::new(manners);
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
            .map(|(&name, wanted)| (name, wanted.fleet(name)));
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
    let instances = ground.instances();
    for (&name, wanted) in &fleets {
        let own: Vec<_> = instances
            .iter()
            .filter(|instance| instance.tags["meshvm-fleet"] == name)
            .collect();
        assert_eq!(
            own.len(),
            wanted.replicas as usize,
            "{name}, seed {seed}\n{history}"
        );
        assert!(
            own.iter()
                .all(|instance| instance.tags["team"] == wanted.tag),
            "{own:?}"
        );
        for instance in own {
            let entry = format!("mesh/vm/workloadentry-{}.yaml", instance.id);
            assert!(
                ground.sandbox.path(&entry).exists(),
                "{entry}, seed {seed}\n{history}"
            );
        }
    }
    let total: u32 = fleets.values().map(|wanted| wanted.replicas).sum();
    assert_eq!(instances.len(), total as usize, "seed {seed}\n{history}");
    ground.meshvm("plan --detailed-exitcode").exits(0);
    println!(
        "{killed} kills, {} replies lost, {} calls throttled",
        ground.proxy.lost(),
        ground.proxy.throttled()
    );
    ground.meshvm("destroy -y").exits(0);
    assert_eq!(ground.instances(), []);
}
