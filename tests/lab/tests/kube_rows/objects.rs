//! Rows about making, changing and checking objects.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::json;

use super::{Lab, object, refusal};

/// Rows: version; create namespace; create namespace again; get absent.
#[tokio::test]
async fn namespaces_are_made_once() {
    let lab = Lab::new().await;
    let version = lab.client.apiserver_version().await.unwrap();
    assert_eq!(version.git_version, "v1.36.2");
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let made = namespaces.get("ns").await.unwrap();
    assert!(made.uid().is_some());
    assert!(made.resource_version().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(made.status.unwrap().phase.as_deref(), Some("Active"));

    let again = object(json!({"metadata": {"name": "ns"}}));
    let status = refusal(namespaces.create(&PostParams::default(), &again).await);
    assert_eq!(
        (status.code, status.reason.as_str()),
        (409, "AlreadyExists")
    );
    assert_eq!(status.message, "namespaces \"ns\" already exists");

    let status = refusal(namespaces.get("nope-nope").await);
    assert_eq!((status.code, status.reason.as_str()), (404, "NotFound"));
    assert_eq!(status.message, "namespaces \"nope-nope\" not found");
}

/// Rows: replace with a stale version; merge patch with a stale version; delete with a wrong uid.
#[tokio::test]
async fn what_is_stale_is_refused() {
    let lab = Lab::new().await;
    let old = lab
        .make(json!({"metadata": {"name": "a"}, "data": {"k": "1"}}))
        .await;
    let mut newer = old.clone();
    newer
        .data
        .get_or_insert_default()
        .insert("k".into(), "2".into());
    let params = PostParams::default();
    lab.maps().replace("a", &params, &newer).await.unwrap();

    let said = "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; \
                please apply your changes to the latest version and try again";
    let status = refusal(lab.maps().replace("a", &params, &newer).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(status.message, said);

    let patch =
        json!({"metadata": {"resourceVersion": old.resource_version()}, "data": {"k": "3"}});
    let status = refusal(lab.merge("a", patch).await);
    assert_eq!((status.code, status.message.as_str()), (409, said));

    let wrong = "00000000-0000-0000-0000-000000000000";
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(wrong.into()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let status = refusal(lab.maps().delete("a", &params).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let said = format!(
        "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition ({wrong}) \
         does not match the UID in record ({}). The object might have been deleted and then \
         recreated",
        old.uid().unwrap()
    );
    assert_eq!(status.message, said);
    assert!(lab.maps().get("a").await.is_ok());
}

/// Note 2: a PUT and a patch that change nothing write nothing.
#[tokio::test]
async fn a_write_that_changes_nothing_is_none() {
    let lab = Lab::new().await;
    let old = lab
        .make(json!({"metadata": {"name": "a"}, "data": {"k": "1"}}))
        .await;
    let same = lab
        .maps()
        .replace("a", &PostParams::default(), &old)
        .await
        .unwrap();
    assert_eq!(same.resource_version(), old.resource_version());
    let patched = lab.merge("a", json!({"data": {"k": "1"}})).await.unwrap();
    assert_eq!(patched.resource_version(), old.resource_version());
}

/// Every way of patching does what it says, and owners follow.
#[tokio::test]
async fn patches_change_what_they_name() {
    let lab = Lab::new().await;
    lab.make(json!({"metadata": {"name": "a"}, "data": {"k": "1", "q": "2"}}))
        .await;
    let params = PatchParams {
        field_manager: Some("patcher".into()),
        ..PatchParams::default()
    };
    let merge = json!({"data": {"q": null, "m": "3"}});
    let patched = lab
        .maps()
        .patch("a", &params, &Patch::Merge(&merge))
        .await
        .unwrap();
    assert_eq!(patched.data, object(json!({"k": "1", "m": "3"})));
    let strategic = json!({"data": {"s": "4"}});
    let patched = lab
        .maps()
        .patch("a", &params, &Patch::Strategic(&strategic))
        .await
        .unwrap();
    assert_eq!(patched.data, object(json!({"k": "1", "m": "3", "s": "4"})));
    let managed = serde_json::to_value(patched.managed_fields()).unwrap();
    let own = managed
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["manager"] == "patcher");
    assert_eq!(
        own.unwrap()["fieldsV1"],
        json!({"f:data": {"f:m": {}, "f:s": {}}})
    );
    let steps = json!([{"op": "test", "path": "/data/k", "value": "1"}, {"op": "remove", "path": "/data/k"}]);
    let steps: json_patch::Patch = object(steps);
    let patch = Patch::<ConfigMap>::Json(steps.clone());
    let patched = lab.maps().patch("a", &params, &patch).await.unwrap();
    assert_eq!(patched.data, object(json!({"m": "3", "s": "4"})));
    let status = refusal(lab.maps().patch("a", &params, &patch).await);
    assert_eq!(status.code, 422);
}

/// Rows: dry-run create is not stored; invalid name.
#[tokio::test]
async fn what_is_dry_or_wrong_is_not_kept() {
    let lab = Lab::new().await;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let map = object(json!({"metadata": {"name": "dry"}}));
    let made = lab.maps().create(&dry, &map).await.unwrap();
    assert!(made.uid().is_some());
    let status = refusal(lab.maps().get("dry").await);
    assert_eq!(status.message, "configmaps \"dry\" not found");

    let map = object(json!({"metadata": {"name": "Bad_Name"}}));
    let status = refusal(lab.maps().create(&PostParams::default(), &map).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    let said = "ConfigMap \"Bad_Name\" is invalid: metadata.name: Invalid value: \"Bad_Name\": a \
                lowercase RFC 1123 subdomain must consist of lower case alphanumeric char";
    assert!(status.message.starts_with(said), "{}", status.message);
}

/// A name can be made up from its beginning.
#[tokio::test]
async fn names_are_generated() {
    let lab = Lab::new().await;
    let one = lab.make(json!({"metadata": {"generateName": "a-"}})).await;
    let other = lab.make(json!({"metadata": {"generateName": "a-"}})).await;
    assert_ne!(one.name_any(), other.name_any());
    assert!(one.name_any().starts_with("a-") && one.name_any().len() == 7);
}

/// Row: Lease create and conflicting replace.
#[tokio::test]
async fn a_lease_is_held_by_one() {
    let lab = Lab::new().await;
    let leases: Api<Lease> = Api::namespaced(lab.client.clone(), "ns");
    let params = PostParams::default();
    let mut lease: Lease = object(json!({
        "metadata": {"name": "l"},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15,
                 "renewTime": "2026-01-01T00:00:00.000000Z"},
    }));
    let made = leases.create(&params, &lease).await.unwrap();
    lease.metadata.resource_version = made.resource_version();
    lease.spec.get_or_insert_default().holder_identity = Some("b".into());
    leases.replace("l", &params, &lease).await.unwrap();
    let status = refusal(leases.replace("l", &params, &lease).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert!(
        status.message.starts_with(
            "Operation cannot be fulfilled on leases.coordination.k8s.io \"l\": the object has been \
             modified; please apply your changes to the latest version and try"
        ),
        "{}",
        status.message
    );
}

/// Row: Secret stringData becomes data.
#[tokio::test]
async fn texts_of_a_secret_become_data() {
    let lab = Lab::new().await;
    let secrets: Api<Secret> = Api::namespaced(lab.client.clone(), "ns");
    let secret = object(json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}}));
    let made = secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    assert_eq!(made.string_data, None);
    assert_eq!(made.data.unwrap()["k"].0, b"v");
    assert_eq!(made.type_.as_deref(), Some("Opaque"));
    // Applied twice, it is written once.
    let applied = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t"},
                         "stringData": {"k": "v"}});
    let params = PatchParams::apply("m");
    let first = secrets
        .patch("t", &params, &Patch::Apply(&applied))
        .await
        .unwrap();
    let second = secrets
        .patch("t", &params, &Patch::Apply(&applied))
        .await
        .unwrap();
    assert_eq!(first.resource_version(), second.resource_version());
}
