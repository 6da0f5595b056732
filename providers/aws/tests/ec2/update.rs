//! Changing machines: in place, in batches, and only what differs.

use meshvm_ec2::Refusal;
use meshvm_provider_api::{ErrorClass, Kind as _, Labels, Power, Update};
use serde_json::json;

use crate::ground::{Ground, counts, ids};

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_many_change_in_a_few_calls() {
    let ground = Ground::new().await;
    let before = ground
        .template(&json!({"tags": {"a": "1", "b": "2"}}))
        .await;
    let after = ground.template(&json!({"tags": {"a": "9"}})).await;
    let made = ground.make(&before, 300).await;
    ground.calls();
    let attributes = ["tags.a", "tags.b"];
    ground.update(&after, &made, &attributes).await.unwrap();
    let calls = [
        ("CreateTags", 1),
        ("DeleteTags", 1),
        ("DescribeInstances", 2),
    ];
    assert_eq!(ground.calls(), counts(&calls));
    let listed = ground.list(&after).await;
    assert_eq!(listed.len(), 300);
    assert_eq!(ground.differences(&after, &listed), [""; 0]);
    assert!(
        listed
            .iter()
            .all(|machine| !machine.labels.contains_key("b"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_another_set_stays() {
    let ground = Ground::new().await;
    let template = ground.template(&json!({"tags": {"a": "1"}})).await;
    let made = ground.make(&template, 1).await;
    let tag = aws_sdk_ec2::types::Tag::builder();
    let tag = tag.key("billed-by").value("finance").build();
    let set = ground.ec2.create_tags().resources(&made[0].id.0).tags(tag);
    set.send().await.unwrap();
    let none = ground.template(&json!({})).await;
    let listed = ground.list(&template).await;
    assert_eq!(ground.differences(&none, &listed), ["tags.a"]);
    ground.update(&none, &listed, &["tags.a"]).await.unwrap();
    let listed = ground.list(&none).await;
    assert_eq!(listed[0].labels["billed-by"], "finance");
    assert_eq!(ground.differences(&none, &listed), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_let_go_keeps_nothing_of_ours() {
    let ground = Ground::new().await;
    let template = ground.template(&json!({"tags": {"a": "1"}})).await;
    let made = ground.make(&template, 1).await;
    let forget = Update {
        machines: ids(&made),
        template: None,
        attributes: Vec::new(),
        start: false,
        set_labels: Labels::new(),
        remove_labels: meshvm_provider_api::labels::ALL.map(str::to_owned).to_vec(),
    };
    let provider = ground.open(&template).await;
    provider.update(&forget).await.unwrap();
    let id = &made[0].id.0;
    let seen = ground.ec2.describe_instances().instance_ids(id);
    let seen = seen.send().await.unwrap();
    let tags = seen.reservations()[0].instances()[0].tags().iter();
    let mut keys: Vec<&str> = tags.map(|tag| tag.key().unwrap()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["Name", "a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_new_machine_has_is_refused() {
    let ground = Ground::new().await;
    let template = ground.template(&json!({})).await;
    let made = ground.make(&template, 1).await;
    ground.calls();
    let answer = ground.update(&template, &made, &["image"]).await;
    assert_eq!(answer.unwrap_err().class, ErrorClass::Invalid);
    assert_eq!(ground.calls(), counts(&[("DescribeInstances", 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_type_is_the_next_one_where_there_is_no_room_for_the_first() {
    let ground = Ground::new().await;
    let before = ground.template(&json!({})).await;
    let made = ground.make(&before, 2).await;
    let types = json!({"instanceType": ["c7g.large", "c7g.xlarge"]});
    let after = ground.template(&types).await;
    let code = "InsufficientInstanceCapacity";
    let refusal = Refusal::new("StartInstances", 500, code, "No room.");
    ground.proxy.behave(|now| now.refusals.push(refusal));
    ground
        .update(&after, &made, &["instanceType"])
        .await
        .unwrap();
    let listed = ground.list(&after).await;
    assert_eq!(listed.len(), 2);
    for machine in &listed {
        assert_eq!(machine.attributes["instanceType"], "c7g.xlarge");
        assert_eq!(machine.power, Power::Running);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ec2_would_not_terminate_is_known() {
    let ground = Ground::new().await;
    for is_protected in [true, false] {
        let block = json!({"terminationProtection": is_protected});
        let template = ground.template(&block).await;
        let made = ground.make(&template, 1).await;
        let listed = ground.list(&template).await;
        let seen = listed.iter().find(|it| it.id == made[0].id).unwrap();
        assert_eq!(ground.kind.is_protected(seen), is_protected);
    }
}
