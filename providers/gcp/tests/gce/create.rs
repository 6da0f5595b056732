//! Making machines: what is sent, how often, and what comes of too little room.

use meshvm_gce::{Manners, Refused};
use meshvm_provider_api::{ErrorClass, Growth, NoPrivateFiles, labels};
use serde_json::{Value, json};

use crate::ground::{Ground, batch, counts, ids, on_gce};

const BULK: &str = "instances.bulkInsert";

/// Returns machine types of what there is, sorted.
fn types(ground: &Ground) -> Vec<String> {
    let instances = ground.gce.instances();
    let types = instances
        .iter()
        .map(|it| it["machineType"].as_str().unwrap());
    let mut types: Vec<String> = types
        .map(|it| it.rsplit('/').next().unwrap().to_owned())
        .collect();
    types.sort();
    types
}

#[test]
fn a_batch_is_one_call_whose_machines_have_all_that_they_are_known_by() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        ground.calls();
        let batch = batch(&template, 50);
        let created = ground.create(&batch).await.unwrap();
        assert_eq!(created.machines.len(), 50);
        let expected = [
            ("instances.aggregatedList", 2),
            (BULK, 1),
            ("zoneOperations.wait", 1),
        ];
        let sent = ground.gce.sent(BULK);
        assert_eq!(ground.calls(), counts(&expected));
        let names: Vec<&str> = created.machines.iter().map(|it| it.name.as_str()).collect();
        let last = batch.key.machine_name("web", 49);
        assert!(names.contains(&last.as_str()), "{names:?}");
        let properties = &sent[0]["instanceProperties"];
        let disk = &properties["disks"][0];
        assert_eq!(disk["autoDelete"], json!(true));
        for labels in [&properties["labels"], &disk["initializeParams"]["labels"]] {
            for label in labels::ALWAYS {
                assert!(labels[label].is_string(), "{label} in {labels}");
            }
        }
        let shielded = json!({
            "enableSecureBoot": true, "enableVtpm": true, "enableIntegrityMonitoring": true,
        });
        assert_eq!(properties["shieldedInstanceConfig"], shielded);
        let interface = &properties["networkInterfaces"][0];
        assert_eq!(interface["accessConfigs"], Value::Null, "{interface}");
        ground.delete(&template, &created.machines).await;
        assert_eq!(ground.gce.instances(), [Value::Null; 0]);
        assert_eq!(ground.gce.disks(), [Value::Null; 0]);
    });
}

#[test]
fn a_lost_reply_makes_nothing_twice_though_listings_lag() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        ground.gce.behave(|now| {
            now.lag = 50;
            now.lose_every = 1;
        });
        let batch = batch(&template, 3);
        let error = ground.create(&batch).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::ReplyLost, "{error}");
        assert_eq!(ground.gce.instances().len(), 3);
        ground.gce.behave(|now| now.lose_every = 0);
        let created = ground.create(&batch).await.unwrap();
        assert_eq!((created.machines.len(), created.shortfall), (3, None));
        ground.gce.settle();
        let again = ground.create(&batch).await.unwrap();
        assert_eq!(ids(&again.machines), ids(&created.machines));
        assert_eq!(ground.gce.instances().len(), 3);
    });
}

#[test]
fn once_the_request_is_forgotten_the_names_are_taken() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        let batch = batch(&template, 3);
        let created = ground.create(&batch).await.unwrap();
        ground.gce.forget_requests();
        ground.gce.hide(5);
        let again = ground.create(&batch).await.unwrap();
        assert_eq!(ids(&again.machines), ids(&created.machines));
        assert_eq!(again.shortfall, None);
        assert_eq!(ground.gce.instances().len(), 3);
    });
}

#[test]
fn the_next_type_is_taken_for_what_one_has_no_room_for() {
    on_gce(async || {
        let ground = Ground::with(Manners {
            room: [("n2-standard-2".to_owned(), 2)].into(),
            ..Manners::default()
        })
        .await;
        let block = json!({"machineType": ["n2-standard-2", "e2-medium"]});
        let template = ground.template(&block).await;
        let created = ground.create(&batch(&template, 5)).await.unwrap();
        assert_eq!((created.machines.len(), created.shortfall), (5, None));
        let (other, first) = ("e2-medium", "n2-standard-2");
        assert_eq!(types(&ground), [other, other, other, first, first]);
        assert_eq!(ground.differences(&template, &created.machines), [""; 0]);
    });
}

#[test]
fn what_an_operation_says_when_it_is_done_decides() {
    on_gce(async || {
        for (reason, status, class) in [
            ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", 503, None),
            ("QUOTA_EXCEEDED", 403, None),
            ("INVALID_FIELD_VALUE", 400, Some(ErrorClass::Invalid)),
            ("PERMISSIONS_ERROR", 403, Some(ErrorClass::PermissionDenied)),
        ] {
            let ground = Ground::new().await;
            let block = json!({"machineType": ["n2-standard-2", "e2-medium"]});
            let template = ground.template(&block).await;
            // The call succeeds, and what it began does not.
            let failure = Refused::later(BULK, status, reason);
            ground.gce.behave(|now| now.refusals.push(failure));
            let created = ground.create(&batch(&template, 2)).await;
            match class {
                // Where there was no room, the next type is tried.
                None => {
                    assert_eq!(created.unwrap().machines.len(), 2, "{reason}");
                    assert_eq!(types(&ground), ["e2-medium", "e2-medium"]);
                }
                Some(class) => {
                    let error = created.unwrap_err();
                    assert_eq!(error.class, class, "{reason}");
                    assert!(error.message.contains(reason), "{}", error.message);
                    assert_eq!(types(&ground), [""; 0]);
                }
            }
        }
    });
}

#[test]
fn a_zone_without_room_hands_on_to_the_next() {
    on_gce(async || {
        let ground = Ground::with(Manners {
            full: ["europe-west1-b".to_owned()].into(),
            ..Manners::default()
        })
        .await;
        let block = json!({"zones": ["europe-west1-b", "europe-west1-c", "europe-west1-d"]});
        let template = ground.template(&block).await;
        let asked = batch(&template, 3);
        let created = ground.create(&asked).await.unwrap();
        assert_eq!((created.machines.len(), created.shortfall), (3, None));
        for machine in &created.machines {
            assert_eq!(machine.zone, "europe-west1-c");
            assert_eq!(machine.labels["meshvm-zone"], "europe-west1-b");
        }
        assert_eq!(ground.differences(&template, &created.machines), [""; 0]);
        // Whether there is room by now or not, the same batch is the same machines.
        ground.gce.behave(|now| now.full.clear());
        let again = ground.create(&asked).await.unwrap();
        assert_eq!(ids(&again.machines), ids(&created.machines));
        ground
            .gce
            .behave(|now| now.full.extend(template.zones.iter().cloned()));
        let error = ground.create(&batch(&template, 1)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Capacity);
    });
}

#[test]
fn too_little_room_is_a_shortfall_and_none_an_error() {
    on_gce(async || {
        let ground = Ground::with(Manners {
            room: [("e2-small".to_owned(), 2)].into(),
            ..Manners::default()
        })
        .await;
        let template = ground.template(&json!({})).await;
        let created = ground.create(&batch(&template, 5)).await.unwrap();
        assert_eq!(created.machines.len(), 2);
        let shortfall = created.shortfall.unwrap();
        assert_eq!(shortfall.class, ErrorClass::Capacity);
        assert!(
            shortfall.message.contains("ZONE_RESOURCE_POOL_EXHAUSTED"),
            "{shortfall:?}"
        );
        let error = ground.create(&batch(&template, 1)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Capacity);
        assert!(error.hint.unwrap().contains("machineType"));
        ground.gce.behave(|now| {
            now.room.clear();
            now.quota = 3;
        });
        let created = ground.create(&batch(&template, 5)).await.unwrap();
        assert_eq!(created.machines.len(), 1);
        assert_eq!(created.shortfall.unwrap().class, ErrorClass::Quota);
    });
}

#[test]
fn machines_have_all_that_the_block_asks_for() {
    on_gce(async || {
        let ground = Ground::new().await;
        let block = json!({
            "zones": ["europe-west1-d"],
            "network": "acme",
            "subnetwork": "vms",
            "tags": ["web", "api"],
            "serviceAccount": {"email": "web@acme-vms.iam.gserviceaccount.com"},
            "bootDisk": {"size": "40GiB", "type": "pd-balanced"},
            "disks": [{"name": "data", "size": "100GiB", "type": "pd-ssd"}],
            "spot": {"interruption": "stop"},
            "shielded": {"secureBoot": false},
            "labels": {"team": "a"},
            "metadata": {"role": "web"},
            "publicAddress": true,
        });
        let template = ground.template(&block).await;
        let made = ground.make(&template, 1).await;
        assert_eq!(made[0].zone, "europe-west1-d");
        let listed = ground.list(&template).await;
        assert_eq!(ground.differences(&template, &listed), [""; 0]);
        let sent = ground.gce.sent(BULK).remove(0);
        let properties = &sent["instanceProperties"];
        assert_eq!(properties["scheduling"]["provisioningModel"], "SPOT");
        let account = &properties["serviceAccounts"][0];
        let scope = "https://www.googleapis.com/auth/cloud-platform";
        assert_eq!(account["scopes"], json!([scope]));
        let plain = ground.template(&json!({"zones": ["europe-west1-d"]})).await;
        let mut differs = ground.differences(&plain, &listed);
        differs.sort();
        let expected = [
            "label.team",
            "metadata.role",
            "publicAddress",
            "serviceAccount.scopes",
            "shielded.secureBoot",
            "spot",
            "tags",
        ];
        assert_eq!(differs, expected);
        assert_eq!(ground.gce.disks().len(), 2);
        ground.delete(&template, &made).await;
        assert_eq!(ground.gce.disks(), [Value::Null; 0]);
    });
}

#[test]
fn a_reservation_is_used_up_by_name() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({"reservation": "block-a"})).await;
        ground.make(&template, 1).await;
        let listed = ground.list(&template).await;
        assert_eq!(ground.differences(&template, &listed), [""; 0]);
        let sent = ground.gce.sent(BULK).remove(0);
        let expected = json!({
            "consumeReservationType": "SPECIFIC_RESERVATION",
            "key": "compute.googleapis.com/reservation-name",
            "values": ["block-a"],
        });
        assert_eq!(sent["instanceProperties"]["reservationAffinity"], expected);
    });
}

#[test]
fn protection_is_set_on_what_is_made_and_has_to_go_before_it() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({"deletionProtection": true})).await;
        let made = ground.make(&template, 2).await;
        let listed = ground.list(&template).await;
        assert_eq!(ground.differences(&template, &listed), [""; 0]);
        let provider = ground.open(&template).await;
        let refused = provider.delete("shop", &ids(&made)).await.unwrap_err();
        assert_eq!(refused.class, ErrorClass::Conflict);
        assert!(refused.hint.unwrap().contains("deletionProtection"));
        assert_eq!(ground.gce.instances().len(), 2);
        let open = ground.template(&json!({})).await;
        let all = ["deletionProtection"];
        ground.update(&open, &made, &all).await.unwrap();
        ground.delete(&open, &made).await;
        assert_eq!(ground.gce.instances(), [Value::Null; 0]);
    });
}

#[test]
fn user_data_is_as_large_as_an_item_of_metadata_may_be() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        let limit = meshvm_provider_api::Kind::info(&ground.kind)
            .user_data
            .limit;
        let mut largest = batch(&template, 1);
        largest.user_data = "x".repeat(limit);
        ground.create(&largest).await.unwrap();
        let mut over = batch(&template, 1);
        over.user_data = "x".repeat(limit + 1);
        let error = ground.create(&over).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Invalid, "{error}");
    });
}

#[test]
fn a_template_that_the_cloud_has_not_seen_makes_nothing() {
    on_gce(async || {
        let ground = Ground::new().await;
        let named = ground.named(&json!({}));
        let provider = ground.open(&named).await;
        let answer = provider.create(&batch(&named, 1), &NoPrivateFiles).await;
        assert_eq!(answer.unwrap_err().class, ErrorClass::Invalid);
        assert_eq!(ground.calls(), counts(&[]));
    });
}

#[test]
fn what_failed_inside_the_cloud_is_asked_for_anew() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        let mut refusal = Refused::new(BULK, 500, "INTERNAL_ERROR");
        refusal.is_later = true;
        ground.gce.behave(|now| now.refusals.push(refusal));
        let batch = batch(&template, 2);
        let made = ground.create(&batch).await.unwrap().machines;
        assert_eq!(made.len(), 2);
        // The same batch again learns of both requests, and makes nothing.
        let again = ground.create(&batch).await.unwrap().machines;
        assert_eq!(ids(&again), ids(&made));
        assert_eq!(ground.gce.instances().len(), 2);
    });
}

#[test]
fn where_a_zone_has_no_such_type_the_next_one_is_taken_and_made_to_measure_is_one() {
    on_gce(async || {
        let ground = Ground::new().await;
        let block = json!({
            "zones": ["europe-west1-c"],
            "machineType": ["c3-standard-4", "n2-custom-4-8192"],
        });
        let template = ground.template(&block).await;
        let provider = ground.open(&template).await;
        let two = Growth::from([("europe-west1-c".to_owned(), 2)]);
        provider.check(&template, &two).await.unwrap();
        let made = ground.make(&template, 2).await;
        let kinds = made.iter().map(|it| it.attributes["machineType"].clone());
        assert_eq!(Vec::from_iter(kinds), ["n2-custom-4-8192"; 2]);
        let listed = ground.list(&template).await;
        assert_eq!(ground.differences(&template, &listed), [""; 0]);
        // Its processors count.
        ground
            .gce
            .behave(|now| now.limits = [("N2_CPUS".to_owned(), 8)].into());
        let block = json!({"zones": ["europe-west1-c"], "machineType": "n2-custom-4-8192"});
        let alone = ground.template(&block).await;
        let one = Growth::from([("europe-west1-c".to_owned(), 1)]);
        let error = provider.check(&alone, &one).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Quota, "{error}");
    });
}
