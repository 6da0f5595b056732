//! The life of a stack: made, looked at, drifted, changed, destroyed; and what each costs.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_arm::{Manners, Refusal};
use serde_json::{Value, json};

use super::ground::{Ground, member};
use crate::support::cloud::Cloud;

fn total(calls: &BTreeMap<String, u64>) -> u64 {
    calls.values().sum()
}

#[test]
fn a_stack_is_made_looked_at_repaired_changed_and_destroyed() {
    let ground = Ground::new(Manners::default());
    let fleet = |tag: &str| {
        let block = json!({"zones": ["1", "2", "3"], "tags": {"team": tag}});
        BTreeMap::from([("web", member("web", 12, &block))])
    };
    ground.write(&fleet("a"));

    ground.meshvm("apply -y").exits(0);
    let made = ground.calls();
    assert_eq!(made["VirtualMachines.create_or_update"], 12, "{made:?}");
    let machines = ground.machines();
    assert_eq!(machines.len(), 12);
    let mut zones: BTreeMap<Option<String>, u32> = BTreeMap::new();
    for machine in &machines {
        *zones.entry(machine.zone.clone()).or_default() += 1;
        assert_eq!(machine.tags["meshvm-stack"], "shop");
        let entry = format!("mesh/vm/workloadentry-{}.yaml", machine.name);
        let entry = ground.sandbox.read(&entry);
        assert!(entry.contains(&machine.address), "{entry}");
        let zone = machine.zone.as_deref().unwrap();
        let locality = format!("westeurope/westeurope-{zone}");
        assert!(entry.contains(&locality), "{entry}");
    }
    assert_eq!(zones.values().copied().collect::<Vec<_>>(), [4, 4, 4]);

    ground.meshvm("plan --detailed-exitcode").exits(0);
    let looked = ground.calls();
    assert!(total(&looked) <= 6, "{looked:?}");

    ground.arm.end(&machines[7].name);
    let drifted = ground.meshvm("plan --detailed-exitcode").exits(2);
    assert!(drifted.stdout.contains("web"), "{}", drifted.all());
    ground.calls();
    ground.meshvm("apply -y").exits(0);
    let repaired = ground.calls();
    assert_eq!(
        repaired["VirtualMachines.create_or_update"], 1,
        "{repaired:?}"
    );
    assert_eq!(ground.machines().len(), 12);

    ground.write(&fleet("b"));
    ground.meshvm("apply -y").exits(0);
    let changed = ground.calls();
    assert!(
        !changed.contains_key("VirtualMachines.create_or_update"),
        "{changed:?}"
    );
    assert_eq!(changed["VirtualMachines.update"], 12, "{changed:?}");
    let teams: BTreeSet<String> = ground
        .machines()
        .into_iter()
        .map(|machine| machine.tags["team"].clone())
        .collect();
    assert_eq!(teams, BTreeSet::from(["b".to_owned()]));
    ground.meshvm("plan --detailed-exitcode").exits(0);
    ground.calls();

    ground.meshvm("destroy -y").exits(0);
    let destroyed = ground.calls();
    assert_eq!(destroyed["VirtualMachines.delete"], 12, "{destroyed:?}");
    assert_eq!(ground.arm.parts(), [""; 0]);
    println!(
        "made {made:?}\nlooked {looked:?}\nrepaired {repaired:?}\nchanged {changed:?}\ndestroyed {destroyed:?}"
    );
}

#[test]
fn another_size_restarts_and_another_image_replaces() {
    let ground = Ground::new(Manners::default());
    let write = |block: Value| {
        let mut fleet = member("web", 2, &block);
        fleet["rollout"] = json!({"maxSurge": 1, "maxUnavailable": 1});
        ground.write(&BTreeMap::from([("web", fleet)]));
        ground.meshvm("apply -y").exits(0);
        ground.meshvm("plan --detailed-exitcode").exits(0);
        ground.machines()
    };
    let names = |found: &[meshvm_arm::Machine]| {
        let names = found.iter().map(|machine| machine.name.clone());
        names.collect::<BTreeSet<_>>()
    };
    let first = write(json!({}));
    let larger = write(json!({"vmSize": "Standard_D4s_v5"}));
    assert_eq!(names(&larger), names(&first), "the same machines");
    assert!(
        larger
            .iter()
            .all(|machine| machine.size == "Standard_D4s_v5")
    );
    assert!(
        larger
            .iter()
            .all(|machine| machine.power == Some("running"))
    );
    let image = json!({"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "0.20260909.9"});
    let other = write(json!({"vmSize": "Standard_D4s_v5", "image": image}));
    assert_eq!(other.len(), 2);
    assert!(names(&other).is_disjoint(&names(&first)), "other machines");
    assert!(
        other
            .iter()
            .all(|machine| machine.version == "0.20260909.9")
    );
}

#[test]
fn a_plan_shows_the_version_and_a_saved_one_keeps_it() {
    let ground = Ground::new(Manners::default());
    ground.write(&BTreeMap::from([("web", member("web", 1, &json!({})))]));
    let planned = ground.meshvm("plan --out saved.json").exits(0);
    assert!(
        planned.stdout.contains("0.20261010.10"),
        "{}",
        planned.stdout
    );
    ground.calls();
    ground.meshvm("apply -y saved.json").exits(0);
    let calls = ground.calls();
    assert!(
        !calls.contains_key("VirtualMachineImages.list"),
        "it was looked up: {calls:?}"
    );
    assert_eq!(ground.machines().len(), 1);
}

#[test]
fn a_group_that_is_the_stacks_comes_and_goes_with_it() {
    let ground = Ground::new(Manners::default());
    let subnet = format!(
        "/subscriptions/{}/resourceGroups/shop/providers/Microsoft.Network/virtualNetworks/net/subnets/default",
        meshvm_arm::SUBSCRIPTION
    );
    let block = json!({"resourceGroup": "own", "createResourceGroup": true, "subnet": subnet});
    ground.write(&BTreeMap::from([("web", member("web", 2, &block))]));
    ground.meshvm("plan --detailed-exitcode").exits(2);
    assert!(!ground.arm.has_group("own"), "a plan changes nothing");
    ground.meshvm("apply -y").exits(0);
    assert!(ground.arm.has_group("own"));
    assert_eq!(ground.machines().len(), 2);
    ground.meshvm("plan --detailed-exitcode").exits(0);
    ground.meshvm("destroy -y").exits(0);
    assert!(!ground.arm.has_group("own"));
    assert!(ground.arm.has_group("shop"), "that of others stays");
    // Also where its machines went by themselves, and its fleet before the stack.
    ground.meshvm("apply -y").exits(0);
    for machine in ground.machines() {
        ground.arm.end_in("own", &machine.name);
    }
    let db = BTreeMap::from([("db", member("db", 1, &json!({})))]);
    ground.write(&db);
    ground.meshvm("apply -y").exits(0);
    assert!(!ground.arm.has_group("own"));
    // And where nothing came of its machines.
    let mut both = db.clone();
    both.insert("web", member("web", 2, &block));
    ground.write(&both);
    for _ in 0..4 {
        let refusal = Refusal::new(
            "VirtualMachines.create_or_update",
            409,
            "OperationNotAllowed",
            "Exceeding approved standardDSv5Family Cores quota.",
        );
        ground.arm.behave(|now| now.refusals.push(refusal));
    }
    ground.meshvm("apply -y").exits(1);
    assert!(ground.arm.has_group("own"));
    ground.write(&db);
    let planned = ground.meshvm("plan --detailed-exitcode").exits(2).stdout;
    let told = "- delete what is left of fleet web in azure:westeurope/own/";
    assert!(planned.contains(told), "{planned}");
    let ran = ground.meshvm("apply -y").exits(0);
    assert!(
        ran.stderr.contains("clear up after fleet web"),
        "{}",
        ran.all()
    );
    assert!(!ground.arm.has_group("own"));
    ground.meshvm("plan --detailed-exitcode").exits(0);
    ground.meshvm("destroy -y").exits(0);
    let nothing = ground.meshvm("destroy -y").exits(0).stdout;
    assert!(nothing.starts_with("Nothing to destroy"), "{nothing}");
}

#[test]
fn the_doctor_names_the_identity_and_prints_the_role() {
    let ground = Ground::new(Manners::default());
    ground.write(&BTreeMap::from([("web", member("web", 1, &json!({})))]));
    let told = ground.meshvm("doctor --format json");
    let checks = told.json()["checks"].as_array().unwrap().clone();
    let mut checks = checks.iter();
    let identity = checks.find(|check| check["name"] == "identity").unwrap();
    assert_eq!(identity["ok"], json!(true), "{identity}");
    let detail = identity["detail"].as_str().unwrap();
    assert!(detail.contains("meshvm-tests"), "{detail}");

    let role = ground.meshvm("doctor --iam azure").exits(0).json();
    let allowed = role["Actions"].to_string();
    assert!(
        allowed.contains("Microsoft.Compute/virtualMachines/write"),
        "{allowed}"
    );
}
