//! Rows about Istio's kinds.

use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::{Lab, refusal};

fn api(client: &Client, kind: &str, plural: &str, version: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("networking.istio.io", version, kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::namespaced_with(client.clone(), "ns", &resource)
}

fn body(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": kind,
        "metadata": {"name": name, "labels": {"app": "x"}}, "spec": spec,
    })
}

/// Makes one by apply, sees its generation, and finds it by its label.
async fn is_kept(lab: &Lab, kind: &str, plural: &str, spec: Value) -> Api<DynamicObject> {
    let api = api(&lab.client, kind, plural, "v1");
    let params = PatchParams::apply("m").force();
    let wanted = body(kind, "w", spec);
    let made = api
        .patch("w", &params, &Patch::Apply(&wanted))
        .await
        .unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    let again = api
        .patch("w", &params, &Patch::Apply(&wanted))
        .await
        .unwrap();
    assert_eq!(again.resource_version(), made.resource_version());
    let list = api
        .list(&ListParams::default().labels("app=x"))
        .await
        .unwrap();
    assert_eq!(list.items.len(), 1);
    api
}

async fn status_of(api: &Api<DynamicObject>, kind: &str, spec: Value) -> kube::core::Status {
    let params = PatchParams::apply("m").force();
    let wanted = body(kind, "w2", spec);
    refusal(api.patch("w2", &params, &Patch::Apply(&wanted)).await)
}

/// Rows: WorkloadGroup SSA; invalid spec; list.
#[tokio::test]
async fn workload_groups() {
    let lab = Lab::new().await;
    let spec = json!({
        "metadata": {"labels": {"app": "web"}},
        "template": {"ports": {"http": 8080}, "serviceAccount": "web"},
        "probe": {"httpGet": {"port": 8080, "path": "/healthz"}},
    });
    let api = is_kept(&lab, "WorkloadGroup", "workloadgroups", spec).await;
    let status = status_of(
        &api,
        "WorkloadGroup",
        json!({"template": {"ports": {"http": "x"}}}),
    )
    .await;
    assert_eq!((status.code, status.reason.as_str()), (500, ""));
    assert_eq!(
        status.message,
        "failed to create typed patch object (/w2; networking.istio.io/v1, Kind=WorkloadGroup): \
         .spec.template.ports.http: expected numeric (int or float), got string"
    );
    let none = status_of(&api, "WorkloadGroup", json!({})).await;
    assert_eq!(none.code, 422);
    assert!(
        none.message.contains("spec.template: Required value"),
        "{}",
        none.message
    );
    let both = json!({"template": {}, "probe": {"httpGet": {"port": 1}, "tcpSocket": {"port": 1}}});
    let both = status_of(&api, "WorkloadGroup", both).await;
    assert!(
        both.message
            .contains("must validate one and only one schema (oneOf)"),
        "{}",
        both.message
    );
    let header = json!({"template": {}, "probe": {"httpGet": {"port": 1,
        "httpHeaders": [{"name": "a b", "value": ""}]}}});
    let header = status_of(&api, "WorkloadGroup", header).await;
    assert!(
        header
            .message
            .contains("in body should match '^[-_A-Za-z0-9]+$'")
    );
}

/// Rows: WorkloadEntry SSA; invalid spec; list.
#[tokio::test]
async fn workload_entries() {
    let lab = Lab::new().await;
    let spec = json!({"address": "10.0.0.7", "ports": {"http": 8080}, "labels": {"app": "web"},
                      "serviceAccount": "web", "weight": 1});
    let api = is_kept(&lab, "WorkloadEntry", "workloadentries", spec).await;
    let status = status_of(&api, "WorkloadEntry", json!({"address": 7})).await;
    assert_eq!((status.code, status.reason.as_str()), (500, ""));
    assert_eq!(
        status.message,
        "failed to create typed patch object (/w2; networking.istio.io/v1, Kind=WorkloadEntry): \
         .spec.address: expected string, got &value.valueUnstructured{Value:7}"
    );
    let unknown = status_of(&api, "WorkloadEntry", json!({"adress": "10.0.0.7"})).await;
    assert!(
        unknown
            .message
            .ends_with(".spec.adress: field not declared in schema")
    );
    // The rules in CEL.
    let nowhere = status_of(&api, "WorkloadEntry", json!({"labels": {"a": "b"}})).await;
    assert_eq!(nowhere.code, 422);
    assert_eq!(
        nowhere.message,
        "WorkloadEntry.networking.istio.io \"w2\" is invalid: spec: Invalid value: \"object\": \
         Address is required"
    );
    let socket = json!({"address": "unix:///a", "ports": {"http": 80}});
    let socket = status_of(&api, "WorkloadEntry", socket).await;
    assert!(socket.message.ends_with("UDS may not include ports"));
    let port = json!({"address": "10.0.0.7", "ports": {"http": 0}});
    assert_eq!(status_of(&api, "WorkloadEntry", port).await.code, 422);
    let name = json!({"address": "10.0.0.7", "ports": {"-": 80}});
    let name = status_of(&api, "WorkloadEntry", name).await;
    assert!(
        name.message.ends_with("port name must be valid"),
        "{}",
        name.message
    );
}

/// Row: WorkloadEntry status subresource.
#[tokio::test]
async fn status_is_written_apart() {
    let lab = Lab::new().await;
    let spec = json!({"address": "10.0.0.7"});
    let api = is_kept(&lab, "WorkloadEntry", "workloadentries", spec).await;
    let patch = json!({
        "spec": {"address": "10.0.0.8"},
        "status": {"conditions": [{"type": "Healthy", "status": "True"}]},
    });
    let params = PatchParams::default();
    let written = api
        .patch_status("w", &params, &Patch::Merge(&patch))
        .await
        .unwrap();
    assert_eq!(written.data["spec"], json!({"address": "10.0.0.7"}));
    assert_eq!(written.data["status"]["conditions"][0]["type"], "Healthy");
    assert_eq!(written.metadata.generation, Some(1));
    // The other way round, too.
    let patch = json!({"spec": {"address": "10.0.0.9"}, "status": null});
    let written = api
        .patch("w", &params, &Patch::Merge(&patch))
        .await
        .unwrap();
    assert_eq!(written.data["spec"], json!({"address": "10.0.0.9"}));
    assert_eq!(written.data["status"]["conditions"][0]["type"], "Healthy");
    assert_eq!(written.metadata.generation, Some(2));
    // And each has its own managers.
    let status = json!({"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
        "metadata": {"name": "w"}, "status": {"observedGeneration": 1}});
    let params = PatchParams::apply("s");
    let written = api
        .patch_status("w", &params, &Patch::Apply(&status))
        .await
        .unwrap();
    let managers = serde_json::to_value(written.managed_fields()).unwrap();
    let own = managers
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["manager"] == "s")
        .unwrap();
    assert_eq!(own["subresource"], "status");
    assert_eq!(
        own["fieldsV1"],
        json!({"f:status": {"f:observedGeneration": {}}})
    );
}

/// Rows: ServiceEntry SSA; invalid spec; list.
#[tokio::test]
async fn service_entries() {
    let lab = Lab::new().await;
    let spec = json!({
        "hosts": ["db.example"], "location": "MESH_INTERNAL", "resolution": "STATIC",
        "ports": [{"name": "tcp", "number": 3306, "protocol": "TCP"}],
        "workloadSelector": {"labels": {"app": "db"}},
    });
    let api = is_kept(&lab, "ServiceEntry", "serviceentries", spec).await;
    let wrong = json!({"hosts": ["a.example"], "resolution": "NOT_A_THING"});
    let status = status_of(&api, "ServiceEntry", wrong).await;
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    let said = "ServiceEntry.networking.istio.io \"w2\" is invalid: [spec.resolution: Unsupported \
                value: \"NOT_A_THING\": supported values: \"NONE\", \"STATIC\", \"DNS\", \
                \"DNS_ROUND_ROBIN\", \"DYNAM";
    assert!(status.message.starts_with(said), "{}", status.message);
}

/// Every version that a CRD serves reads the same objects.
#[tokio::test]
async fn versions_are_one_object() {
    let lab = Lab::new().await;
    let spec = json!({"address": "10.0.0.7"});
    is_kept(&lab, "WorkloadEntry", "workloadentries", spec).await;
    let beta = api(&lab.client, "WorkloadEntry", "workloadentries", "v1beta1");
    let read = beta.get("w").await.unwrap();
    assert_eq!(
        read.types.unwrap().api_version,
        "networking.istio.io/v1beta1"
    );
    assert_eq!(read.data["spec"], json!({"address": "10.0.0.7"}));
    let none = api(&lab.client, "WorkloadEntry", "workloadentries", "v9");
    let status = refusal(none.get("w").await);
    assert_eq!(
        status.message,
        "the server could not find the requested resource"
    );
}
