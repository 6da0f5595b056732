//! What goes wrong: throttling, rights, endpoints; and that nothing is asked that the role lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::net::TcpListener;

use meshvm_gce::{Manners, Refused, nowhere};
use meshvm_provider_api::{ErrorClass, Growth, Query, Update};
use meshvm_provider_gcp::policy::{self, ACTIONS};
use serde_json::json;

use crate::ground::{Ground, STACK, batch, ids, on_gce, on_gce_with};

#[test]
fn being_throttled_slows_down_and_is_no_error() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({})).await;
        ground.gce.behave(|now| now.throttle_every = 3);
        // No layer retries here: the provider itself does.
        ground.make(&template, 6).await;
        assert!(ground.gce.throttled() > 0, "nothing was throttled");
        assert_eq!(ground.list(&template).await.len(), 6);
    });
}

#[test]
fn refusals_have_their_class_and_what_to_do() {
    on_gce(async || {
        let ground = Ground::new().await;
        // With no other zone to go to, want of room is the last word.
        let template = ground.template(&json!({"zones": ["europe-west1-b"]})).await;
        for (reason, status, class, hint) in [
            (
                "forbidden",
                403,
                ErrorClass::PermissionDenied,
                "doctor --iam gcp",
            ),
            ("quotaExceeded", 403, ErrorClass::Quota, "Quotas"),
            (
                "ZONE_RESOURCE_POOL_EXHAUSTED",
                503,
                ErrorClass::Capacity,
                "machineType",
            ),
            ("invalid", 400, ErrorClass::Invalid, ""),
            ("backendError", 503, ErrorClass::Unavailable, ""),
        ] {
            let refusal = Refused::new("instances.bulkInsert", status, reason);
            ground.gce.behave(|now| now.refusals.push(refusal));
            let error = ground.create(&batch(&template, 1)).await.unwrap_err();
            assert_eq!(error.class, class, "{reason}");
            assert!(error.message.contains(reason), "{}", error.message);
            assert!(error.hint.unwrap_or_default().contains(hint), "{reason}");
        }
        assert_eq!(ground.list(&template).await, []);
    });
}

#[test]
fn where_nobody_answers_is_told() {
    on_gce(async || {
        let ground = Ground::new().await;
        let endpoint = format!("http://{}", nowhere());
        let named = ground.named(&json!({"endpoint": endpoint}));
        let query = Query::Stack(STACK.to_owned());
        let error = ground.open(&named).await.observe(&query).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unavailable, "{error}");
    });
}

#[test]
fn a_project_that_is_nobodys_is_told() {
    on_gce(async || {
        let ground = Ground::new().await;
        let named = ground.named(&json!({"project": "nobodys"}));
        let provider = ground.open(&named).await;
        let query = Query::Stack(STACK.to_owned());
        let error = provider.observe(&query).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::NotFound, "{error}");
        assert!(error.message.contains("nobodys"), "{}", error.message);
    });
}

#[test]
fn calls_are_counted_against_the_project_that_the_file_names() {
    on_gce(async || {
        let ground = Ground::new().await;
        let template = ground.template(&json!({"quotaProject": "billing-1"})).await;
        ground.make(&template, 1).await;
        let billed = ground.gce.billed();
        assert_eq!(billed, BTreeSet::from(["billing-1".to_owned()]));
    });
}

#[test]
fn who_acts_as_another_account_asks_for_its_token_first() {
    // Google's library asks one fixed address for tokens of others, by whatever proxy there is.
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = proxy.accept().unwrap();
        let mut line = [0; 512];
        let length = stream.read(&mut line).unwrap();
        String::from_utf8_lossy(&line[..length]).into_owned()
    });
    let more = [("HTTPS_PROXY", address.as_str()), ("NO_PROXY", "127.0.0.1")];
    on_gce_with(&more, async || {
        let ground = Ground::new().await;
        let account = "fleets@acme-vms.iam.gserviceaccount.com";
        let named = ground.named(&json!({"impersonate": account}));
        let query = Query::Stack(STACK.to_owned());
        let provider = ground.open(&named).await;
        let error = provider.observe(&query).await.unwrap_err();
        assert!(
            matches!(
                error.class,
                ErrorClass::Environment | ErrorClass::Unavailable
            ),
            "{error:?}"
        );
        let unasked = BTreeMap::new();
        assert_eq!(
            ground.calls(),
            unasked,
            "it was asked with one's own rights"
        );
    });
    if std::env::var_os("MESHVM_GCE_INNER").is_none() {
        let asked = asked.join().unwrap();
        let host = "CONNECT iamcredentials.googleapis.com:443";
        assert!(asked.starts_with(host), "{asked}");
    }
}

#[test]
fn every_call_is_in_the_role_and_counted_and_the_role_has_no_other() {
    on_gce(async || {
        let ground = Ground::with(Manners {
            lag: 3,
            ..Manners::default()
        })
        .await;
        let block = |label: &str, kind: &str, protected: bool| {
            json!({
                "labels": {"a": label}, "metadata": {"b": label}, "tags": [format!("t{label}")],
                "machineType": kind, "deletionProtection": protected,
                "firewall": {"owned": {"ports": [8080], "from": [format!("10.{label}.0.0/16")]}},
            })
        };
        let before = ground.template(&block("1", "e2-small", true)).await;
        let provider = ground.open(&before).await;
        let two = Growth::from([("europe-west1-b".to_owned(), 2)]);
        provider.check(&before, &two).await.unwrap();
        let batch = batch(&before, 2);
        let made = ground.create(&batch).await.unwrap().machines;
        ground.gce.settle();
        let after = ground.template(&block("2", "e2-medium", false)).await;
        let attributes = [
            "label.a",
            "metadata.b",
            "tags",
            "firewall.owned",
            "machineType",
            "deletionProtection",
        ];
        let update = Update {
            machines: ids(&made),
            template: Some(after.clone()),
            attributes: attributes.map(str::to_owned).to_vec(),
            start: true,
            set_labels: BTreeMap::new(),
            remove_labels: Vec::new(),
        };
        // One is resumed, before it is stopped for its type.
        ground.others("POST", &made[0], "/suspend", None);
        provider.update(&update).await.unwrap();
        let image = "projects/debian-cloud/global/images/debian-12-bookworm-v20260901";
        ground.template(&json!({"image": image})).await;
        // A connection of its own: one that made something leaves the rule.
        let provider = ground.open(&after).await;
        provider.delete(STACK, &ids(&made)).await.unwrap();
        provider
            .observe(&Query::Machines(ids(&made)))
            .await
            .unwrap();
        // What is counted for the user is what went over the wire.
        let counted = ground.requests.snapshot();
        let calls = ground.gce.calls();
        let counted: BTreeMap<String, u64> = counted
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect();
        assert_eq!(counted, calls);
        meshvm_provider_gcp::identity(&after.scope).await.unwrap();
        let lacking = meshvm_provider_gcp::denied(&after).await.unwrap();
        assert_eq!(lacking, [""; 0]);

        let made: BTreeSet<String> = ground.gce.calls().into_keys().collect();
        let known: BTreeSet<String> = ACTIONS.iter().map(|it| it.as_str().to_owned()).collect();
        let unknown: Vec<_> = made.difference(&known).collect();
        assert!(unknown.is_empty(), "{unknown:?} are not in the role");
        let unused: Vec<_> = known.difference(&made).collect();
        assert!(unused.is_empty(), "{unused:?} are never called");
        let role = policy::least()["includedPermissions"].to_string();
        assert!(role.contains("compute.instances.create"), "{role}");
    });
}
