//! Whatever happens to a stack, in whatever order, it stays valid and ends as it should.
//!
//! Random scripts of edits, applies, crashes, faults and meddling by hand run
//! against one world. After every line the world is valid; whenever an apply
//! says that it did all, there is exactly what was asked for; and once the cloud
//! behaves again, one apply ends it, and the next plan is empty.
//!
//! A failure prints its script, made as short as possible. `PROPTEST_CASES` and
//! `PROPTEST_RNG_SEED` ask for more scripts, and for others.

mod ops;

use std::collections::BTreeMap;
use std::fmt::Write;

use meshvm::apply::{Alive, Fate, Outcome, RunError, Stop};
use meshvm::desired::Desired;
use meshvm::engine::EngineError;
use meshvm::plan::Options;
use meshvm_provider_api::{Labels, Machine, MachineId, labels};
use meshvm_provider_sim::{
    Call, FailBootstrap, FaultPlan, Probability, Span, SpontaneousDeath, Throttle,
};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use serde_json::json;

use crate::support::stack::{AsksToStop, DiesAfter, File, Fleet, How, STACK, World, outsider};
use ops::{Apply, Asked, Edit, End, FLEETS, Faults, Op, Touch};

/// More calls than any listing is late.
const LATEST: u64 = 30;

/// More calls than any machine lives that dies by itself.
const DEATH: u64 = 10_000;

#[test]
fn any_script_leaves_a_valid_stack_and_ends_as_asked() {
    let default = Config::default();
    let mut runner = TestRunner::new(Config {
        cases: if default.cases == 256 {
            400
        } else {
            default.cases
        },
        rng_seed: match default.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            seed @ RngSeed::Fixed(_) => seed,
        },
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..default
    });
    let result = runner.run(&ops::script(), |script| {
        Play::new().all(&script).map_err(TestCaseError::fail)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// A script that is being played.
struct Play {
    world: World,
    file: File,
    away: BTreeMap<&'static str, Fleet>,
    faults: Faults,
    outsiders: Vec<MachineId>,
    /// The most machines that each fleet was asked to have since the last complete apply.
    asked: BTreeMap<&'static str, usize>,
    /// Whether a listing may show what was changed by hand as it was before.
    is_meddled: bool,
    /// Whether a listing may miss what nobody remembers.
    is_forgotten: bool,
    /// Whether machines may fail by themselves, or steps in spite of retries.
    is_rough: bool,
    /// Whether nothing but the file tells where to look.
    is_scopeless: bool,
}

impl Play {
    fn new() -> Self {
        let far = Fleet {
            region: "sim-2",
            ..Fleet::of(1).zones(&["a", "b"])
        };
        let web = Fleet::of(3).zones(&["a", "b"]).rollout(1, 1);
        let world = World::new(FaultPlan::default());
        world.ignore_released();
        Self {
            world,
            file: File::of([("db", Fleet::of(1)), ("far", far), ("web", web)]),
            away: BTreeMap::new(),
            faults: Faults::default(),
            outsiders: Vec::new(),
            asked: BTreeMap::new(),
            is_meddled: false,
            is_forgotten: false,
            is_rough: false,
            is_scopeless: false,
        }
    }

    fn all(mut self, script: &[Op]) -> Result<(), String> {
        let mut told = String::new();
        for (number, op) in (1..).zip(script) {
            writeln!(told, "{number:>3}. {op}").unwrap();
            self.world.say(format!("{number}. {op}"));
            let result = self.one(op).and_then(|()| self.world.valid());
            result.map_err(|problem| self.failure(&told, &problem))?;
        }
        self.end().map_err(|problem| {
            self.failure(
                &told,
                &format!("and then, when the cloud behaves: {problem}"),
            )
        })
    }

    fn failure(&self, told: &str, problem: &str) -> String {
        format!(
            "\n{told}{problem}\n\nThe file is then\n{}\n{}",
            self.file,
            self.world.story()
        )
    }

    /// Lets the cloud behave and everything catch up: then one apply is enough.
    fn end(&mut self) -> Result<(), String> {
        self.file.0.append(&mut self.away);
        self.world.cloud.set_faults(FaultPlan::default());
        self.world.cloud.tick(DEATH).unwrap();
        self.world.guard.limit(BTreeMap::new());
        let desired = self.file.desired();
        match self
            .world
            .apply(&desired, &Options::default(), How::default())
        {
            Ok(outcome) if outcome.is_complete() => self.world.settled(&desired),
            other => Err(format!("{other:?}")),
        }
    }

    fn one(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::File(fleet, edit) => self.edit(FLEETS[*fleet], edit),
            Op::Toggle(_) if self.is_scopeless => {}
            Op::Toggle(fleet) => {
                let fleet = FLEETS[*fleet];
                match (self.file.0.remove(fleet), self.away.remove(fleet)) {
                    (Some(leaves), _) => self.away.insert(fleet, leaves),
                    (None, Some(is_back)) => self.file.0.insert(fleet, is_back),
                    (None, None) => None,
                };
            }
            Op::Apply(apply) => return self.apply(apply),
            Op::Plan => return self.look(),
            Op::Kill(machine, death) => {
                if let Some(machine) = self.machine(*machine) {
                    let kill =
                        |cloud: &meshvm_provider_sim::SimCloud| cloud.kill(&machine.id, *death);
                    self.world.reach(kill).unwrap();
                    self.is_meddled |= self.faults.lag > 0;
                }
            }
            Op::Tamper(machine, touch) => self.tamper(*machine, *touch),
            Op::Outsider => {
                let number = self.outsiders.len() + 10;
                let name = format!("outsider-{number}");
                let number = u8::try_from(number).unwrap();
                self.world
                    .add_foreign(outsider(&name, number, Labels::new()));
                self.outsiders.push(MachineId(name));
            }
            Op::Faults(faults) => {
                // A listing does not forget what it showed already, and machines that
                // were to die when they were made die now.
                self.catch_up();
                self.world.cloud.tick(DEATH).unwrap();
                self.is_rough |= faults.is_rough();
                self.faults = *faults;
                self.world.cloud.set_faults(faults.plan());
            }
            Op::LoseLedger => {
                self.file.0.append(&mut self.away);
                self.is_scopeless = true;
                self.world.lose_ledger();
                self.is_forgotten |= self.faults.lag > 0;
            }
            Op::CatchUp => self.catch_up(),
            Op::Day => {
                self.world.wait(24 * 60 * 60);
                self.catch_up();
            }
        }
        Ok(())
    }

    fn edit(&mut self, name: &'static str, edit: &Edit) {
        let Some(fleet) = self.file.0.get_mut(name) else {
            return;
        };
        let which =
            |new: bool, first: &str, other: &str| (if new { other } else { first }).to_owned();
        match edit {
            Edit::Replicas(replicas) => fleet.replicas = *replicas,
            Edit::Zones(zones) => fleet.zones = zones.to_vec(),
            Edit::Image(new) => fleet.image = which(*new, "debian-12", "debian-13"),
            Edit::Size(new) => fleet.size = which(*new, "small", "large"),
            Edit::Tag(new) => *fleet = fleet.clone().tag(&which(*new, "red", "blue")),
            Edit::Label(new) => *fleet = fleet.clone().label(&which(*new, "gold", "iron")),
            Edit::Rollout(surge, down) => (fleet.surge, fleet.unavailable) = (*surge, *down),
            Edit::Role => fleet.role = fleet.role.next(),
        }
    }

    fn catch_up(&mut self) {
        self.world.cloud.tick(LATEST).unwrap();
        self.is_meddled = false;
        self.is_forgotten = false;
    }

    fn tamper(&mut self, machine: usize, touch: Touch) {
        let Some(machine) = self.machine(machine) else {
            return;
        };
        let id = &machine.id;
        self.world
            .reach(|cloud| match touch {
                Touch::Image => cloud.edit(id, "image", json!("of-somebody")),
                Touch::Size => cloud.edit(id, "size", json!("of-somebody")),
                Touch::Tag => cloud.edit(id, "tags.team", json!("somebody's")),
                Touch::Label => cloud.relabel(id, "tier", Some("somebodys")),
            })
            .unwrap();
        self.is_meddled |= self.faults.lag > 0;
    }

    /// Returns the machine with a number, taken round all that the stack has.
    fn machine(&self, number: usize) -> Option<Machine> {
        let mut all = self.world.cloud.machines().unwrap();
        all.retain(|machine| {
            machine
                .labels
                .get(labels::STACK)
                .is_some_and(|s| s == STACK)
        });
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let index = number.checked_rem(all.len())?;
        Some(all.swap_remove(index))
    }

    /// Plans, which changes nothing.
    fn look(&self) -> Result<(), String> {
        let changes = || {
            let mut calls = self.world.cloud.calls().unwrap();
            calls.remove(&Call::List);
            calls
        };
        let before = changes();
        let plan = self.world.plan(&self.file.desired());
        if changes() != before {
            return Err("a plan changed something".to_owned());
        }
        match plan {
            Err(error) if !self.is_rough => Err(format!("no plan: {error:?}")),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn apply(&mut self, apply: &Apply) -> Result<(), String> {
        let desired = self.file.desired();
        let options = self.options(&apply.asked);
        self.limit();
        let stop = Stop::default();
        let dies;
        let asks;
        let fate: &dyn Fate = match apply.end {
            End::Itself => &Alive,
            End::Dies(places) => {
                dies = DiesAfter::places(places);
                &dies
            }
            End::Stops(places) => {
                asks = AsksToStop::after(places, 1, &stop);
                &asks
            }
            End::StopsAtOnce(places) => {
                asks = AsksToStop::after(places, 2, &stop);
                &asks
            }
        };
        let how = How {
            parallelism: apply.parallelism,
            fate,
            stop: Some(&stop),
        };
        let result = self.world.apply(&desired, &options, how);
        self.judge(apply, &desired, result, stop.is_asked())
    }

    /// Checks how an apply ended, and what there is if it says that it did all.
    fn judge(
        &mut self,
        apply: &Apply,
        desired: &Desired,
        result: Result<Outcome, EngineError>,
        was_stopped: bool,
    ) -> Result<(), String> {
        if let Ok(_) | Err(EngineError::Apply(_)) = result {
            self.is_scopeless = false;
        }
        match result {
            Ok(outcome) if outcome.is_complete() => {
                let mut end = desired.clone();
                match apply.asked {
                    // What else there is was not looked at.
                    Asked::Target(_) => return Ok(()),
                    Asked::Destroy => end.fleets.clear(),
                    Asked::Nothing | Asked::Replace(_) | Asked::Forget(_) | Asked::Adopt => {}
                }
                self.asked.clear();
                if self.is_meddled || self.is_forgotten || self.faults.dying {
                    return Ok(());
                }
                if let Asked::Destroy = apply.asked {
                    return self.world.exact(&end);
                }
                self.world.settled(&end)
            }
            Err(EngineError::Apply(RunError::Died | RunError::Stopped { .. })) => Ok(()),
            // What was named may be gone, or not fit.
            Err(EngineError::Plan(_)) if !matches!(apply.asked, Asked::Nothing) => Ok(()),
            Ok(_) if was_stopped || self.is_rough || self.is_meddled || self.is_forgotten => Ok(()),
            Err(EngineError::Settle(_) | EngineError::Observe(_)) if self.is_rough => Ok(()),
            other => Err(format!("an apply ended so, without a reason: {other:?}")),
        }
    }

    fn options(&mut self, asked: &Asked) -> Options {
        let mut options = Options::default();
        match asked {
            Asked::Nothing => {}
            Asked::Target(fleet) => {
                options.targets.insert(FLEETS[*fleet].to_owned());
            }
            Asked::Replace(machine) => {
                options
                    .replace
                    .extend(self.machine(*machine).map(|m| m.name));
            }
            Asked::Forget(machine) => {
                options
                    .forget
                    .extend(self.machine(*machine).map(|m| m.name));
            }
            Asked::Adopt => {
                if let Some(id) = self.outsiders.last() {
                    self.world.may_adopt(id);
                    options.adopt.insert(id.clone(), "web".to_owned());
                }
            }
            Asked::Destroy => options.destroy = true,
        }
        options
    }

    /// No fleet ever gets more machines than it was asked to have, and may surge by.
    fn limit(&mut self) {
        for (name, fleet) in &self.file.0 {
            let most = (fleet.replicas + fleet.surge) as usize;
            let before = self.asked.entry(name).or_default();
            *before = most.max(*before);
        }
        let limits = FLEETS.into_iter().map(|name| {
            let has = self.world.machines(name).len();
            let most = self.asked.get(name).copied().unwrap_or(0).max(has);
            (name.to_owned(), most)
        });
        let limits = limits.collect();
        self.world.guard.limit(if self.is_forgotten {
            BTreeMap::new()
        } else {
            limits
        });
    }
}

impl Faults {
    fn plan(self) -> FaultPlan {
        let lag = Span {
            min: 0,
            max: self.lag,
        };
        FaultPlan {
            seed: self.lag,
            list_lag: lag,
            by_id_lag: lag,
            start_after: Span { min: 0, max: 2 },
            ready_after: Span { min: 0, max: 4 },
            quota: self.quota,
            throttle: Throttle {
                every: 0,
                probability: Probability::percent(self.throttled),
            },
            unavailable: Probability::percent(self.unavailable),
            lost_reply: Probability::percent(self.lost_replies),
            fail_bootstrap: FailBootstrap {
                probability: Probability::percent(self.failing),
                names: Vec::new(),
            },
            death: SpontaneousDeath {
                probability: Probability::percent(u8::from(self.dying)),
                how: Vec::new(),
            },
            ..FaultPlan::default()
        }
    }

    fn is_rough(self) -> bool {
        let Self {
            lag: _,
            throttled,
            unavailable,
            lost_replies,
            failing,
            quota,
            dying,
        } = self;
        throttled + unavailable + lost_replies + failing > 0 || quota.is_some() || dying
    }
}
