//! The real program is killed at random moments, over and over, while the file asks for ever
//! other things: in the end there is exactly what the file asks for, no more and no less.
//!
//! The cloud lists late, loses replies, slows down and boots slowly. Each series is drawn from
//! one seed; what the program does at which moment is not, so a failure prints the seed and the
//! whole history. `MESHVM_KILL_SEED` plays one seed only, `MESHVM_KILLS` more or fewer kills.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use meshvm_provider_api::{Machine, labels};
use serde_json::json;

use crate::support::draw::Draw;
use crate::support::program::Sandbox;

/// How often each of the four series kills.
const KILLS: u32 = 50;

/// What the file asks for of one fleet.
#[derive(Clone, Debug)]
struct Wanted {
    replicas: usize,
    image: &'static str,
    size: &'static str,
    tag: &'static str,
    region: &'static str,
    zones: &'static [&'static str],
    is_member: bool,
    surge: u64,
    unavailable: u64,
}

impl Wanted {
    fn draw(draw: &mut Draw) -> Self {
        let unavailable = draw.below(3);
        Self {
            replicas: usize::try_from(draw.below(6)).unwrap(),
            image: draw.one_of(&["debian-12", "debian-12", "debian-13"]),
            size: draw.one_of(&["small", "small", "large"]),
            tag: draw.one_of(&["blue", "green"]),
            region: draw.one_of(&["sim-1", "sim-1", "sim-1", "sim-2"]),
            zones: draw.one_of(&[&["a"] as &[&str], &["a", "b"], &["b", "c"]]),
            is_member: draw.below(4) > 0,
            surge: draw.below(3) + u64::from(unavailable == 0),
            unavailable,
        }
    }
}

type Fleets = BTreeMap<&'static str, Wanted>;

fn draw_fleets(draw: &mut Draw) -> Fleets {
    let names = ["api", "db", "web"];
    let mut fleets: Fleets = names
        .into_iter()
        .map(|name| (name, Wanted::draw(draw)))
        .collect();
    fleets.retain(|_, _| draw.below(5) > 0);
    fleets
}

fn fleet_file(fleets: &Fleets) -> String {
    let fleets: BTreeMap<&str, serde_json::Value> = fleets
        .iter()
        .map(|(&name, wanted)| {
            let mut fleet = json!({
                "replicas": wanted.replicas,
                "sim": {
                    "image": wanted.image,
                    "size": wanted.size,
                    "region": wanted.region,
                    "zones": wanted.zones,
                    "tags": {"team": wanted.tag},
                },
                "rollout": {"maxSurge": wanted.surge, "maxUnavailable": wanted.unavailable},
            });
            if wanted.is_member {
                fleet["membership"] = json!({
                    "namespace": "vm",
                    "serviceAccount": name,
                    "labels": {"app": name},
                    "ports": {"http": 8080},
                });
            }
            (name, fleet)
        })
        .collect();
    // JSON is YAML.
    let file = json!({
        "apiVersion": "meshvm/v1",
        "stack": "shop",
        "mesh": {"manifests": {"path": "mesh"}},
        "budgets": {"destroy": "100%", "replace": "100%"},
        "fleets": fleets,
    });
    serde_json::to_string_pretty(&file).unwrap()
}

/// Returns what is wrong with the stack.
fn wrong(sandbox: &Sandbox, fleets: &Fleets) -> String {
    let machines = sandbox.cloud().machines().unwrap();
    let mut text = String::new();
    let mut files: BTreeSet<String> = BTreeSet::new();
    for (&name, wanted) in fleets {
        let own: Vec<&Machine> = machines
            .iter()
            .filter(|machine| machine.labels.get(labels::FLEET).is_some_and(|f| f == name))
            .collect();
        if own.len() != wanted.replicas {
            writeln!(
                text,
                "{name}: {} machines, {} wanted",
                own.len(),
                wanted.replicas
            )
            .unwrap();
        }
        let mut zones: BTreeMap<&str, usize> = wanted.zones.iter().map(|&zone| (zone, 0)).collect();
        for machine in &own {
            let has = |attribute: &str, value: &str| {
                machine.attributes.get(attribute).and_then(|v| v.as_str()) == Some(value)
            };
            let fits = has("image", wanted.image)
                && has("size", wanted.size)
                && has("tags.team", wanted.tag)
                && machine.is_available();
            if !fits {
                writeln!(text, "{name}: {machine:?}, and not {wanted:?}").unwrap();
            }
            *zones.entry(&machine.zone).or_default() += 1;
        }
        let most = zones.values().max().unwrap();
        if zones.len() > wanted.zones.len() || most - zones.values().min().unwrap() > 1 {
            writeln!(text, "{name}: badly spread: {zones:?}").unwrap();
        }
        if wanted.is_member {
            for kind in ["serviceaccount", "workloadgroup"] {
                files.insert(format!("mesh/vm/{kind}-{name}.yaml"));
            }
            for machine in own {
                let file = format!("mesh/vm/workloadentry-{}.yaml", machine.name);
                let entry = sandbox.files().remove(&file).unwrap_or_default();
                let entry = String::from_utf8(entry).unwrap();
                let address = machine.address.unwrap().to_string();
                if !entry.contains(&format!("address: \"{address}\"\n")) {
                    writeln!(text, "{file} lacks {address}: {entry:?}").unwrap();
                }
                files.insert(file);
            }
        }
    }
    let total: usize = fleets.values().map(|wanted| wanted.replicas).sum();
    if machines.len() != total {
        writeln!(
            text,
            "{} machines, {total} wanted: {machines:?}",
            machines.len()
        )
        .unwrap();
    }
    let names: BTreeSet<&str> = machines
        .iter()
        .map(|machine| machine.name.as_str())
        .collect();
    if names.len() != machines.len() {
        writeln!(text, "two machines have one name: {names:?}").unwrap();
    }
    let found: BTreeSet<String> = sandbox
        .files()
        .into_keys()
        .filter(|name| name.starts_with("mesh/"))
        .collect();
    if found != files {
        let (more, fewer): (Vec<_>, Vec<_>) = (
            found.difference(&files).collect(),
            files.difference(&found).collect(),
        );
        writeln!(
            text,
            "files that should not be there: {more:?}; missing: {fewer:?}"
        )
        .unwrap();
    }
    text
}

struct Series {
    seed: u64,
    draw: Draw,
    sandbox: Sandbox,
    fleets: Fleets,
    history: String,
    killed: u32,
    /// How long a run takes that nothing disturbs.
    usual: Duration,
}

impl Series {
    fn new(seed: u64) -> Self {
        let mut draw = Draw(seed);
        let sandbox = Sandbox::new();
        let faults = json!({
            "seed": seed,
            "listLag": {"min": 0, "max": 80},
            "byIdLag": {"min": 0, "max": 4},
            "startAfter": {"min": 0, "max": 6},
            "readyAfter": {"min": 1, "max": 25},
            "lostReply": 0.1,
            "unavailable": 0.03,
            "throttle": {"every": 17, "probability": 0.02},
        });
        sandbox.write(".meshvm/cloud/faults.json", &faults.to_string());
        let fleets = draw_fleets(&mut draw);
        sandbox.write("meshvm.yaml", &fleet_file(&fleets));
        Self {
            seed,
            draw,
            sandbox,
            fleets,
            history: String::new(),
            killed: 0,
            usual: Duration::from_millis(300),
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!(
            "MESHVM_KILL_SEED={} after {} kills: {what}\n{}",
            self.seed, self.killed, self.history
        );
    }

    fn note(&mut self, line: impl AsRef<str>) {
        self.history.push_str(line.as_ref());
        self.history.push('\n');
    }

    /// Runs a command and kills it, unless it is quicker.
    fn kill_once(&mut self, command: &str) {
        let longest = u64::try_from(self.usual.as_micros()).unwrap() * 5 / 4;
        let after = Duration::from_micros(self.draw.below(longest.max(1)));
        let mut child = self
            .sandbox
            .command(&[command, "-y", "--format", "json"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        std::thread::sleep(after.saturating_sub(begun.elapsed()));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        match status.code() {
            None => {
                self.killed += 1;
                self.note(format!("{command} killed after {after:?}"));
            }
            Some(code) => self.note(format!("{command} ended with {code} before {after:?}")),
        }
    }

    fn change(&mut self) {
        self.fleets = draw_fleets(&mut self.draw);
        self.sandbox.write("meshvm.yaml", &fleet_file(&self.fleets));
        self.note(format!("now {:?}", self.fleets));
    }

    /// Lets one run end, after which everything must be as the file says.
    fn settle(&mut self) {
        let begun = Instant::now();
        let ran = self.sandbox.meshvm("apply -y");
        self.usual = begun
            .elapsed()
            .clamp(Duration::from_millis(40), Duration::from_secs(2));
        self.note(format!("settled in {:?}:\n{}", self.usual, ran.all()));
        if ran.code != Some(0) {
            self.fail("the undisturbed apply failed");
        }
        let wrong = wrong(&self.sandbox, &self.fleets);
        if !wrong.is_empty() {
            self.fail(&wrong);
        }
        let plan = self.sandbox.meshvm("plan --detailed-exitcode");
        if plan.code != Some(0) {
            self.note(self.remembered());
            self.fail(&plan.all());
        }
    }

    /// Returns what the ledger remembers, and what the cloud says of each machine now.
    fn remembered(&self) -> String {
        let mut text = String::new();
        for (name, bytes) in self.sandbox.files() {
            if name.starts_with(".meshvm/shop/runs/") && !name.ends_with("plan") {
                let journal = String::from_utf8_lossy(&bytes).into_owned();
                text.push_str(&format!("{name}: {journal}\n"));
            }
        }
        for machine in self.sandbox.cloud().machines().unwrap() {
            text.push_str(&format!("{machine:?}\n"));
        }
        text
    }

    /// Destroys, killed a few times, after which nothing may be left.
    fn destroy(&mut self) {
        for _ in 0..3 {
            self.kill_once("destroy");
        }
        let ran = self.sandbox.meshvm("destroy -y");
        self.note(ran.all());
        let wrong = wrong(&self.sandbox, &Fleets::new());
        if ran.code != Some(0) || !wrong.is_empty() {
            self.fail(&format!("destroyed: {wrong}"));
        }
    }

    /// Lets one run do something, which takes along all that killed ones left in the ledger.
    fn clear(&mut self) {
        self.fleets = Fleets::from([("web", Wanted::draw(&mut self.draw))]);
        self.sandbox.write("meshvm.yaml", &fleet_file(&self.fleets));
        self.settle();
        self.fleets.entry("web").and_modify(|web| web.replicas += 1);
        self.sandbox.write("meshvm.yaml", &fleet_file(&self.fleets));
        self.settle();
        let mut left = self.sandbox.files().into_keys().collect::<Vec<_>>();
        // What the store had half-written has a name that it never lists.
        left.retain(|name| name.starts_with(".meshvm/shop/") && !name.contains('#'));
        let runs: BTreeSet<&str> = left
            .iter()
            .filter_map(|name| name.strip_prefix(".meshvm/shop/runs/")?.split('/').next())
            .collect();
        if runs.len() > 1 {
            self.fail(&format!("old runs pile up: {left:#?}"));
        }
    }
}

fn series(seed: u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let seed = match number("MESHVM_KILL_SEED") {
        None => seed,
        Some(asked) if asked == seed || seed == 1 => asked,
        Some(_) => return,
    };
    let kills = number("MESHVM_KILLS").map_or(KILLS, |kills| u32::try_from(kills).unwrap());
    let mut series = Series::new(seed);
    series.settle();
    while series.killed < kills {
        if series.draw.below(3) == 0 {
            series.change();
        }
        series.kill_once("apply");
        if series.draw.below(6) == 0 {
            series.settle();
        }
    }
    series.settle();
    series.clear();
    series.destroy();
}

#[test]
fn killed_first_series() {
    series(1);
}

#[test]
fn killed_second_series() {
    series(2);
}

#[test]
fn killed_third_series() {
    series(3);
}

#[test]
fn killed_fourth_series() {
    series(4);
}
