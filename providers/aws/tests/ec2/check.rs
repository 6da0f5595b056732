//! Whether machines can be had: quotas, addresses, profiles, all of it at once.

use meshvm_provider_api::{ErrorClass, Growth, ProviderError};
use serde_json::{Value, json};

use crate::ground::{Ground, counts};

/// Looks whether so many machines can be made in one zone.
async fn checked(ground: &Ground, change: &Value, count: u32) -> Result<(), ProviderError> {
    let template = ground.template(change).await;
    ground.calls();
    let growth = Growth::from([(template.zones[0].clone(), count)]);
    let provider = ground.open(&template).await;
    provider.check(&template, &growth).await.map(drop)
}

/// Answers for a quota as Service Quotas does.
fn set_quota(ground: &Ground, code: &str, value: f64) {
    let answer = json!({"Quota": {
        "ServiceCode": "ec2",
        "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
        "QuotaArn": format!("arn:aws:servicequotas:eu-west-1:123456789012:ec2/{code}"),
        "QuotaCode": code,
        "QuotaName": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
        "Value": value,
        "Unit": "None",
        "Adjustable": true,
        "GlobalQuota": false,
        "QuotaAppliedAtLevel": "ACCOUNT",
    }});
    let answer = answer.to_string();
    ground
        .proxy
        .behave(|now| drop(now.answers.insert("GetServiceQuota".to_owned(), answer)));
}

#[tokio::test(flavor = "multi_thread")]
async fn vcpus_beyond_the_quota_are_told_with_what_is_left() {
    let ground = Ground::new().await;
    let template = ground.template(&json!({})).await;
    // Each has two.
    ground.make(&template, 3).await;
    set_quota(&ground, "L-1216C47A", 10.0);
    checked(&ground, &json!({}), 2).await.unwrap();
    let cost = [
        ("DescribeInstanceTypes", 1),
        ("DescribeInstances", 1),
        ("DescribeSubnets", 1),
        ("GetServiceQuota", 1),
    ];
    assert_eq!(ground.calls(), counts(&cost));
    let error = checked(&ground, &json!({}), 3).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Quota);
    let said = "6 more vCPUs are needed, and 4 of 10 are left: L-1216C47A";
    assert!(error.message.contains(said), "{error}");
    assert!(error.hint.unwrap().contains("Service Quotas"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_not_told_is_no_obstacle() {
    let ground = Ground::new().await;
    checked(&ground, &json!({}), 2).await.unwrap();
    let calls = ground.calls();
    assert_eq!(calls.get("GetServiceQuota"), Some(&1), "{calls:?}");
    assert!(!calls.contains_key("DescribeInstances"), "{calls:?}");
    // A fallback that counts for another quota: neither is asked for.
    let both = json!({"instanceType": ["m7g.large", "g5g.xlarge"]});
    checked(&ground, &both, 2).await.unwrap();
    assert!(!ground.calls().contains_key("GetServiceQuota"));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_in_the_way_is_told_at_once() {
    let ground = Ground::new().await;
    set_quota(&ground, "L-1216C47A", 5.0);
    let vpc = ground.ec2.create_vpc().cidr_block("10.9.0.0/16");
    let vpc = vpc.send().await.unwrap();
    let vpc = vpc.vpc().unwrap().vpc_id().unwrap().to_owned();
    let subnet = ground.ec2.create_subnet().cidr_block("10.9.1.0/28");
    let subnet = subnet.vpc_id(&vpc).availability_zone("eu-west-1a");
    let subnet = subnet.send().await.unwrap();
    let subnet = subnet.subnet().unwrap().subnet_id().unwrap().to_owned();
    let groups = ground.ec2.describe_security_groups().send().await.unwrap();
    let default = groups
        .security_groups()
        .iter()
        .find(|group| group.vpc_id() != Some(vpc.as_str()));
    let group = default.unwrap().group_id().unwrap();
    let block = json!({
        "subnets": [subnet],
        "securityGroups": [group],
        "instanceType": "m7i.large",
        "instanceProfile": "arn:aws:iam::123456789012:instance-profile/team/nothing",
    });
    let error = checked(&ground, &block, 40).await.unwrap_err();
    for said in [
        "is for arm64, and m7i.large is not",
        "80 more vCPUs are needed, and 5 of 5 are left",
        group,
        "have 11 addresses left, and 40 machines are to be made there",
        "there is no instance profile `arn:aws:iam::123456789012:instance-profile/team/nothing`",
    ] {
        assert!(error.message.contains(said), "{said}: {error}");
    }
    assert!(!ground.calls().contains_key("RunInstances"));
}
