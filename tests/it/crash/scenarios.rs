//! What is asked for in the crash matrix.

use std::collections::BTreeMap;

use meshvm::desired::Desired;
use meshvm::plan::Options;
use meshvm_provider_api::{Labels, Machine};
use meshvm_provider_sim::{Death, FaultPlan};
use serde_json::json;

use crate::support::stack::{File, Fleet, How, Role, World, outsider};

/// The machine that scenarios adopt.
const LEGACY: &str = "legacy";

/// A start, and what is asked for then.
pub struct Scenario {
    pub name: &'static str,
    before: File,
    meddle: fn(&World),
    after: File,
    pub asked: Options,
    /// What the next apply asks for, after a crash.
    pub asked_again: Options,
}

impl Scenario {
    fn of(name: &'static str, before: File, after: File) -> Self {
        Self {
            name,
            before,
            meddle: |_| {},
            after,
            asked: Options::default(),
            asked_again: Options::default(),
        }
    }

    fn meddle(mut self, meddle: fn(&World)) -> Self {
        self.meddle = meddle;
        self
    }

    /// Asks for something on the command line, and for the same again after a crash.
    fn asking(mut self, options: Options) -> Self {
        self.asked = options.clone();
        self.asked_again = options;
        self
    }

    /// Asks for something on the command line once.
    fn asking_once(mut self, options: Options) -> Self {
        self.asked = options;
        self
    }

    /// Makes the world as it is before the run, and makes it behave badly from then on.
    pub fn world(&self, faults: FaultPlan) -> World {
        let world = World::new(FaultPlan::default());
        let desired = self.before.desired();
        let outcome = world.apply(&desired, &Options::default(), How::default());
        assert!(outcome.unwrap().is_complete());
        (self.meddle)(&world);
        // What was done so far is known to everybody by now.
        world.wait(2 * 60 * 60);
        world.cloud.tick(1000).unwrap();
        world.cloud.set_faults(faults);
        world.begin_story();
        world
    }

    pub fn desired(&self) -> Desired {
        self.after.desired()
    }

    /// Returns what there is in the end.
    pub fn end(&self) -> Desired {
        let mut desired = self.desired();
        if self.asked.destroy {
            desired.fleets.clear();
        }
        desired
    }
}

/// Returns all scenarios.
pub fn all() -> Vec<Scenario> {
    let db = ("db", Fleet::of(1).role(Role::Nothing));
    let web = Fleet::of(3).zones(&["a", "b"]);
    let start = File::of([("web", web.clone()), db.clone()]);
    let web_is = |fleet: Fleet| File::of([("web", fleet), db.clone()]);
    vec![
        Scenario::of(
            "first apply",
            File::default(),
            File::of([("web", web.clone()), ("db", Fleet::of(1))]),
        ),
        Scenario::of(
            "first apply of those entered early, and of others",
            File::default(),
            File::of([
                ("web", web.clone().role(Role::Probed)),
                ("db", Fleet::of(1).role(Role::External)),
            ]),
        ),
        Scenario::of(
            "replace those entered early",
            File::of([("web", web.clone().role(Role::Probed))]),
            File::of([("web", web.clone().role(Role::Probed).image("debian-13"))]),
        ),
        Scenario::of("scale up", start.clone(), web_is(web.clone().replicas(6))),
        Scenario::of(
            "scale down",
            web_is(web.clone().replicas(6)),
            web_is(web.clone().replicas(2)),
        ),
        Scenario::of(
            "replacement, surging",
            start.clone(),
            web_is(web.clone().image("debian-13")),
        ),
        Scenario::of(
            "replacement, a window",
            web_is(web.clone().replicas(4)),
            web_is(web.clone().replicas(4).image("debian-13").rollout(1, 2)),
        ),
        Scenario::of(
            "another zone",
            start.clone(),
            web_is(web.clone().zones(&["b", "c"])),
        ),
        Scenario::of(
            "change in place",
            start.clone(),
            web_is(web.clone().tag("blue").label("gold")),
        ),
        Scenario::of(
            "restart",
            start.clone(),
            web_is(web.clone().size("large").rollout(1, 1)),
        ),
        Scenario::of("stopped machine", start.clone(), start.clone())
            .meddle(|world| kill(world, &[Death::Stopped])),
        Scenario::of("drift in place", start.clone(), start.clone()).meddle(|world| {
            let id = &world.machines("web")[1].id;
            world
                .reach(|cloud| cloud.edit(id, "tags.team", json!("red")))
                .unwrap();
        }),
        Scenario::of(
            "everything broken, and more asked for",
            start.clone(),
            web_is(web.clone().replicas(4).tag("blue")),
        )
        .meddle(|world| kill(world, &[Death::Stopped, Death::Broken, Death::Gone])),
        Scenario::of(
            "fleet removed",
            start.clone(),
            File::of([("web", web.clone())]),
        ),
        Scenario::of("destroy", start.clone(), start.clone()).asking(Options {
            destroy: true,
            ..Options::default()
        }),
        Scenario::of("adopt", start.clone(), web_is(web.clone().replicas(4)))
            .meddle(add_legacy)
            .asking(adopt()),
        Scenario::of("adopt once", start.clone(), web_is(web.clone().replicas(4)))
            .meddle(add_legacy)
            .asking_once(adopt()),
        Scenario::of("forget", start.clone(), web_is(web.clone().replicas(2)))
            .meddle(may_forget)
            .asking(forget(&start)),
        Scenario::of(
            "forget once",
            start.clone(),
            web_is(web.clone().replicas(2)),
        )
        .meddle(may_forget)
        .asking_once(forget(&start)),
    ]
}

/// Lets so many machines of `web` end, each in its way.
fn kill(world: &World, deaths: &[Death]) {
    for (machine, death) in world.machines("web").iter().zip(deaths) {
        world
            .reach(|cloud| cloud.kill(&machine.id, *death))
            .unwrap();
    }
}

fn add_legacy(world: &World) {
    let mut legacy: Machine = outsider(LEGACY, 77, Labels::new());
    legacy
        .attributes
        .insert("tags.team".to_owned(), json!("red"));
    world.add_foreign(legacy.clone());
    world.may_adopt(&legacy.id);
}

fn adopt() -> Options {
    Options {
        adopt: BTreeMap::from([(LEGACY.into(), "web".to_owned())]),
        ..Options::default()
    }
}

fn may_forget(world: &World) {
    world.may_let_go("web", &world.machines("web")[0]);
}

/// Lets the first machine of `web` go: worlds are the same, so it has the same name in all.
fn forget(start: &File) -> Options {
    let world = World::new(FaultPlan::default());
    let applied = world.apply(&start.desired(), &Options::default(), How::default());
    assert!(applied.unwrap().is_complete());
    Options {
        forget: [world.machines("web")[0].name.clone()].into(),
        ..Options::default()
    }
}
