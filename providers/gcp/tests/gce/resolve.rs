//! Looking up what a block names, and whether such machines can be had.

use meshvm_gce::Refused;
use meshvm_provider_api::{Effort, ErrorClass, Growth};
use meshvm_provider_gcp::denied;
use serde_json::{Value, json};

use crate::ground::{Ground, counts, on_gce};

fn more(count: u32) -> Growth {
    Growth::from([("europe-west1-b".to_owned(), count)])
}

#[test]
fn the_newest_image_is_taken_and_what_a_plan_froze_is_not_looked_up_again() {
    on_gce(async || {
        let ground = Ground::new().await;
        let named = ground.named(&json!({}));
        let provider = ground.open(&named).await;
        let frozen = provider.prepare(&named, Effort::Look).await.unwrap();
        let newest = "projects/debian-cloud/global/images/debian-12-bookworm-v20260901";
        assert_eq!(frozen.attributes["image"], newest);
        let zones = ["europe-west1-b", "europe-west1-c", "europe-west1-d"];
        assert_eq!(frozen.zones, zones);
        let calls = [("images.getFromFamily", 1), ("regions.get", 1)];
        assert_eq!(ground.calls(), counts(&calls));
        let again = provider.prepare(&frozen, Effort::Look).await.unwrap();
        assert_eq!(again, frozen);
        assert_eq!(ground.calls(), counts(&[]));
    });
}

#[test]
fn what_cannot_be_had_is_told_before_anything_is_made() {
    on_gce(async || {
        let ground = Ground::new().await;
        use ErrorClass::{Invalid, NotFound};
        let family = |name: &str| json!({"project": "debian-cloud", "family": name});
        let image = "projects/debian-cloud/global/images/none";
        for (change, growth, class, what) in [
            (json!({"image": family("none")}), None, NotFound, "none"),
            (json!({"image": image}), None, NotFound, "none"),
            (
                json!({"zones": ["europe-west1-z"]}),
                None,
                NotFound,
                "europe-west1-z",
            ),
            (
                json!({"bootDisk": {"size": "5GiB"}}),
                None,
                Invalid,
                "10GiB",
            ),
            (
                json!({"subnetwork": "none"}),
                Some(more(1)),
                NotFound,
                "none",
            ),
            (json!({"network": "none"}), Some(more(1)), NotFound, "none"),
            (
                json!({"network": "default", "subnetwork": "vms"}),
                Some(more(1)),
                Invalid,
                "acme",
            ),
            (
                json!({"machineType": "none-1"}),
                Some(more(1)),
                NotFound,
                "none-1",
            ),
            (
                json!({"image": family("debian-12-arm64")}),
                Some(more(1)),
                Invalid,
                "ARM64",
            ),
        ] {
            let named = ground.named(&change);
            let provider = ground.open(&named).await;
            let answer = match growth {
                None => provider.prepare(&named, Effort::Look).await.map(drop),
                Some(growth) => provider.check(&named, &growth).await.map(drop),
            };
            let error = answer.unwrap_err();
            assert_eq!(error.class, class, "{change}: {error}");
            assert!(error.message.contains(what), "{change}: {}", error.message);
        }
        assert_eq!(ground.gce.instances(), [Value::Null; 0], "nothing was made");
    });
}

#[test]
fn a_quota_is_told_by_how_many_machines_are_still_to_be_made() {
    on_gce(async || {
        let ground = Ground::new().await;
        for (change, metric, limit, fits) in [
            (json!({}), "CPUS", 4, 2),
            (json!({"machineType": "n2-standard-2"}), "N2_CPUS", 6, 3),
            (json!({"spot": {}}), "PREEMPTIBLE_CPUS", 2, 1),
            (json!({"publicAddress": true}), "IN_USE_ADDRESSES", 3, 3),
            (
                json!({"bootDisk": {"size": "50GiB", "type": "pd-ssd"}}),
                "SSD_TOTAL_GB",
                120,
                2,
            ),
        ] {
            ground
                .gce
                .behave(|now| now.limits = [(metric.to_owned(), limit)].into());
            let named = ground.named(&change);
            let provider = ground.open(&named).await;
            provider.check(&named, &more(fits)).await.unwrap();
            let refused = provider.check(&named, &more(fits + 1)).await;
            let error = refused.unwrap_err();
            assert_eq!(error.class, ErrorClass::Quota, "{error}");
            assert!(error.message.contains(metric), "{}", error.message);
        }
        // What one type has no quota for may be another's.
        ground
            .gce
            .behave(|now| now.limits = [("N2_CPUS".to_owned(), 2)].into());
        let both = json!({"machineType": ["n2-standard-2", "e2-small"]});
        let named = ground.named(&both);
        let provider = ground.open(&named).await;
        provider.check(&named, &more(9)).await.unwrap();
    });
}

#[test]
fn of_several_types_the_least_counts_of_what_each_takes() {
    on_gce(async || {
        let ground = Ground::new().await;
        for (types, processors) in [
            // Of these, it depends on which are made.
            (json!(["n2-standard-2", "e2-small"]), None),
            (json!(["e2-small", "n1-standard-1"]), Some(3)),
            (json!(["n1-standard-1", "e2-small"]), Some(3)),
            (json!("e2-small"), Some(6)),
        ] {
            let named = ground.named(&json!({"machineType": types}));
            let provider = ground.open(&named).await;
            let needs = provider.check(&named, &more(3)).await.unwrap();
            let of = |what: &str| {
                let need = needs.iter().find(|need| need.of.contains(what));
                need.map(|need| need.needed)
            };
            assert_eq!(of(" CPUS of"), processors, "{types}");
            assert_eq!(of(" N2_CPUS of"), None, "{types}");
            assert_eq!(of(" INSTANCES of"), Some(3), "{types}");
            assert_eq!(of("addresses of"), Some(3), "{types}");
        }
    });
}

#[test]
fn addresses_and_rights_and_all_the_rest_are_told_at_once() {
    on_gce(async || {
        let ground = Ground::new().await;
        ground.gce.behave(|now| {
            now.addresses = 3;
            now.quota = 4;
            now.denied = ["compute.subnetworks.useExternalIp".to_owned()].into();
        });
        let named = ground.named(&json!({"publicAddress": true}));
        let provider = ground.open(&named).await;
        let error = provider.check(&named, &more(5)).await.unwrap_err();
        for what in [
            "INSTANCES",
            "`default` has 3 addresses left, and 5 are needed",
            "lack compute.subnetworks.useExternalIp",
        ] {
            assert!(error.message.contains(what), "{}", error.message);
        }
        assert!(error.hint.unwrap().contains("doctor --iam gcp"));
        // Who gives no public addresses needs no right to.
        let named = ground.named(&json!({}));
        let provider = ground.open(&named).await;
        provider.check(&named, &more(3)).await.unwrap();
    });
}

#[test]
fn what_is_not_granted_on_the_project_is_told_where_a_fleet_takes_it() {
    on_gce(async || {
        let ground = Ground::new().await;
        let lacks = |rights: &[&str]| {
            let denied = rights.iter().map(|it| (*it).to_owned()).collect();
            ground.gce.behave(|now| now.denied = denied);
        };
        let plain = ground.template(&json!({})).await;
        let rule = json!({"firewall": {"owned": {"ports": [8080], "from": ["10.0.0.0/8"]}}});
        let ruled = ground.template(&rule).await;
        let shared = "projects/host/regions/europe-west1/subnetworks/default";
        let shared = ground.named(&json!({"subnetwork": shared}));
        let own_image = ground.named(&json!({"image": "projects/acme-vms/global/images/a"}));
        assert_eq!(denied(&plain).await.unwrap(), [""; 0]);
        for (right, who, who_not) in [
            ("compute.instances.create", &plain, None),
            ("compute.instances.delete", &plain, None),
            ("compute.firewalls.create", &ruled, Some(&plain)),
            ("compute.networks.updatePolicy", &ruled, Some(&plain)),
            ("compute.instances.setTags", &ruled, Some(&plain)),
            ("compute.subnetworks.use", &plain, Some(&shared)),
            ("compute.images.useReadOnly", &own_image, Some(&plain)),
        ] {
            lacks(&[right]);
            assert_eq!(denied(who).await.unwrap(), [right]);
            if let Some(who_not) = who_not {
                assert_eq!(denied(who_not).await.unwrap(), [""; 0], "{right}");
            }
        }
        let refusal = Refused::new("projects.testIamPermissions", 403, "SERVICE_DISABLED");
        ground.gce.behave(|now| now.refusals.push(refusal));
        let error = denied(&plain).await.unwrap_err();
        assert!(error.hint.unwrap().contains("cloudresourcemanager"));
    });
}
