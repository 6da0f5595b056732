//! Making machines: what is sent, how often, and what comes of too little room.

use meshvm_ec2::Manners;
use meshvm_provider_api::{ErrorClass, NoPrivateFiles, labels};
use serde_json::json;

use crate::ground::{Ground, batch, counts, ids};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_call_with_a_count_under_its_token() {
    let ground = Ground::new().await;
    let template = ground.template(&json!({})).await;
    ground.calls();
    let batch = batch(&template, 100);
    let created = ground.create(&batch).await.unwrap();
    assert_eq!(created.machines.len(), 100);
    let calls = ground.proxy.calls();
    assert_eq!(
        calls,
        counts(&[("DescribeInstances", 1), ("RunInstances", 1)])
    );
    let sent = ground.proxy.sent("RunInstances").remove(0);
    let value = |name: &str| sent.get(name).map(String::as_str);
    assert_eq!(value("MaxCount"), Some("100"));
    assert_eq!(value("MinCount"), Some("1"), "as many as there is room for");
    let token = format!("{}-0", batch.key);
    assert_eq!(value("ClientToken"), Some(token.as_str()));
    assert_eq!(value("MetadataOptions.HttpTokens"), Some("required"));
    assert_eq!(value("MetadataOptions.HttpPutResponseHopLimit"), Some("1"));
    for kind in ["instance", "volume", "network-interface"] {
        let of_kind = (1..4).find(|number| {
            let name = format!("TagSpecification.{number}.ResourceType");
            value(&name) == Some(kind)
        });
        let prefix = format!("TagSpecification.{}.Tag.", of_kind.unwrap());
        let keys: Vec<&str> = sent
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix) && name.ends_with(".Key"))
            .map(|(_, key)| key.as_str())
            .collect();
        for label in labels::ALWAYS {
            assert!(keys.contains(&label), "{label} of the {kind}: {keys:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_makes_nothing_twice_though_listings_lag() {
    let ground = Ground::new().await;
    let template = ground.template(&json!({})).await;
    ground.proxy.behave(|now| {
        now.lag = 50;
        now.lose_every = 1;
    });
    let batch = batch(&template, 3);
    for _ in 0..3 {
        let error = ground.create(&batch).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::ReplyLost);
    }
    ground.proxy.behave(|now| now.lose_every = 0);
    let created = ground.create(&batch).await.unwrap();
    ground.proxy.settle();
    let mut listed = ids(&ground.list(&template).await);
    let mut made = ids(&created.machines);
    listed.sort();
    made.sort();
    assert_eq!(listed, made);
    assert_eq!(made.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_type_is_taken_for_what_one_has_no_room_for() {
    let ground = Ground::with(Manners {
        room: [("m7g.large".to_owned(), 2), ("m6g.large".to_owned(), 9)].into(),
        ..Manners::default()
    })
    .await;
    let types = json!({"instanceType": ["m7g.large", "m6g.large"]});
    let template = ground.template(&types).await;
    ground.calls();
    let batch = batch(&template, 5);
    let created = ground.create(&batch).await.unwrap();
    assert_eq!(created.shortfall, None);
    let mut kinds: Vec<&str> = created
        .machines
        .iter()
        .map(|machine| machine.attributes["instanceType"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            "m6g.large",
            "m6g.large",
            "m6g.large",
            "m7g.large",
            "m7g.large"
        ]
    );
    assert_eq!(ground.proxy.sent("RunInstances").len(), 2);
    assert_eq!(ground.differences(&template, &created.machines), [""; 0]);
    // The same batch again is the same machines, though there would be room by now.
    ground.proxy.behave(|now| now.room.clear());
    let again = ground.create(&batch).await.unwrap();
    assert_eq!(ids(&again.machines), ids(&created.machines));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_without_room_hands_on_to_the_next() {
    let ground = Ground::new().await;
    let template = ground
        .template(&json!({"zones": ["eu-west-1a", "eu-west-1b"]}))
        .await;
    let asked = batch(&template, 3);
    let first = ground.create(&batch(&template, 1)).await.unwrap();
    let subnet = first.machines[0].attributes["subnets"]
        .as_str()
        .unwrap()
        .to_owned();
    ground.proxy.behave(|now| now.full = [subnet].into());
    let created = ground.create(&asked).await.unwrap();
    assert_eq!((created.machines.len(), created.shortfall), (3, None));
    for machine in &created.machines {
        assert_eq!(machine.zone, "eu-west-1b");
        assert_eq!(machine.labels["meshvm-zone"], "eu-west-1a");
    }
    assert_eq!(ground.differences(&template, &created.machines), [""; 0]);
    ground.proxy.behave(|now| now.full.clear());
    let again = ground.create(&asked).await.unwrap();
    assert_eq!(ids(&again.machines), ids(&created.machines));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_room_is_a_shortfall_and_none_an_error() {
    let ground = Ground::with(Manners {
        room: [("m7g.large".to_owned(), 2)].into(),
        ..Manners::default()
    })
    .await;
    let template = ground.template(&json!({})).await;
    let created = ground.create(&batch(&template, 5)).await.unwrap();
    assert_eq!(created.machines.len(), 2);
    let shortfall = created.shortfall.unwrap();
    assert_eq!(shortfall.class, ErrorClass::Capacity);
    assert!(
        shortfall.message.contains("2 of 5"),
        "{}",
        shortfall.message
    );
    let error = ground.create(&batch(&template, 1)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Capacity);
    let hint = error.hint.unwrap();
    assert!(hint.contains("instanceType"), "{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_have_all_that_the_block_asks_for() {
    let ground = Ground::new().await;
    let key = ground.ec2.create_key_pair().key_name("ops");
    key.send().await.unwrap();
    let block = json!({
        "keyPair": "ops",
        "rootVolume": {"size": "40GiB", "type": "gp3", "encrypted": true},
        "volumes": [{"device": "/dev/sdf", "volume": {"size": "7GiB", "type": "gp2"}}],
        "metadata": {"tokens": "optional", "hopLimit": 2},
        "publicAddress": true,
        "terminationProtection": true,
        "tags": {"team": "a", "cost-center": "7"},
    });
    let template = ground.template(&block).await;
    let made = ground.make(&template, 2).await;
    let listed = ground.list(&template).await;
    assert_eq!(listed.len(), 2);
    assert_eq!(ground.differences(&template, &listed), [""; 0]);
    let seen = &listed[0].attributes;
    assert_eq!(seen["rootVolume.size"], json!("40GiB"));
    assert_eq!(seen["volumes./dev/sdf.size"], json!("7GiB"));
    let sent = ground.proxy.sent("RunInstances").remove(0);
    assert_eq!(sent["DisableApiTermination"], "true");
    // The server does not take that with the call that makes them, as EC2 does.
    let attributes = ["terminationProtection"];
    ground.update(&template, &made, &attributes).await.unwrap();
    // Protected, as was asked for: the way is to lift it first.
    let provider = ground.open(&template).await;
    let error = provider.delete("shop", &ids(&made)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Conflict);
    assert!(error.hint.unwrap().contains("terminationProtection"));
    let lifted = ground
        .template(&json!({"terminationProtection": false}))
        .await;
    ground.update(&lifted, &made, &attributes).await.unwrap();
    provider.delete("shop", &ids(&made)).await.unwrap();
    assert_eq!(ground.list(&template).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_others_changed_is_drift() {
    let ground = Ground::new().await;
    let template = ground
        .template(&json!({"rootVolume": {"size": "20GiB"}}))
        .await;
    ground.make(&template, 1).await;
    let larger = ground
        .template(&json!({"rootVolume": {"size": "30GiB"}}))
        .await;
    let listed = ground.list(&template).await;
    assert_eq!(ground.differences(&larger, &listed), ["rootVolume.size"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn spot_machines_are_made_and_known() {
    let ground = Ground::new().await;
    let block = json!({"spot": {"maxPrice": "0.05", "interruption": "stop"}});
    let template = ground.template(&block).await;
    ground.proxy.forget_calls();
    ground.make(&template, 1).await;
    let sent = ground.proxy.sent("RunInstances").remove(0);
    let option = |name: &str| sent[&format!("InstanceMarketOptions.{name}")].clone();
    assert_eq!(option("MarketType"), "spot");
    assert_eq!(option("SpotOptions.MaxPrice"), "0.05");
    assert_eq!(option("SpotOptions.InstanceInterruptionBehavior"), "stop");
    assert_eq!(option("SpotOptions.SpotInstanceType"), "persistent");
    let listed = ground.list(&template).await;
    assert_eq!(ground.differences(&template, &listed), [""; 0]);
    let on_demand = ground.template(&json!({})).await;
    assert_eq!(ground.differences(&on_demand, &listed), ["spot"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_the_cloud_has_not_seen_makes_nothing() {
    let ground = Ground::new().await;
    let named = ground.named(&json!({}));
    let provider = ground.open(&named).await;
    let answer = provider.create(&batch(&named, 1), &NoPrivateFiles).await;
    assert_eq!(answer.unwrap_err().class, ErrorClass::Invalid);
    assert_eq!(ground.calls(), counts(&[]));
}
