//! A fleet of five hundred: what each thing that is done to it costs, call by call.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_ec2::Manners;
use serde_json::json;

use super::ground::{Ground, member};
use crate::support::cloud::Cloud;

/// How many machines the fleet has.
const MACHINES: u32 = 500;

/// Names of calls, each with the most times that it may be made.
type Most<'a> = &'a [(&'a str, u64)];

/// Asserts that no other calls were made than these, none of them more often, and not more than
/// `total` of all.
#[track_caller]
fn assert_at_most(what: &str, calls: &BTreeMap<String, u64>, total: u64, most: Most<'_>) {
    let made: u64 = calls.values().sum();
    println!("{what}: {made} calls, {calls:?}");
    assert!(made <= total, "{what}: {made} calls: {calls:?}");
    for (name, &count) in calls {
        let allowed = most.iter().find(|(known, _)| known == name);
        let allowed = allowed.map_or(0, |(_, most)| *most);
        assert!(count <= allowed, "{what}: {count} of {name}: {calls:?}");
    }
}

/// What a plan looks at: the image, the subnets, the machines.
const LOOK: [(&str, u64); 5] = [
    ("GetParameter", 1),
    ("DescribeImages", 1),
    ("DescribeSubnets", 1),
    ("DescribeInstances", 1),
    ("DescribeInstanceStatus", 1),
];

#[test]
fn what_is_done_to_five_hundred_machines_takes_a_handful_of_calls() {
    let ground = Ground::new(Manners::default());
    let fleet = |team: &str| {
        let block = json!({"tags": {"team": team}});
        BTreeMap::from([("web", member("web", MACHINES, &block))])
    };
    ground.write(&fleet("a"));

    ground.meshvm("apply -y").exits(0);
    let instances = ground.instances();
    assert_eq!(instances.len(), MACHINES as usize);
    let made = ground.calls();
    assert_eq!(made["RunInstances"], 3, "one in each zone: {made:?}");
    let most = [
        ("GetParameter", 1),
        ("DescribeImages", 1),
        ("DescribeSubnets", 3),
        ("DescribeInstanceTypes", 1),
        ("DescribeInstances", 10),
        ("DescribeInstanceStatus", 4),
        ("GetServiceQuota", 1),
        ("RunInstances", 3),
    ];
    assert_at_most("first apply", &made, 25, &most);

    ground.meshvm("plan --detailed-exitcode").exits(0);
    assert_at_most("plan without a change", &ground.calls(), 5, &LOOK);

    ground.terminate(&instances[123].id);
    let drifted = ground.meshvm("plan --detailed-exitcode --format json");
    let drifted = drifted.exits(2).json();
    let created = &drifted["plan"]["fleets"]["web"]["changes"];
    assert_eq!(created.as_array().unwrap().len(), 1, "{created}");
    assert_eq!(created[0]["zones"][&instances[123].zone], 1, "{created}");
    let most = [
        ("GetParameter", 1),
        ("DescribeImages", 1),
        ("DescribeSubnets", 2),
        // The machine is asked for by its id as well: it was there a moment ago.
        ("DescribeInstances", 2),
        ("DescribeInstanceStatus", 2),
        ("DescribeInstanceTypes", 1),
        ("GetServiceQuota", 1),
    ];
    assert_at_most("plan with one machine gone", &ground.calls(), 10, &most);
    ground.meshvm("apply -y").exits(0);
    assert_eq!(ground.instances().len(), MACHINES as usize);
    ground.calls();

    ground.write(&fleet("b"));
    ground.meshvm("apply -y").exits(0);
    let most = [
        ("GetParameter", 1),
        ("DescribeImages", 1),
        ("DescribeSubnets", 1),
        ("DescribeInstances", 9),
        ("DescribeInstanceStatus", 3),
        ("CreateTags", 2),
    ];
    assert_at_most("another tag on all", &ground.calls(), 15, &most);
    let teams: BTreeSet<String> = ground
        .instances()
        .into_iter()
        .map(|instance| instance.tags["team"].clone())
        .collect();
    assert_eq!(teams, BTreeSet::from(["b".to_owned()]));
    ground.meshvm("plan --detailed-exitcode").exits(0);
    ground.calls();

    ground.meshvm("destroy -y").exits(0);
    let most = [
        ("DescribeInstances", 7),
        ("DescribeInstanceStatus", 2),
        ("TerminateInstances", 3),
    ];
    assert_at_most("destroy", &ground.calls(), 12, &most);
    assert_eq!(ground.instances(), []);
}
