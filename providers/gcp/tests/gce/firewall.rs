//! A firewall rule of the fleet's own.

use meshvm_gce::{Manners, Refused};
use meshvm_provider_api::{ErrorClass, Kind as _, Machine, NoPrivateFiles, Template};
use serde_json::{Value, json};

use crate::ground::{Ground, PROJECT, STACK, batch, ids, on_gce};

fn block(ports: &[u16], from: &[&str]) -> Value {
    json!({"tags": ["web"], "firewall": {"owned": {"ports": ports, "from": from}}})
}

/// Returns the only rule that there is.
fn rule(ground: &Ground) -> Value {
    let mut rules = ground.gce.firewalls();
    assert_eq!(rules.len(), 1, "{rules:?}");
    rules.remove(0)
}

async fn delete(ground: &Ground, template: &Template) {
    let listed = ground.list(template).await;
    ground.delete(template, &listed).await;
}

#[test]
fn it_comes_with_the_first_machine_and_goes_with_the_last() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground
            .template(&block(&[8080, 15021], &["10.0.0.0/8", "gw"]))
            .await;
        assert_eq!(
            ground.gce.firewalls(),
            [Value::Null; 0],
            "looking makes none"
        );
        let first = ground.make(&template, 2).await;
        let second = ground.make(&template, 1).await;
        let rule = rule(&ground);
        assert_eq!(rule["name"], "meshvm-shop-web");
        assert_eq!(rule["description"], "meshvm-stack=shop meshvm-fleet=web");
        assert_eq!(rule["targetTags"], json!(["meshvm-shop-web"]));
        assert_eq!(rule["sourceRanges"], json!(["10.0.0.0/8"]));
        assert_eq!(rule["sourceTags"], json!(["gw"]));
        let allowed = json!([{"IPProtocol": "tcp", "ports": ["8080", "15021"]}]);
        assert_eq!(rule["allowed"], allowed);
        let listed = ground.list(&template).await;
        assert_eq!(ground.differences(&template, &listed), [""; 0]);
        for machine in ground.gce.instances() {
            assert_eq!(machine["tags"]["items"], json!(["web", "meshvm-shop-web"]));
        }
        ground.delete(&template, &first).await;
        assert_eq!(ground.gce.firewalls().len(), 1, "one machine is left");
        ground.delete(&template, &second).await;
        assert_eq!(ground.gce.firewalls(), [Value::Null; 0]);
    });
}

#[test]
fn what_it_lets_in_is_drift_and_changes_in_place() {
    on_gce(async || {
        let ground = Ground::new().await;
        let before = ground.template(&block(&[8080], &["10.0.0.0/8"])).await;
        let made = ground.make(&before, 2).await;
        let path = format!("/compute/v1/projects/{PROJECT}/global/firewalls/meshvm-shop-web");
        let mut open = json!({"allowed": [{"IPProtocol": "all"}], "sourceRanges": ["0.0.0.0/0"]});
        open["network"] = rule(&ground)["network"].clone();
        open["description"] = rule(&ground)["description"].clone();
        ground.gce.ask("PUT", &path, Some(&open));
        let differs = |machines: &[_]| ground.differences(&before, machines);
        let all = ["firewall.owned", "firewall.owned"];
        assert_eq!(differs(&ground.list(&before).await), all);
        ground
            .update(&before, &made, &["firewall.owned"])
            .await
            .unwrap();
        assert_eq!(differs(&ground.list(&before).await), [""; 0]);
        // One that is gone is drift as well, and what the file says now is another thing.
        ground.gce.ask("DELETE", &path, None);
        assert_eq!(differs(&ground.list(&before).await), all);
        let after = ground.template(&block(&[443], &["gw"])).await;
        ground
            .update(&after, &made, &["firewall.owned"])
            .await
            .unwrap();
        let listed = ground.list(&after).await;
        assert_eq!(ground.differences(&after, &listed), [""; 0]);
        // Nothing of what it let in before is left.
        let narrow = ground.template(&block(&[443], &["10.1.0.0/16"])).await;
        ground
            .update(&narrow, &made, &["firewall.owned"])
            .await
            .unwrap();
        assert_eq!(rule(&ground)["sourceTags"], Value::Null);
        assert_eq!(ids(&listed).len(), 2);
    });
}

#[test]
fn machines_that_had_none_get_it_and_those_that_have_it_keep_it() {
    on_gce(async || {
        let ground = Ground::new().await;
        let plain = ground.template(&json!({"tags": ["web"]})).await;
        let made = ground.make(&plain, 1).await;
        let owned = ground.template(&block(&[8080], &["gw"])).await;
        let listed = ground.list(&owned).await;
        assert_eq!(ground.differences(&owned, &listed), ["firewall.owned"]);
        ground
            .update(&owned, &made, &["firewall.owned"])
            .await
            .unwrap();
        let listed = ground.list(&owned).await;
        assert_eq!(ground.differences(&owned, &listed), [""; 0]);
        // Out of the file, it stays; other tags change beside it.
        let other = ground.template(&json!({"tags": ["api"]})).await;
        ground.update(&other, &made, &["tags"]).await.unwrap();
        let listed = ground.list(&other).await;
        assert_eq!(ground.differences(&other, &listed), [""; 0]);
        let tags = ground.gce.instances()[0]["tags"]["items"].clone();
        assert_eq!(tags, json!(["api", "meshvm-shop-web"]));
        delete(&ground, &other).await;
        assert_eq!(ground.gce.firewalls(), [Value::Null; 0]);
    });
}

#[test]
fn a_rule_of_somebody_elses_is_not_taken() {
    on_gce(async || {
        let ground = Ground::new().await;
        let theirs = json!({
            "name": "meshvm-shop-web", "allowed": [{"IPProtocol": "icmp"}],
            "network": "global/networks/default",
        });
        let path = format!("/compute/v1/projects/{PROJECT}/global/firewalls");
        ground.gce.ask("POST", &path, Some(&theirs));
        let template = ground.template(&block(&[8080], &["gw"])).await;
        let error = ground.create(&batch(&template, 1)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Conflict);
        assert_eq!(ground.gce.instances(), [Value::Null; 0]);
        let other = ground.template(&json!({})).await;
        let made = ground.make(&other, 1).await;
        ground.delete(&other, &made).await;
        assert_eq!(ground.gce.firewalls().len(), 1);
    });
}

#[test]
fn two_halves_of_a_fleet_that_go_at_once_take_it_though_listings_lag() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&block(&[8080], &["gw"])).await;
        let made = ground.make(&template, 4).await;
        let (first, second) = made.split_at(2);
        let provider = ground.open(&template).await;
        let (first, second) = (ids(first), ids(second));
        let (first, second) = tokio::join!(
            provider.delete(STACK, &first),
            provider.delete(STACK, &second),
        );
        first.unwrap();
        second.unwrap();
        assert_eq!(ground.gce.firewalls(), [Value::Null; 0]);
    });
}

#[test]
fn the_network_of_a_subnetwork_gets_it() {
    on_gce(async || {
        let ground = Ground::new().await;
        let mut block = block(&[8080], &["gw"]);
        block["subnetwork"] = json!("vms");
        let template = ground.template(&block).await;
        ground.make(&template, 1).await;
        let network = rule(&ground)["network"].clone();
        assert!(network.as_str().unwrap().ends_with("/acme"), "{network}");
    });
}

/// The same fleet in two regions.
async fn two_regions(ground: &Ground) -> (Template, Template) {
    let mut there = block(&[8080], &["gw"]);
    there["region"] = json!("us-east1");
    let here = ground.template(&block(&[8080], &["gw"])).await;
    (here, ground.template(&there).await)
}

/// Makes a machine of another fleet.
async fn make_db(ground: &Ground, template: &Template) -> Vec<Machine> {
    let mut batch = batch(template, 1);
    batch.ownership.fleet = "db".to_owned();
    ground.create(&batch).await.unwrap().machines
}

fn names(ground: &Ground) -> Vec<String> {
    let rules = ground.gce.firewalls().into_iter();
    let names = rules.map(|rule| rule["name"].as_str().unwrap().to_owned());
    names.collect()
}

#[test]
fn a_fleet_of_another_region_keeps_its_rule_and_takes_it_along_when_it_moves() {
    on_gce(async || {
        let ground = Ground::new().await;
        let (here, there) = two_regions(&ground).await;
        // Whoever goes here is not the one who stays there.
        let made = ground.make(&here, 1).await;
        let stays = make_db(&ground, &there).await;
        ground.delete(&here, &made).await;
        assert_eq!(names(&ground), ["meshvm-shop-db"]);
        ground.delete(&there, &stays).await;
        assert_eq!(names(&ground), [""; 0]);
        // The fleet has machines there when its last one here goes.
        let first = ground.make(&here, 1).await;
        let moved = ground.make(&there, 1).await;
        ground.delete(&here, &first).await;
        assert_eq!(names(&ground), ["meshvm-shop-web"]);
        ground.delete(&there, &moved).await;
        assert_eq!(names(&ground), [""; 0]);
    });
}

#[test]
fn a_move_that_is_taken_back_leaves_the_rule_to_those_who_stayed() {
    on_gce(async || {
        let ground = Ground::new().await;
        let (here, there) = two_regions(&ground).await;
        let stayed = ground.make(&here, 2).await;
        let moved = ground.make(&there, 1).await;
        ground.delete(&there, &moved).await;
        assert_eq!(names(&ground), ["meshvm-shop-web"]);
        ground.delete(&here, &stayed).await;
        assert_eq!(names(&ground), [""; 0]);
    });
}

/// Makes two machines here, and none there, where it is refused.
async fn refused_there(ground: &Ground, here: &Template, there: &Template) -> Vec<Machine> {
    let stayed = ground.make(here, 2).await;
    let refusal = Refused::new("instances.bulkInsert", 403, "forbidden");
    ground.gce.behave(|now| now.refusals.push(refusal));
    ground.create(&batch(there, 1)).await.unwrap_err();
    stayed
}

#[test]
fn after_a_move_that_is_refused_the_rule_outlives_another_fleet_of_there() {
    on_gce(async || {
        let ground = Ground::new().await;
        let (here, there) = two_regions(&ground).await;
        refused_there(&ground, &here, &there).await;
        let other = make_db(&ground, &there).await;
        ground.delete(&there, &other).await;
        assert_eq!(names(&ground), ["meshvm-shop-web"]);
    });
}

#[test]
fn after_a_move_that_is_refused_the_rule_goes_with_the_machines_of_here() {
    on_gce(async || {
        let ground = Ground::new().await;
        let (here, there) = two_regions(&ground).await;
        let stayed = refused_there(&ground, &here, &there).await;
        ground.delete(&here, &stayed).await;
        assert_eq!(names(&ground), [""; 0]);
    });
}

#[test]
fn two_regions_of_one_run_know_of_each_other() {
    on_gce(async || {
        let ground = Ground::new().await;
        let (here, there) = two_regions(&ground).await;
        let first = ground.make(&here, 2).await;
        let context = ground.context();
        let open = async |template: &Template| {
            let opened = ground.kind.open(Some(template), &template.scope, &context);
            opened.await.unwrap()
        };
        let (near, far) = (open(&here).await, open(&there).await);
        // What one makes is not listed yet when the other looks.
        ground.gce.behave(|now| now.lag = 50);
        let made = far.create(&batch(&there, 1), &NoPrivateFiles).await;
        let made = made.unwrap().machines;
        near.delete(STACK, &ids(&first)).await.unwrap();
        assert_eq!(names(&ground), ["meshvm-shop-web"]);
        ground.gce.settle();
        ground.delete(&there, &made).await;
        assert_eq!(names(&ground), [""; 0]);
    });
}

#[test]
fn what_is_not_reached_in_another_region_may_need_the_rule() {
    on_gce(async || {
        let far = || Manners {
            unreachable: ["us-east1-b".to_owned()].into(),
            ..Manners::default()
        };
        let ground = Ground::new().await;
        let (here, there) = two_regions(&ground).await;
        let (first, second) = (ground.make(&here, 1).await, ground.make(&here, 1).await);
        let moved = ground.make(&there, 1).await;
        ground.gce.behave(|now| *now = far());
        // As long as one is left here, nobody asks who is there.
        ground.delete(&here, &first).await;
        let provider = ground.open(&here).await;
        let last = provider.delete(STACK, &ids(&second)).await;
        let error = last.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unavailable, "{error}");
        assert!(error.message.contains("us-east1-b"), "{}", error.message);
        assert_eq!(names(&ground), ["meshvm-shop-web"]);
        // The machines went; what is to be done again is the rule.
        assert_eq!(ground.gce.instances().len(), 1);
        ground.gce.behave(|now| *now = Manners::default());
        provider.delete(STACK, &ids(&second)).await.unwrap();
        assert_eq!(names(&ground), ["meshvm-shop-web"]);
        ground.delete(&there, &moved).await;
        assert_eq!(names(&ground), [""; 0]);
    });
}

#[test]
fn machines_that_are_not_deleted_keep_their_rule() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&block(&[8080], &["gw"])).await;
        let made = ground.make(&template, 1).await;
        let other = make_db(&ground, &template).await;
        let provider = ground.open(&template).await;
        let refusal = Refused::new("instances.delete", 403, "forbidden");
        ground.gce.behave(|now| now.refusals.push(refusal));
        provider.delete(STACK, &ids(&made)).await.unwrap_err();
        provider.delete(STACK, &ids(&other)).await.unwrap();
        assert_eq!(names(&ground), ["meshvm-shop-web"]);
        provider.delete(STACK, &ids(&made)).await.unwrap();
        assert_eq!(names(&ground), [""; 0]);
    });
}

#[test]
fn a_rule_of_an_older_run_and_its_copy_are_told_apart() {
    on_gce(async || {
        let ground = Ground::new().await;
        let rule = |name: &str| {
            json!({
                "name": name, "network": "global/networks/default",
                "description": "meshvm-stack=shop meshvm-fleet=web region=us-east1",
                "allowed": [{"IPProtocol": "tcp", "ports": ["8080"]}],
                "sourceTags": ["gw"], "targetTags": ["meshvm-shop-web"],
            })
        };
        let path = format!("/compute/v1/projects/{PROJECT}/global/firewalls");
        for name in ["meshvm-shop-web", "copy"] {
            ground.gce.ask("POST", &path, Some(&rule(name)));
        }
        let template = ground.template(&block(&[8080], &["gw"])).await;
        let made = ground.make(&template, 1).await;
        let listed = ground.list(&template).await;
        assert_eq!(ground.differences(&template, &listed), [""; 0]);
        ground.delete(&template, &made).await;
        assert_eq!(names(&ground), ["copy"]);
    });
}
