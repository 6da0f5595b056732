//! Machines that others made are taken over, and let go again.

use std::collections::BTreeMap;

use meshvm_gce::Manners;
use serde_json::{Value, json};

use super::ground::{Ground, PROJECT, member};
use crate::support::cloud::Cloud;

/// Makes a machine as somebody else does; returns its id.
fn others(ground: &Ground, name: &str) -> String {
    let zone = "europe-west1-c";
    let image = "projects/debian-cloud/global/images/family/debian-12";
    let body = json!({
        "name": name,
        "machineType": format!("zones/{zone}/machineTypes/e2-small"),
        "disks": [{"boot": true, "autoDelete": true, "initializeParams": {"sourceImage": image}}],
        "networkInterfaces": [{"network": "global/networks/default"}],
        "shieldedInstanceConfig": {
            "enableSecureBoot": true, "enableVtpm": true, "enableIntegrityMonitoring": true,
        },
        "labels": {"billed-by": "finance"},
    });
    let path = format!("/compute/v1/projects/{PROJECT}/zones/{zone}/instances");
    let made = ground.gce.ask("POST", &path, Some(&body));
    made["targetId"].as_str().unwrap().to_owned()
}

fn own(machine: &Value) -> Vec<&String> {
    let labels = machine["labels"].as_object().unwrap().keys();
    let items = machine["metadata"]["items"].as_array();
    let items = items.into_iter().flatten();
    assert!(
        items.into_iter().all(|item| item["key"] != "meshvm-named"),
        "{machine}"
    );
    labels.filter(|key| key.starts_with("meshvm-")).collect()
}

#[test]
fn a_machine_that_others_made_is_adopted_as_it_is_and_changed_as_the_file_says() {
    let ground = Ground::new(Manners::default());
    let id = others(&ground, "db-1");
    let block = json!({"labels": {"team": "a"}});
    ground.write(&BTreeMap::from([("web", member("web", 1, &block))]));

    let plan = ground.meshvm(&format!("plan --adopt web={id}")).exits(0);
    assert!(plan.stdout.contains("adopt"), "{}", plan.stdout);
    assert!(plan.stdout.contains("label.team"), "{}", plan.stdout);
    let seen = &ground.machines()[0]["labels"];
    assert_eq!(
        *seen,
        json!({"billed-by": "finance"}),
        "a plan changes nothing"
    );
    let adopt = format!("apply -y --adopt web={id}");
    ground.meshvm(&adopt).exits(0);
    let found = ground.machines();
    assert_eq!(found.len(), 1, "it is the fleet's only machine: {found:?}");
    let labels = &found[0]["labels"];
    assert_eq!(found[0]["name"], "db-1");
    assert_eq!(labels["team"], "a");
    assert_eq!(labels["billed-by"], "finance", "a label of others stays");
    assert_eq!(labels["meshvm-fleet"], "web");
    ground.meshvm("plan --detailed-exitcode").exits(0);

    ground.write(&BTreeMap::new());
    let forget = format!("apply -y --forget {id}");
    ground.meshvm(&forget).exits(0);
    let found = ground.machines();
    assert_eq!(found.len(), 1, "it was let go, not ended");
    assert_eq!(own(&found[0]), [""; 0]);
}

#[test]
fn machines_are_adopted_by_a_label_that_they_share() {
    let ground = Ground::new(Manners::default());
    for name in ["db-1", "db-2"] {
        others(&ground, name);
    }
    let block = json!({"zones": ["europe-west1-c"]});
    ground.write(&BTreeMap::from([("web", member("web", 2, &block))]));
    ground
        .meshvm("apply -y --adopt web=tag:billed-by=fin*")
        .exits(0);
    let found = ground.machines();
    assert_eq!(found.len(), 2, "{found:?}");
    for machine in &found {
        assert_eq!(machine["labels"]["meshvm-fleet"], "web", "{machine}");
    }
    ground.meshvm("plan --detailed-exitcode").exits(0);
}
