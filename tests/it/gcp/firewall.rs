//! A fleet's own firewall rule comes and goes with the fleet, wherever a run is killed.

use std::collections::BTreeMap;

use meshvm_gce::Manners;
use serde_json::{Value, json};

use super::ground::{Ground, REGION, member};
use crate::support::cloud::Cloud;
use crate::support::cloud::crash::{Ended, kill_at};

fn write(ground: &Ground, owned: &Value) {
    let block = json!({"zones": ["europe-west1-b"], "firewall": {"owned": owned}});
    ground.write(&BTreeMap::from([("web", member("web", 1, &block))]));
}

/// Returns the names of the rules that there are.
fn rules(ground: &Ground) -> Vec<String> {
    let rules = ground.gce.firewalls().into_iter();
    let names = rules.map(|rule| rule["name"].as_str().unwrap().to_owned());
    names.collect()
}

#[test]
fn killed_at_any_call_a_fleet_has_one_rule_and_a_fleet_that_is_gone_has_none() {
    let mut kills = 0;
    for change in 1.. {
        let mut came_there = false;
        for is_done in [false, true] {
            let ground = Ground::new(Manners::default());
            write(&ground, &json!({"ports": [15021], "from": ["10.0.0.0/8"]}));
            let place = format!("call {change}, is_done {is_done}");

            let made = kill_at(&ground, &["apply", "-y"], change, is_done) == Ended::Killed;
            ground.meshvm("apply -y").exits(0);
            assert_eq!(rules(&ground), ["meshvm-shop-web"], "{place}");
            assert_eq!(ground.machines().len(), 1, "{place}");
            ground.meshvm("plan --detailed-exitcode").exits(0);

            let ended = kill_at(&ground, &["destroy", "-y"], change, is_done) == Ended::Killed;
            ground.meshvm("destroy -y").exits(0);
            assert_eq!(ground.machines(), [Value::Null; 0], "{place}");
            assert_eq!(rules(&ground), [""; 0], "{place}");
            came_there |= made || ended;
            kills += u32::from(made) + u32::from(ended);
        }
        if !came_there {
            break;
        }
    }
    // The rule and the machine; the machine's end, and the rule's.
    assert!(kills >= 8, "{kills} kills");
}

#[test]
fn a_move_that_is_killed_anywhere_and_taken_back_ends_with_the_rule() {
    let fleet = |region: &str| {
        let owned = json!({"owned": {"ports": [8080], "from": ["10.0.0.0/8"]}});
        let block = json!({
            "region": region, "zones": [format!("{region}-b")], "firewall": owned,
        });
        BTreeMap::from([("web", member("web", 2, &block))])
    };
    let mut kills = 0;
    for change in 1.. {
        let ground = Ground::new(Manners::default());
        ground.write(&fleet(REGION));
        ground.meshvm("apply -y").exits(0);
        ground.write(&fleet("us-east1"));
        let moved = ["apply", "-y", "--override-budgets"];
        let ended = kill_at(&ground, &moved, change, true);

        ground.write(&fleet(REGION));
        ground.meshvm("apply -y --override-budgets").exits(0);
        assert_eq!(rules(&ground), ["meshvm-shop-web"], "call {change}");
        let zones = ground.machines().into_iter();
        let zones: Vec<String> = zones.map(|it| it["zone"].to_string()).collect();
        assert_eq!(zones.len(), 2, "call {change}: {zones:?}");
        assert!(zones.iter().all(|it| it.contains(REGION)), "{zones:?}");
        ground.meshvm("plan --detailed-exitcode").exits(0);
        ground.meshvm("destroy -y").exits(0);
        assert_eq!(rules(&ground), [""; 0], "call {change}");
        if ended == Ended::Whole {
            break;
        }
        kills += 1;
    }
    // Each machine there, and the end of each here.
    assert!(kills >= 3, "{kills} kills");
}

#[test]
fn it_lets_in_the_ports_of_the_fleets_members() {
    let ground = Ground::new(Manners::default());
    write(&ground, &json!({"from": ["10.0.0.0/8"]}));
    ground.meshvm("apply -y").exits(0);
    let ports = || ground.gce.firewalls()[0]["allowed"][0]["ports"].clone();
    assert_eq!(ports(), json!(["8080"]));
    ground.meshvm("plan --detailed-exitcode").exits(0);
    // What the file says wins.
    write(&ground, &json!({"ports": [443], "from": ["10.0.0.0/8"]}));
    ground.meshvm("apply -y").exits(0);
    assert_eq!(ports(), json!(["443"]));
    ground.meshvm("destroy -y").exits(0);
    assert_eq!(rules(&ground), [""; 0]);
}

#[test]
fn it_goes_with_a_fleet_whose_machines_went_by_themselves() {
    let ground = Ground::new(Manners::default());
    let owned = json!({"owned": {"ports": [8080], "from": ["10.0.0.0/8"]}});
    let block = json!({"zones": ["europe-west1-b"], "firewall": owned});
    let (web, db) = (member("web", 1, &block), member("db", 1, &block));
    ground.write(&BTreeMap::from([("web", web.clone()), ("db", db)]));
    ground.meshvm("apply -y").exits(0);
    assert_eq!(rules(&ground).len(), 2);
    let end_all = || {
        for machine in ground.machines() {
            ground.others("DELETE", &machine, "");
        }
    };
    // A fleet that leaves the file, and then the stack.
    end_all();
    ground.write(&BTreeMap::from([("web", web)]));
    ground.meshvm("apply -y").exits(0);
    assert_eq!(rules(&ground), ["meshvm-shop-web"]);
    end_all();
    ground.meshvm("destroy -y").exits(0);
    assert_eq!(rules(&ground), [""; 0]);
}
