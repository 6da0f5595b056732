//! Listing: what it costs, and what it shows.

use meshvm_provider_api::{Power, Query};
use serde_json::json;

use crate::ground::{Ground, counts, ids};

#[tokio::test(flavor = "multi_thread")]
async fn listing_many_costs_what_listing_one_does() {
    let ground = Ground::new().await;
    let template = ground.template(&json!({})).await;
    let cost = counts(&[("DescribeInstances", 1), ("DescribeInstanceStatus", 1)]);
    for more in [1, 249] {
        ground.make(&template, more).await;
        ground.calls();
        ground.list(&template).await;
        assert_eq!(ground.calls(), cost, "{more} more");
    }
    let listed = ground.list(&template).await;
    assert_eq!(listed.len(), 250);
    // By id, a page is what one filter takes.
    ground.calls();
    let provider = ground.open(&template).await;
    let by_id = provider.observe(&Query::Machines(ids(&listed))).await;
    assert_eq!(by_id.unwrap().len(), 250);
    let cost = counts(&[("DescribeInstances", 2), ("DescribeInstanceStatus", 1)]);
    assert_eq!(ground.calls(), cost);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_read() {
    let ground = Ground::new().await;
    let template = ground.template(&json!({})).await;
    ground.proxy.behave(|now| now.page = 5);
    for _ in 0..11 {
        ground.make(&template, 2).await;
    }
    ground.calls();
    assert_eq!(ground.list(&template).await.len(), 22);
    let cost = counts(&[("DescribeInstances", 3), ("DescribeInstanceStatus", 1)]);
    assert_eq!(ground.calls(), cost);
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_looked_at_only_where_the_file_speaks_of_them() {
    let ground = Ground::new().await;
    let template = ground
        .template(&json!({"rootVolume": {"size": "20GiB"}}))
        .await;
    ground.make(&template, 3).await;
    ground.calls();
    ground.list(&template).await;
    let cost = [
        ("DescribeInstances", 1),
        ("DescribeInstanceStatus", 1),
        ("DescribeVolumes", 1),
    ];
    assert_eq!(ground.calls(), counts(&cost));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_is_told() {
    let ground = Ground::new().await;
    let template = ground.template(&json!({})).await;
    let made = ids(&ground.make(&template, 4).await);
    ground.list(&template).await;
    let stop = ground.ec2.stop_instances().instance_ids(&made[0].0);
    stop.send().await.unwrap();
    let end = ground.ec2.terminate_instances().instance_ids(&made[1].0);
    end.send().await.unwrap();
    ground.proxy.behave(|now| {
        now.impaired.insert(made[2].0.clone());
    });
    let listed = ground.list(&template).await;
    let power = |index: usize| {
        let machine = listed.iter().find(|machine| machine.id == made[index]);
        machine.map(|machine| machine.power)
    };
    let seen = [power(0), power(1), power(2), power(3)];
    let expected = [
        Some(Power::Stopped),
        None,
        Some(Power::Broken),
        Some(Power::Running),
    ];
    assert_eq!(seen, expected);
}
