//! Looking up what a block names, and whether such machines can be had.

use meshvm_provider_api::{Effort, ErrorClass, Growth};
use serde_json::{Value, json};

use crate::ground::{Ground, counts};

#[tokio::test(flavor = "multi_thread")]
async fn images_are_found_by_id_name_and_parameter() {
    let ground = Ground::new().await;
    let parameter = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64";
    let mut found = Vec::new();
    for image in [
        json!({"owner": "137112412989", "name": "al2023-ami-2023.*-kernel-6.1-arm64"}),
        json!({"ssm": parameter}),
        json!("ami-12c6146b"),
    ] {
        let template = ground.template(&json!({"image": image})).await;
        let id = template.attributes["image"].as_str().unwrap().to_owned();
        assert!(id.starts_with("ami-"), "{id}");
        found.push(id);
    }
    assert_eq!(found[2], "ami-12c6146b");
    let mut distinct = found.clone();
    distinct.dedup();
    assert_eq!(distinct, found);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plan_froze_is_not_looked_up_again() {
    let ground = Ground::new().await;
    let named = ground.named(&json!({}));
    let provider = ground.open(&named).await;
    let frozen = provider.prepare(&named, Effort::Look).await.unwrap();
    let calls = [("DescribeImages", 1), ("DescribeSubnets", 1)];
    assert_eq!(ground.calls(), counts(&calls));
    let again = provider.prepare(&frozen, Effort::Look).await.unwrap();
    assert_eq!(again, frozen);
    assert_eq!(ground.calls(), counts(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_come_from_the_subnets_and_subnets_from_the_zones() {
    let ground = Ground::new().await;
    let everywhere = ground.template(&json!({"zones": []})).await;
    assert_eq!(everywhere.zones, ["eu-west-1a", "eu-west-1b", "eu-west-1c"]);
    let subnets = ground.ec2.describe_subnets().send().await.unwrap();
    let b = subnets
        .subnets()
        .iter()
        .find(|subnet| subnet.availability_zone() == Some("eu-west-1b"));
    let id = b.unwrap().subnet_id().unwrap();
    let named = ground
        .template(&json!({"zones": [], "subnets": [id]}))
        .await;
    assert_eq!(named.zones, ["eu-west-1b"]);
    let made = ground.make(&named, 1).await;
    assert_eq!(made[0].zone, "eu-west-1b");
    assert_eq!(made[0].attributes["subnets"], json!(id));
}

async fn refused(ground: &Ground, change: &Value, growth: Option<Growth>) -> (ErrorClass, String) {
    let named = ground.named(change);
    let provider = ground.open(&named).await;
    let answer = match growth {
        None => provider.prepare(&named, Effort::Look).await.map(drop),
        Some(growth) => provider.check(&named, &growth).await.map(drop),
    };
    let error = answer.unwrap_err();
    (error.class, error.message)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_told_before_anything_is_made() {
    let ground = Ground::new().await;
    let vpc = ground.ec2.create_vpc().cidr_block("10.9.0.0/16");
    let vpc = vpc.send().await.unwrap();
    let vpc = vpc.vpc().unwrap().vpc_id().unwrap().to_owned();
    let group = ground.ec2.create_security_group().group_name("elsewhere");
    let group = group.description("g").vpc_id(vpc).send().await.unwrap();
    let group = group.group_id().unwrap();
    let check = || Growth::from([("eu-west-1a".to_owned(), 1)]);
    use ErrorClass::{Invalid, NotFound};
    for (change, growth, class, what) in [
        (
            json!({"image": "ami-00000000000000000"}),
            None,
            NotFound,
            "ami-0000",
        ),
        (
            json!({"image": {"ssm": "/aws/service/nothing"}}),
            None,
            NotFound,
            "/aws/service/nothing",
        ),
        (
            json!({"image": {"owner": "self", "name": "nothing-*"}}),
            None,
            NotFound,
            "nothing-*",
        ),
        (
            json!({"zones": ["eu-west-1z"]}),
            None,
            NotFound,
            "eu-west-1z",
        ),
        (
            json!({"subnets": ["subnet-0"]}),
            None,
            NotFound,
            "eu-west-1a",
        ),
        (
            json!({"instanceType": "m7i.large", "image": {"ssm":
            "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"}}),
            Some(check()),
            Invalid,
            "arm64",
        ),
        (
            json!({"securityGroups": [group]}),
            Some(check()),
            Invalid,
            group,
        ),
    ] {
        let (found, message) = refused(&ground, &change, growth).await;
        assert_eq!(found, class, "{change}: {message}");
        assert!(message.contains(what), "{change}: {message}");
    }
    assert!(!ground.calls().contains_key("RunInstances"));
}
