//! Changing machines in place.

use std::collections::BTreeMap;

use meshvm_gce::{Manners, Refused};
use meshvm_provider_api::{ErrorClass, Power, Update};
use serde_json::json;

use crate::ground::{Ground, ids, on_gce};

#[test]
fn another_type_stops_the_machine_and_starts_it_again() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        let made = ground.make(&template, 2).await;
        ground.others("POST", &made[1], "/stop", None);
        let larger = ground.template(&json!({"machineType": "e2-medium"})).await;
        ground.calls();
        let all = ["machineType"];
        ground.update(&larger, &made, &all).await.unwrap();
        let calls = ground.calls();
        assert_eq!(calls["instances.stop"], 1, "{calls:?}");
        assert_eq!(calls["instances.setMachineType"], 2, "{calls:?}");
        assert_eq!(
            calls["instances.start"], 1,
            "one was stopped before: {calls:?}"
        );
        let listed = ground.list(&larger).await;
        assert_eq!(ground.differences(&larger, &listed), [""; 0]);
        let running = ground.gce.instances().into_iter();
        let running = running.filter(|it| it["status"] == "RUNNING");
        assert_eq!(running.count(), 1);
    });
}

#[test]
fn a_change_by_others_between_reading_and_writing_is_kept() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({"labels": {"a": "1"}})).await;
        let made = ground.make(&template, 1).await;
        // Twice somebody else sets a label just before the call comes.
        ground.gce.behave(|now| now.meddle = 2);
        let after = ground.template(&json!({"labels": {"a": "2"}})).await;
        ground.calls();
        ground.update(&after, &made, &["label.a"]).await.unwrap();
        assert_eq!(ground.calls()["instances.setLabels"], 3);
        let labels = ground.gce.instances()[0]["labels"].clone();
        assert_eq!(labels["a"], "2");
        assert!(labels["meddler"].is_string(), "{labels}");
        // Tags and metadata have fingerprints of their own.
        for method in ["instances.setTags", "instances.setMetadata"] {
            let stale = Refused::new(method, 412, "conditionNotMet");
            ground.gce.behave(|now| now.refusals.push(stale));
        }
        let after = json!({"tags": ["api"], "metadata": {"x": "1"}, "labels": {"a": "2"}});
        let after = ground.template(&after).await;
        let all = ["tags", "metadata.x"];
        ground.update(&after, &made, &all).await.unwrap();
        let calls = ground.calls();
        assert_eq!(calls["instances.setTags"], 2, "{calls:?}");
        assert_eq!(calls["instances.setMetadata"], 2, "{calls:?}");
        let listed = ground.list(&after).await;
        assert_eq!(ground.differences(&after, &listed), [""; 0]);
    });
}

#[test]
fn what_is_suspended_goes_on_where_it_was() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        let made = ground.make(&template, 2).await;
        let suspend = || ground.others("POST", &made[1], "/suspend", None);
        suspend();
        let listed = ground.list(&template).await;
        let stopped = listed.iter().filter(|it| it.power == Power::Stopped);
        assert_eq!(stopped.count(), 1);
        let mut update = Update {
            machines: ids(&made),
            template: Some(template.clone()),
            attributes: Vec::new(),
            start: true,
            set_labels: BTreeMap::new(),
            remove_labels: Vec::new(),
        };
        ground.calls();
        let provider = ground.open(&template).await;
        provider.update(&update).await.unwrap();
        let calls = ground.calls();
        assert_eq!(calls["instances.resume"], 1, "{calls:?}");
        assert!(!calls.contains_key("instances.start"), "{calls:?}");
        // Another type takes a machine that is stopped.
        suspend();
        let larger = ground.template(&json!({"machineType": "e2-medium"})).await;
        update.template = Some(larger.clone());
        update.attributes = vec!["machineType".to_owned()];
        provider.update(&update).await.unwrap();
        let listed = ground.list(&larger).await;
        assert_eq!(ground.differences(&larger, &listed), [""; 0]);
        assert!(listed.iter().all(|it| it.power == Power::Running));
    });
}

#[test]
fn who_is_always_overtaken_says_so() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({"labels": {"a": "1"}})).await;
        let made = ground.make(&template, 1).await;
        ground.gce.behave(|now| now.meddle = 1000);
        let after = ground.template(&json!({"labels": {"a": "2"}})).await;
        let answer = ground.update(&after, &made, &["label.a"]).await;
        assert_eq!(answer.unwrap_err().class, ErrorClass::Conflict);
    });
}

#[test]
fn what_is_so_already_is_not_sent() {
    on_gce(async || {
        let ground = Ground::new().await;
        let block = json!({"labels": {"a": "1"}, "metadata": {"b": "1"}, "tags": ["x", "y"]});
        let template = ground.template(&block).await;
        let made = ground.make(&template, 1).await;
        ground.calls();
        let all = ["label.a", "metadata.b", "tags", "machineType"];
        ground.update(&template, &made, &all).await.unwrap();
        let calls = ground.calls();
        let reads: Vec<&str> = calls.keys().map(String::as_str).collect();
        assert_eq!(reads, ["instances.aggregatedList"]);
        let error = ground
            .update(&template, &made, &["image"])
            .await
            .unwrap_err();
        assert_eq!(error.class, ErrorClass::Invalid);
    });
}

#[test]
fn an_operation_that_fails_fails_the_change() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        let made = ground.make(&template, 3).await;
        let failure = Refused::later("instances.setTags", 500, "INTERNAL_ERROR");
        ground.gce.behave(|now| now.refusals.push(failure));
        let after = ground.template(&json!({"tags": ["web"]})).await;
        let error = ground.update(&after, &made, &["tags"]).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unavailable, "{error}");
        // The others have theirs, and the next try does the rest.
        let with_tags = |ground: &Ground| {
            let instances = ground.gce.instances().into_iter();
            let with = instances.filter(|it| it["tags"]["items"][0] == "web");
            with.count()
        };
        assert_eq!(with_tags(&ground), 2);
        ground.update(&after, &made, &["tags"]).await.unwrap();
        assert_eq!(with_tags(&ground), 3);
    });
}

#[test]
fn what_left_the_file_leaves_the_machine_and_what_others_set_stays() {
    on_gce(async || {
        let ground = Ground::new().await;
        let block = json!({"labels": {"a": "1", "b": "1"}, "metadata": {"c": "1"}});
        let before = ground.template(&block).await;
        let made = ground.make(&before, 1).await;
        let seen = ground.gce.instances().remove(0);
        let mut labels = seen["labels"].clone();
        labels["billed-by"] = json!("finance");
        let body = json!({"labels": labels, "labelFingerprint": seen["labelFingerprint"]});
        ground.others("POST", &made[0], "/setLabels", Some(&body));
        let after = ground.template(&json!({"labels": {"a": "1"}})).await;
        let listed = ground.list(&after).await;
        let mut differs = ground.differences(&after, &listed);
        differs.sort();
        assert_eq!(differs, ["label.b", "metadata.c"]);
        let all = ["label.b", "metadata.c"];
        ground.update(&after, &listed, &all).await.unwrap();
        let listed = ground.list(&after).await;
        assert_eq!(ground.differences(&after, &listed), [""; 0]);
        assert_eq!(ids(&listed), ids(&made));
        let labels = ground.gce.instances()[0]["labels"].clone();
        assert_eq!(labels["billed-by"], "finance");
        assert_eq!(labels["b"], json!(null));
    });
}

#[test]
fn another_type_is_the_next_one_where_there_is_no_room_for_the_first() {
    on_gce(async || {
        let ground = Ground::new().await;
        let before = ground.template(&json!({})).await;
        let made = ground.make(&before, 2).await;
        let types = json!({"machineType": ["n2-standard-2", "e2-medium"]});
        let after = ground.template(&types).await;
        let refusal = Refused::new("instances.start", 503, "ZONE_RESOURCE_POOL_EXHAUSTED");
        ground.gce.behave(|now| now.refusals.push(refusal));
        ground
            .update(&after, &made, &["machineType"])
            .await
            .unwrap();
        let listed = ground.list(&after).await;
        assert!(listed.iter().all(|it| it.power == Power::Running));
        let kinds = listed.iter().map(|it| it.attributes["machineType"].clone());
        let mut kinds = Vec::from_iter(kinds.map(|it| it.as_str().unwrap().to_owned()));
        kinds.sort();
        assert_eq!(kinds, ["e2-medium", "n2-standard-2"], "one was refused");
    });
}

#[test]
fn operations_on_further_pages_are_waited_for() {
    on_gce(async || {
        let manners = Manners {
            page: 1,
            slow: 20,
            ..Manners::default()
        };
        let ground = Ground::with(manners).await;
        let block = |team: &str| json!({"zones": ["europe-west1-b"], "labels": {"team": team}});
        let before = ground.template(&block("a")).await;
        let made = ground.make(&before, 4).await;
        let after = ground.template(&block("b")).await;
        ground.calls();
        ground.update(&after, &made, &["label.team"]).await.unwrap();
        let calls = ground.calls();
        assert!(calls["zoneOperations.list"] >= 3, "{calls:?}");
        let listed = ground.list(&after).await;
        assert_eq!(ground.differences(&after, &listed), [""; 0]);
    });
}
