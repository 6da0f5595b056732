//! The life of a stack: made, looked at, drifted, changed, destroyed; and what each costs.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_ec2::{Manners, Refusal};
use serde_json::{Value, json};

use super::ground::{Ground, member};
use crate::support::cloud::Cloud;

fn total(calls: &BTreeMap<String, u64>) -> u64 {
    calls.values().sum()
}

#[test]
fn a_stack_is_made_looked_at_repaired_changed_and_destroyed_in_few_calls() {
    let ground = Ground::new(Manners::default());
    let fleet =
        |tag: &str| BTreeMap::from([("web", member("web", 60, &json!({"tags": {"team": tag}})))]);
    ground.write(&fleet("a"));

    ground.meshvm("apply -y").exits(0);
    let made = ground.calls();
    assert_eq!(made["RunInstances"], 3, "one in each zone: {made:?}");
    assert!(total(&made) <= 25, "{made:?}");
    let instances = ground.instances();
    assert_eq!(instances.len(), 60);
    let mut zones: BTreeMap<&str, u32> = BTreeMap::new();
    for instance in &instances {
        *zones.entry(&instance.zone).or_default() += 1;
        assert_eq!(instance.tags["meshvm-stack"], "shop");
        let entry = ground
            .sandbox
            .read(&format!("mesh/vm/workloadentry-{}.yaml", instance.id));
        assert!(entry.contains(&instance.address), "{entry}");
    }
    assert_eq!(zones.values().copied().collect::<Vec<_>>(), [20, 20, 20]);

    ground.meshvm("plan --detailed-exitcode").exits(0);
    let looked = ground.calls();
    assert!(total(&looked) <= 5, "{looked:?}");

    ground.terminate(&instances[7].id);
    let drifted = ground.meshvm("plan --detailed-exitcode").exits(2);
    assert!(drifted.stdout.contains("web"), "{}", drifted.all());
    ground.meshvm("apply -y").exits(0);
    let repaired = ground.calls();
    assert_eq!(repaired["RunInstances"], 1, "{repaired:?}");
    assert_eq!(ground.instances().len(), 60);

    ground.write(&fleet("b"));
    ground.meshvm("apply -y").exits(0);
    let changed = ground.calls();
    assert!(!changed.contains_key("RunInstances"), "{changed:?}");
    assert!(total(&changed) <= 25, "{changed:?}");
    let teams: BTreeSet<String> = ground
        .instances()
        .into_iter()
        .map(|instance| instance.tags["team"].clone())
        .collect();
    assert_eq!(teams, BTreeSet::from(["b".to_owned()]));
    ground.meshvm("plan --detailed-exitcode").exits(0);
    ground.calls();

    ground.meshvm("destroy -y").exits(0);
    let destroyed = ground.calls();
    assert!(total(&destroyed) <= 25, "{destroyed:?}");
    assert_eq!(ground.instances(), []);
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
        let plan = ground.meshvm("plan --detailed-exitcode").exits(0);
        let mut found = ground.instances();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        (found, plan)
    };
    let ids = |found: &[meshvm_ec2::Instance]| {
        let ids = found.iter().map(|instance| instance.id.clone());
        ids.collect::<BTreeSet<_>>()
    };
    let (first, _) = write(json!({}));
    let (larger, _) = write(json!({"instanceType": "c7g.large"}));
    assert_eq!(ids(&larger), ids(&first), "the same machines");
    assert!(larger.iter().all(|instance| instance.kind == "c7g.large"));
    assert!(larger.iter().all(|instance| instance.state == "running"));
    let image = json!({"ssm": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-arm64"});
    let (other, _) = write(json!({"instanceType": "c7g.large", "image": image}));
    assert_eq!(other.len(), 2);
    assert!(ids(&other).is_disjoint(&ids(&first)), "other machines");
}

#[test]
fn a_plan_shows_the_image_and_a_saved_one_keeps_it() {
    let ground = Ground::new(Manners::default());
    ground.write(&BTreeMap::from([("web", member("web", 1, &json!({})))]));
    let planned = ground.meshvm("plan --out saved.json").exits(0);
    assert!(
        planned.stdout.contains("image: \"ami-"),
        "{}",
        planned.stdout
    );
    for said in [
        "imageName: \"al2023-ami",
        "imageSource: \"/aws/service/ami-amazon",
    ] {
        assert!(planned.stdout.contains(said), "{}", planned.stdout);
    }
    ground.calls();
    ground.meshvm("apply -y saved.json").exits(0);
    let calls = ground.calls();
    assert!(
        !calls.contains_key("GetParameter"),
        "it was looked up: {calls:?}"
    );
    assert_eq!(ground.instances().len(), 1);
}

#[test]
fn the_doctor_names_what_the_identity_may_not_do_and_does_none_of_it() {
    let ground = Ground::new(Manners::default());
    let owned = json!({"owned": {"ports": [8080], "from": ["10.0.0.0/8"]}});
    let block = json!({"securityGroup": owned});
    ground.write(&BTreeMap::from([("web", member("web", 1, &block))]));
    ground.meshvm("apply -y").exits(0);
    let before = ground.instances();
    let rights = || {
        ground.calls();
        let told = ground.meshvm("doctor --format json").json();
        let checks = told["checks"].as_array().unwrap().clone();
        let mut found = checks.into_iter().filter(|check| check["name"] == "rights");
        found.next().unwrap()
    };
    assert_eq!(rights()["ok"], json!(true), "{}", rights());
    let changing = [
        "RunInstances",
        "StopInstances",
        "TerminateInstances",
        "CreateTags",
        "CreateSecurityGroup",
        "AuthorizeSecurityGroupIngress",
        "RevokeSecurityGroupIngress",
        "DeleteSecurityGroup",
    ];
    for call in changing {
        let sent = ground.proxy.sent(call);
        assert_eq!(sent.len(), 1, "{call}");
        assert_eq!(sent[0]["DryRun"], "true", "{call}");
    }
    ground.proxy.behave(|now| {
        for call in [
            "RunInstances",
            "TerminateInstances",
            "DescribeVolumes",
            "GetServiceQuota",
        ] {
            let refusal = Refusal::new(call, 403, "UnauthorizedOperation", "No.");
            now.refusals.push(refusal);
        }
    });
    let lacking = rights();
    assert_eq!(lacking["ok"], json!(false), "{lacking}");
    let detail = "may not ec2:DescribeVolumes, ec2:RunInstances, ec2:TerminateInstances, servicequotas:GetServiceQuota";
    assert_eq!(lacking["detail"], json!(detail));
    assert_eq!(
        ground.instances(),
        before,
        "nothing was made, changed or ended"
    );
}

#[test]
fn a_plan_that_makes_what_cannot_be_had_is_refused_with_all_that_is_in_the_way() {
    let ground = Ground::new(Manners::default());
    let fleets = |block: &Value| BTreeMap::from([("web", member("web", 2, block))]);
    let block = json!({"instanceType": "m7i.large", "instanceProfile": "nothing"});
    ground.write(&fleets(&block));
    for line in ["plan", "apply -y"] {
        let told = ground.meshvm(line).exits(1);
        let told = told.stderr;
        assert!(told.contains("fleet `web`"), "{told}");
        assert!(
            told.contains("is for arm64, and m7i.large is not"),
            "{told}"
        );
        assert!(told.contains("no instance profile `nothing`"), "{told}");
    }
    assert_eq!(ground.instances(), []);
    // Where no machine is made, nothing is looked for.
    ground.write(&fleets(&json!({})));
    ground.meshvm("apply -y").exits(0);
    ground.calls();
    ground.meshvm("plan --detailed-exitcode").exits(0);
    assert!(!ground.calls().contains_key("DescribeInstanceTypes"));
}

#[test]
fn the_doctor_names_the_identity_and_prints_the_policy() {
    let ground = Ground::new(Manners::default());
    ground.write(&BTreeMap::from([("web", member("web", 1, &json!({})))]));
    let told = ground.meshvm("doctor --format json");
    let checks = told.json()["checks"].as_array().unwrap().clone();
    let identity = checks
        .iter()
        .find(|check| check["name"] == "identity")
        .unwrap();
    assert_eq!(identity["ok"], json!(true), "{identity}");
    let detail = identity["detail"].as_str().unwrap();
    assert!(detail.contains("arn:aws:sts::"), "{detail}");

    let policy = ground.meshvm("doctor --iam").exits(0).json();
    let allowed = policy["Statement"].to_string();
    for right in [
        "ec2:RunInstances",
        "ec2:TerminateInstances",
        "ssm:GetParameter",
    ] {
        assert!(allowed.contains(right), "{allowed}");
    }
}
