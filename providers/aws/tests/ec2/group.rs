//! Security groups of fleets' own.

use meshvm_ec2::Refusal;
use meshvm_provider_api::ErrorClass;
use serde_json::{Value, json};

use crate::ground::{Ground, STACK, batch, ids};

fn block(ports: &[u16]) -> Value {
    json!({"securityGroup": {"owned": {"ports": ports, "from": ["10.0.0.0/8", "fd00::/8"]}}})
}

/// Returns the stack's groups: their ids, and how many rules each has.
async fn groups(ground: &Ground) -> Vec<(String, usize)> {
    let all = ground.ec2.describe_security_groups().send().await.unwrap();
    let own = all.security_groups().iter().filter(|group| {
        let tags = group.tags().iter();
        let mut tags = tags.map(|tag| (tag.key().unwrap(), tag.value().unwrap()));
        tags.any(|tag| tag == ("meshvm-stack", STACK))
    });
    let rules = |group: &aws_sdk_ec2::types::SecurityGroup| {
        let permissions = group.ip_permissions().iter();
        permissions
            .map(|it| it.ip_ranges().len() + it.ipv6_ranges().len())
            .sum()
    };
    own.map(|group| (group.group_id().unwrap().to_owned(), rules(group)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_has_one_group_and_it_goes_with_the_last_machine() {
    let ground = Ground::new().await;
    let template = ground.template(&block(&[8080, 15021])).await;
    let batches = [
        batch(&template, 1),
        batch(&template, 1),
        batch(&template, 1),
    ];
    let made = futures::future::join_all(batches.iter().map(|batch| ground.create(batch))).await;
    let made: Vec<_> = made
        .into_iter()
        .map(|made| made.unwrap().machines)
        .collect();
    let found = groups(&ground).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].1, 4, "each port from each network");
    ground.calls();
    let listed = ground.list(&template).await;
    assert_eq!(ground.calls()["DescribeSecurityGroups"], 1);
    assert_eq!(ground.differences(&template, &listed), [""; 0]);
    assert_eq!(
        listed[0].attributes["securityGroups"],
        json!([]),
        "it is told by itself"
    );

    let provider = ground.open(&template).await;
    provider.delete(STACK, &ids(&made[0])).await.unwrap();
    assert_eq!(groups(&ground).await.len(), 1, "others are in it");
    let refusal = Refusal::new("DeleteSecurityGroup", 400, "DependencyViolation", "No.");
    ground.proxy.behave(|now| now.refusals.push(refusal));
    let last = [ids(&made[1]), ids(&made[2])].concat();
    provider.delete(STACK, &last).await.unwrap();
    assert_eq!(groups(&ground).await, []);
    assert_eq!(ground.calls()["DeleteSecurityGroup"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_group_lets_in_changes_in_place_and_drift_is_seen() {
    let ground = Ground::new().await;
    let template = ground.template(&block(&[8080])).await;
    let made = ground.make(&template, 2).await;
    let after = ground.template(&block(&[8080, 9090])).await;
    let owned = ["securityGroup.owned", "securityGroup.owned"];
    assert_eq!(
        ground.differences(&after, &ground.list(&after).await),
        owned
    );
    ground.update(&after, &made, &owned[..1]).await.unwrap();
    assert_eq!(
        ground.differences(&after, &ground.list(&after).await),
        [""; 0]
    );
    let found = groups(&ground).await;
    assert_eq!(found.iter().map(|it| it.1).collect::<Vec<_>>(), [4]);
    // A rule more, by hand.
    let more = ground.ec2.authorize_security_group_ingress();
    let more = more.group_id(&found[0].0).ip_protocol("tcp");
    let more = more.from_port(22).to_port(22).cidr_ip("0.0.0.0/0");
    more.send().await.unwrap();
    assert_eq!(
        ground.differences(&after, &ground.list(&after).await),
        owned
    );
    ground.update(&after, &made, &owned[..1]).await.unwrap();
    assert_eq!(
        ground.differences(&after, &ground.list(&after).await),
        [""; 0]
    );
    assert_eq!(groups(&ground).await[0].1, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_without_a_group_get_one_beside_those_they_have() {
    let ground = Ground::new().await;
    let before = ground.template(&json!({})).await;
    let made = ground.make(&before, 2).await;
    let has = made[0].attributes["securityGroups"].clone();
    let after = ground.template(&block(&[8080])).await;
    let attributes = ["securityGroup.owned"];
    ground.update(&after, &made, &attributes).await.unwrap();
    let listed = ground.list(&after).await;
    assert_eq!(ground.differences(&after, &listed), [""; 0]);
    assert_eq!(listed[0].attributes["securityGroups"], has);
    let provider = ground.open(&after).await;
    provider.delete(STACK, &ids(&made)).await.unwrap();
    assert_eq!(groups(&ground).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_somebody_elses_is_not_taken() {
    let ground = Ground::new().await;
    let template = ground.template(&block(&[8080])).await;
    let subnets = ground.ec2.describe_subnets().send().await.unwrap();
    let vpc = subnets.subnets()[0].vpc_id().unwrap();
    let other = ground.ec2.create_security_group().vpc_id(vpc);
    let other = other.group_name("meshvm-shop-web").description("mine");
    let id = other.send().await.unwrap().group_id.unwrap();
    let error = ground.create(&batch(&template, 1)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Conflict, "{error}");
    assert!(error.message.contains(&id), "{error}");
    assert!(!ground.calls().contains_key("RunInstances"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_halves_of_a_fleet_that_go_at_once_take_its_group() {
    let ground = Ground::new().await;
    let template = ground.template(&block(&[8080])).await;
    let made = ground.make(&template, 4).await;
    let (first, second) = made.split_at(2);
    let provider = ground.open(&template).await;
    let (first, second) = (ids(first), ids(second));
    let (first, second) = futures::future::join(
        provider.delete(STACK, &first),
        provider.delete(STACK, &second),
    )
    .await;
    first.unwrap();
    second.unwrap();
    assert_eq!(groups(&ground).await, []);
}
