//! A newer image is published: what that means is the file's to say.

use std::collections::BTreeMap;

use meshvm_ec2::{Manners, xml};
use serde_json::json;

use super::ground::{Ground, REGION, member};
use crate::support::cloud::Cloud;

/// Publishes an image; returns its id.
fn publish(ground: &Ground, name: &str) -> String {
    let call = [
        ("Action", "RegisterImage"),
        ("Version", "2016-11-15"),
        ("Name", name),
        ("Architecture", "x86_64"),
        ("RootDeviceName", "/dev/sda1"),
    ];
    let answer = ground.ask("ec2", REGION, &call);
    xml::texts(&answer, "imageId")[0].to_owned()
}

#[test]
fn a_newer_image_replaces_machines_where_the_file_wants_the_latest_and_nowhere_else() {
    let ground = Ground::new(Manners::default());
    let write = |policy: &str| {
        let image = json!({"owner": "self", "name": "web-*", "policy": policy});
        let block = json!({"image": image, "instanceType": "m5.large", "zones": ["eu-west-1a"]});
        ground.write(&BTreeMap::from([("web", member("web", 1, &block))]));
    };
    let old = publish(&ground, "web-1");
    publish(&ground, "other-1");
    write("pinned");
    ground.meshvm("apply -y").exits(0);
    let first = ground.instances();
    // The dates of images have whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let new = publish(&ground, "web-2");

    ground.meshvm("plan --detailed-exitcode").exits(0);
    write("latest");
    let planned = ground.meshvm("plan --detailed-exitcode").exits(2);
    let change = format!("~ image: \"{old}\" -> \"{new}\"");
    assert!(planned.stdout.contains(&change), "{}", planned.stdout);
    ground.meshvm("apply -y").exits(0);
    let second = ground.instances();
    assert_eq!(second.len(), 1);
    assert_ne!(second[0].id, first[0].id);
    ground.meshvm("plan --detailed-exitcode").exits(0);
}

#[test]
fn a_stopped_spot_machine_is_started_and_one_that_was_taken_away_is_made_anew() {
    let ground = Ground::new(Manners::default());
    let block = json!({"spot": {"interruption": "stop"}});
    ground.write(&BTreeMap::from([("web", member("web", 2, &block))]));
    ground.meshvm("apply -y").exits(0);
    let made = ground.instances();
    let call = [
        ("Action", "StopInstances"),
        ("Version", "2016-11-15"),
        ("InstanceId.1", made[0].id.as_str()),
    ];
    ground.ask("ec2", REGION, &call);
    ground.terminate(&made[1].id);
    let planned = ground.meshvm("plan --detailed-exitcode").exits(2);
    assert!(planned.stdout.contains("start"), "{}", planned.stdout);
    assert!(planned.stdout.contains("1 to create"), "{}", planned.stdout);
    ground.meshvm("apply -y").exits(0);
    let now = ground.instances();
    assert_eq!(now.len(), 2);
    assert!(now.iter().any(|it| it.id == made[0].id), "it was kept");
    assert!(now.iter().all(|it| it.state == "running"), "{now:?}");
}

#[test]
fn a_machine_whose_checks_fail_is_replaced() {
    let ground = Ground::new(Manners::default());
    ground.write(&BTreeMap::from([("web", member("web", 2, &json!({})))]));
    ground.meshvm("apply -y").exits(0);
    let sick = ground.instances()[0].id.clone();
    let impaired = sick.clone();
    ground.proxy.behave(|now| now.impaired.extend([impaired]));
    let planned = ground.meshvm("plan --detailed-exitcode").exits(2);
    assert!(planned.stdout.contains(&sick), "{}", planned.stdout);
    ground.meshvm("apply -y").exits(0);
    let now = ground.instances();
    assert_eq!(now.len(), 2);
    assert!(now.iter().all(|it| it.id != sick), "{now:?}");
    ground.meshvm("plan --detailed-exitcode").exits(0);
}
