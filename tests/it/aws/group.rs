//! A fleet's own security group comes and goes with the fleet, wherever a run is killed.

use std::collections::BTreeMap;

use meshvm_ec2::{Manners, xml};
use serde_json::json;

use super::ground::{Ground, REGION, member};
use crate::support::cloud::Cloud;
use crate::support::cloud::crash::{Ended, kill_at};

/// Returns the names of groups that are not the networks' own.
fn groups(ground: &Ground) -> Vec<String> {
    let call = [
        ("Action", "DescribeSecurityGroups"),
        ("Version", "2016-11-15"),
    ];
    let answer = ground.ask("ec2", REGION, &call);
    let names = xml::texts(&answer, "groupName").into_iter();
    let names = names.filter(|name| name.starts_with("meshvm-"));
    names.map(str::to_owned).collect()
}

#[test]
fn killed_at_any_call_a_fleet_has_one_group_and_a_fleet_that_is_gone_has_none() {
    let mut kills = 0;
    for change in 1.. {
        let mut came_there = false;
        for is_done in [false, true] {
            let ground = Ground::new(Manners::default());
            let owned = json!({"ports": [8080, 15021], "from": ["10.0.0.0/8"]});
            let block = json!({
                "zones": ["eu-west-1a"],
                "securityGroup": {"owned": owned},
            });
            ground.write(&BTreeMap::from([("web", member("web", 1, &block))]));
            let halt = format!("call {change}, is_done {is_done}");

            let made = kill_at(&ground, &["apply", "-y"], change, is_done) == Ended::Killed;
            ground.meshvm("apply -y").exits(0);
            assert_eq!(groups(&ground), ["meshvm-shop-web"], "{halt}");
            assert_eq!(ground.instances().len(), 1, "{halt}");
            ground.meshvm("plan --detailed-exitcode").exits(0);

            let ended = kill_at(&ground, &["destroy", "-y"], change, is_done) == Ended::Killed;
            ground.meshvm("destroy -y").exits(0);
            assert_eq!(ground.instances(), [], "{halt}");
            assert_eq!(groups(&ground), [""; 0], "{halt}");
            came_there |= made || ended;
            kills += u32::from(made) + u32::from(ended);
        }
        if !came_there {
            break;
        }
    }
    // The group, what it lets in, the machine; the machine's end, and the group's.
    assert!(kills >= 10, "{kills} kills");
}

#[test]
fn it_lets_in_the_ports_of_the_fleets_members() {
    let ground = Ground::new(Manners::default());
    let write = |owned: serde_json::Value| {
        let block = json!({"zones": ["eu-west-1a"], "securityGroup": {"owned": owned}});
        let mut fleet = member("web", 1, &block);
        fleet["membership"]["ports"] = json!({"http": 8080, "admin": 9901, "alias": 8080});
        ground.write(&BTreeMap::from([("web", fleet)]));
    };
    write(json!({"from": ["10.0.0.0/8"]}));
    ground.meshvm("apply -y").exits(0);
    let call = [
        ("Action", "DescribeSecurityGroups"),
        ("Version", "2016-11-15"),
        ("Filter.1.Name", "group-name"),
        ("Filter.1.Value.1", "meshvm-shop-web"),
    ];
    let ports = || {
        let answer = ground.ask("ec2", REGION, &call);
        let ports = xml::texts(&answer, "fromPort").into_iter();
        ports.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut found = ports();
    found.sort();
    assert_eq!(found, ["8080", "9901"]);
    ground.meshvm("plan --detailed-exitcode").exits(0);
    // What the file says wins.
    write(json!({"ports": [443], "from": ["10.0.0.0/8"]}));
    ground.meshvm("apply -y").exits(0);
    assert_eq!(ports(), ["443"]);
    ground.meshvm("destroy -y").exits(0);
}

#[test]
fn it_goes_with_a_fleet_whose_machines_went_by_themselves() {
    let ground = Ground::new(Manners::default());
    let owned = json!({"owned": {"ports": [8080], "from": ["10.0.0.0/8"]}});
    let block = json!({"zones": ["eu-west-1a"], "securityGroup": owned});
    let (web, db) = (member("web", 1, &block), member("db", 1, &block));
    ground.write(&BTreeMap::from([("web", web.clone()), ("db", db)]));
    ground.meshvm("apply -y").exits(0);
    assert_eq!(groups(&ground).len(), 2);
    for instance in ground.instances() {
        ground.terminate(&instance.id);
    }
    // A fleet that leaves the file, and then the stack.
    ground.write(&BTreeMap::from([("web", web)]));
    ground.meshvm("apply -y").exits(0);
    assert_eq!(groups(&ground), ["meshvm-shop-web"]);
    for instance in ground.instances() {
        ground.terminate(&instance.id);
    }
    ground.meshvm("destroy -y").exits(0);
    assert_eq!(groups(&ground), [""; 0]);
}
