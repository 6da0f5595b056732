//! The life of a stack: made, looked at, drifted, changed, destroyed; and what each costs.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_gce::Manners;
use serde_json::{Value, json};

use super::ground::{Ground, NEW, OLD, REGION, member};
use crate::support::cloud::Cloud;

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn last(link: &Value) -> &str {
    text(link).rsplit('/').next().unwrap()
}

fn names(machines: &[Value]) -> BTreeSet<String> {
    let names = machines.iter().map(|it| text(&it["name"]).to_owned());
    names.collect()
}

#[test]
fn a_stack_is_made_looked_at_repaired_changed_and_destroyed() {
    let ground = Ground::new(Manners::default());
    let fleet = |team: &str| {
        let block = json!({"labels": {"team": team}});
        BTreeMap::from([("web", member("web", 12, &block))])
    };
    ground.write(&fleet("a"));

    ground.meshvm("apply -y").exits(0);
    let made = ground.calls();
    assert_eq!(
        made["instances.bulkInsert"], 3,
        "one in each zone: {made:?}"
    );
    let machines = ground.machines();
    assert_eq!(machines.len(), 12);
    let mut zones: BTreeMap<&str, u32> = BTreeMap::new();
    for machine in &machines {
        let zone = last(&machine["zone"]);
        *zones.entry(zone).or_default() += 1;
        assert_eq!(machine["labels"]["meshvm-stack"], "shop");
        let entry = format!("mesh/vm/workloadentry-{}.yaml", text(&machine["name"]));
        let entry = ground.sandbox.read(&entry);
        let address = text(&machine["networkInterfaces"][0]["networkIP"]);
        assert!(entry.contains(address), "{entry}");
        let locality = format!("{REGION}/{zone}");
        assert!(entry.contains(&locality), "{entry}");
    }
    assert_eq!(zones.values().copied().collect::<Vec<_>>(), [4, 4, 4]);

    ground.meshvm("plan --detailed-exitcode").exits(0);
    let looked = ground.calls();
    let expected = [
        "images.getFromFamily",
        "instances.aggregatedList",
        "regions.get",
    ];
    assert_eq!(looked.keys().collect::<Vec<_>>(), expected, "{looked:?}");
    assert_eq!(looked.values().sum::<u64>(), 3, "{looked:?}");

    ground.others("DELETE", &machines[7], "");
    let drifted = ground.meshvm("plan --detailed-exitcode").exits(2);
    assert!(drifted.stdout.contains("web"), "{}", drifted.all());
    ground.calls();
    ground.meshvm("apply -y").exits(0);
    let repaired = ground.calls();
    assert_eq!(repaired["instances.bulkInsert"], 1, "{repaired:?}");
    assert_eq!(ground.machines().len(), 12);

    ground.write(&fleet("b"));
    ground.meshvm("apply -y").exits(0);
    let changed = ground.calls();
    assert!(!changed.contains_key("instances.bulkInsert"), "{changed:?}");
    assert!(!changed.contains_key("instances.stop"), "{changed:?}");
    let machines = ground.machines();
    assert!(
        machines.iter().all(|it| it["labels"]["team"] == "b"),
        "{machines:?}"
    );
    ground.meshvm("plan --detailed-exitcode").exits(0);
    ground.calls();

    ground.meshvm("destroy -y").exits(0);
    let destroyed = ground.calls();
    assert_eq!(destroyed["instances.delete"], 12, "{destroyed:?}");
    assert_eq!(ground.machines(), [Value::Null; 0]);
    println!(
        "made {made:?}\nlooked {looked:?}\nrepaired {repaired:?}\nchanged {changed:?}\ndestroyed {destroyed:?}"
    );
}

#[test]
fn another_type_restarts_and_another_image_replaces() {
    let ground = Ground::new(Manners::default());
    let write = |block: Value| {
        let mut fleet = member("web", 2, &block);
        fleet["rollout"] = json!({"maxSurge": 1, "maxUnavailable": 1});
        ground.write(&BTreeMap::from([("web", fleet)]));
        ground.meshvm("apply -y").exits(0);
        ground.meshvm("plan --detailed-exitcode").exits(0);
        ground.machines()
    };
    let first = write(json!({}));
    let larger = write(json!({"machineType": "e2-medium"}));
    assert_eq!(names(&larger), names(&first), "the same machines");
    for machine in &larger {
        assert_eq!(last(&machine["machineType"]), "e2-medium");
        assert_eq!(machine["status"], "RUNNING");
    }
    let image = format!("projects/debian-cloud/global/images/{OLD}");
    let other = write(json!({"machineType": "e2-medium", "image": image}));
    assert_eq!(other.len(), 2);
    assert!(names(&other).is_disjoint(&names(&first)), "other machines");
    for disk in ground.gce.disks() {
        assert_eq!(last(&disk["sourceImage"]), OLD);
    }
}

#[test]
fn a_plan_shows_the_image_and_a_saved_one_keeps_it() {
    let ground = Ground::new(Manners::default());
    ground.write(&BTreeMap::from([("web", member("web", 1, &json!({})))]));
    let planned = ground.meshvm("plan --out saved.json").exits(0);
    assert!(planned.stdout.contains(NEW), "{}", planned.stdout);
    ground.calls();
    ground.meshvm("apply -y saved.json").exits(0);
    let calls = ground.calls();
    assert!(
        !calls.contains_key("images.getFromFamily"),
        "it was looked up: {calls:?}"
    );
    assert_eq!(ground.machines().len(), 1);
}

#[test]
fn where_one_zone_is_full_the_next_stands_in_and_nothing_is_moved_back() {
    let ground = Ground::new(Manners::default());
    let zones = || -> String {
        let machines = ground.machines();
        let zone = |machine: &Value| machine["zone"].as_str().and_then(|it| it.chars().last());
        let mut zones: Vec<char> = machines.iter().filter_map(zone).collect();
        zones.sort_unstable();
        zones.into_iter().collect()
    };
    ground
        .gce
        .behave(|now| now.full = ["europe-west1-c".to_owned()].into());
    ground.write(&BTreeMap::from([("web", member("web", 6, &json!({})))]));
    ground.meshvm("apply -y").exits(0);
    assert_eq!(zones(), "bbdddd");
    // Neither while there is no room nor later: that would take machines from those who use them.
    ground.meshvm("plan --detailed-exitcode").exits(0);
    ground.gce.behave(|now| now.full.clear());
    ground.meshvm("plan --detailed-exitcode").exits(0);
    // What is replaced for another reason goes where it belongs.
    let machines = ground.machines();
    let stands_in = |machine: &&Value| machine["labels"]["meshvm-zone"].is_string();
    let name = machines.iter().find(stands_in).unwrap()["name"].as_str();
    let line = format!("apply -y --replace {}", name.unwrap());
    ground.meshvm(&line).exits(0);
    assert_eq!(zones(), "bbcddd");
    ground.meshvm("plan --detailed-exitcode").exits(0);

    // Where no zone has room, the run says so, and the next one makes the rest.
    let full = "bcd"
        .chars()
        .map(|zone| format!("europe-west1-{zone}"))
        .collect();
    ground.gce.behave(|now| now.full = full);
    ground.write(&BTreeMap::from([("web", member("web", 7, &json!({})))]));
    let ran = ground.meshvm("apply -y").exits(1);
    assert!(
        ran.stderr.contains("RESOURCE_POOL_EXHAUSTED"),
        "{}",
        ran.all()
    );
    ground.gce.behave(|now| now.full.clear());
    ground.meshvm("apply -y").exits(0);
    assert_eq!(ground.machines().len(), 7);
    ground.meshvm("plan --detailed-exitcode").exits(0);
}

#[test]
fn what_is_in_the_way_is_told_before_the_first_change() {
    let ground = Ground::new(Manners::default());
    ground.gce.behave(|now| {
        now.addresses = 2;
        now.limits = [("CPUS".to_owned(), 4)].into();
    });
    ground.write(&BTreeMap::from([("web", member("web", 3, &json!({})))]));
    let ran = ground.meshvm("apply -y").exits(1);
    for what in ["CPUS", "addresses left"] {
        assert!(ran.stderr.contains(what), "{}", ran.all());
    }
    assert_eq!(ground.machines(), [Value::Null; 0]);
    let calls = ground.calls();
    assert!(!calls.contains_key("instances.bulkInsert"), "{calls:?}");
}

#[test]
fn the_doctor_names_the_project_and_prints_the_role() {
    let ground = Ground::new(Manners::default());
    ground.write(&BTreeMap::from([("web", member("web", 1, &json!({})))]));
    let told = ground.meshvm("doctor --format json");
    let checks = told.json()["checks"].as_array().unwrap().clone();
    let mut checks = checks.iter();
    let identity = checks.find(|check| check["name"] == "identity").unwrap();
    assert_eq!(identity["ok"], json!(true), "{identity}");
    let detail = text(&identity["detail"]);
    assert!(detail.contains("acme-vms"), "{detail}");
    assert!(!told.stdout.contains("refresh"), "{}", told.stdout);

    let role = ground.meshvm("doctor --iam gcp").exits(0).json();
    let permissions = role["includedPermissions"].to_string();
    assert!(
        permissions.contains("compute.instances.create"),
        "{permissions}"
    );
}

#[test]
fn who_pays_and_who_asks_makes_no_other_machines() {
    let ground = Ground::new(Manners::default());
    let fleet = |block: &Value| BTreeMap::from([("web", member("web", 2, block))]);
    ground.write(&fleet(&json!({})));
    ground.meshvm("apply -y").exits(0);
    let before = names(&ground.machines());
    ground.write(&fleet(&json!({"quotaProject": "billing-1"})));
    ground.calls();
    let planned = ground.meshvm("plan").exits(0);
    assert_eq!(ground.calls()["instances.aggregatedList"], 1, "listed once");
    assert!(!planned.stdout.contains("- delete"), "{}", planned.all());
    ground.meshvm("apply -y").exits(0);
    ground.meshvm("plan --detailed-exitcode").exits(0);
    assert_eq!(names(&ground.machines()), before);
    // Out of the file, they are reached as they were last.
    let billed = ground.gce.billed().len();
    assert_eq!(billed, 1);
    ground.write(&BTreeMap::new());
    ground.meshvm("apply -y --override-budgets").exits(0);
    assert_eq!(ground.machines(), [Value::Null; 0]);
}

#[test]
fn what_the_cloud_would_not_delete_is_told_before_anything_is_touched() {
    let ground = Ground::new(Manners::default());
    let fleet = |change: &Value| BTreeMap::from([("web", member("web", 1, change))]);
    let protected = |is_on: bool, size: &str| {
        fleet(&json!({"deletionProtection": is_on, "bootDisk": {"size": size}}))
    };
    ground.write(&protected(true, "20GiB"));
    ground.meshvm("apply -y").exits(0);
    let before = names(&ground.machines());
    let entry = format!("mesh/vm/workloadentry-{}.yaml", before.first().unwrap());
    let refused = |line: &str| {
        ground.calls();
        let told = ground.meshvm(line).exits(3);
        let said = "the cloud refuses to delete web-";
        assert!(told.stderr.contains(said), "{}", told.all());
        assert!(!ground.calls().contains_key("instances.delete"));
        assert_eq!(names(&ground.machines()), before);
        assert!(ground.sandbox.read(&entry).contains("WorkloadEntry"));
    };
    refused("destroy -y");
    for is_on in [true, false] {
        ground.write(&protected(is_on, "40GiB"));
        refused("apply -y");
    }
    // As the hint says: that change alone, and then the other.
    ground.write(&protected(false, "20GiB"));
    ground.meshvm("apply -y").exits(0);
    assert_eq!(names(&ground.machines()), before);
    ground.write(&protected(false, "40GiB"));
    ground.meshvm("apply -y").exits(0);
    assert_ne!(names(&ground.machines()), before);
    ground.meshvm("destroy -y").exits(0);
    assert_eq!(ground.machines(), [Value::Null; 0]);
}
