//! Rows about how objects end.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::ResourceExt;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch,
    PatchParams, PostParams,
};
use serde_json::{Value, json};

use super::{Lab, eventually, object, refusal};

fn owned_by(owner: &ConfigMap) -> Value {
    json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": owner.name_any(), "uid": owner.uid()}])
}

/// Row: a WorkloadEntry owned by a deleted ConfigMap is collected.
#[tokio::test]
async fn what_is_owned_ends_with_its_owner() {
    let lab = Lab::new().await;
    let owner = lab.make(json!({"metadata": {"name": "o"}})).await;
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "WorkloadEntry");
    let resource = ApiResource::from_gvk_with_plural(&kind, "workloadentries");
    let entries: Api<DynamicObject> = Api::namespaced_with(lab.client.clone(), "ns", &resource);
    let entry = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
        "metadata": {"name": "e", "ownerReferences": owned_by(&owner)},
        "spec": {"address": "10.0.0.1"},
    });
    let params = PatchParams::apply("m");
    let made = entries
        .patch("e", &params, &Patch::Apply(&entry))
        .await
        .unwrap();
    assert_eq!(
        serde_json::to_value(made.managed_fields()).unwrap()[0]["fieldsV1"]["f:metadata"],
        json!({"f:ownerReferences": {format!("k:{{\"uid\":\"{}\"}}", owner.uid().unwrap()): {}}})
    );
    lab.maps()
        .delete("o", &DeleteParams::background())
        .await
        .unwrap();
    eventually("the entry is collected", async || {
        entries.get_opt("e").await.unwrap().is_none()
    })
    .await;
    // What says it is owned by what never was is collected, too.
    let made = entries.patch("e", &params, &Patch::Apply(&entry)).await;
    assert!(made.is_ok());
    eventually("the entry is collected again", async || {
        entries.get_opt("e").await.unwrap().is_none()
    })
    .await;
}

/// What has another owner left stays, as does what is let go; a foreground deletion waits.
#[tokio::test]
async fn owners_are_let_go_of() {
    let lab = Lab::new().await;
    let one = lab.make(json!({"metadata": {"name": "one"}})).await;
    let two = lab.make(json!({"metadata": {"name": "two"}})).await;
    let mut both = owned_by(&one).as_array().unwrap().clone();
    both.extend(owned_by(&two).as_array().unwrap().clone());
    lab.make(json!({"metadata": {"name": "child", "ownerReferences": both}}))
        .await;
    lab.maps()
        .delete("one", &DeleteParams::background())
        .await
        .unwrap();
    eventually("an owner is taken away", async || {
        lab.maps()
            .get("child")
            .await
            .unwrap()
            .owner_references()
            .len()
            == 1
    })
    .await;
    lab.maps()
        .delete("two", &DeleteParams::orphan())
        .await
        .unwrap();
    let child = lab.maps().get("child").await.unwrap();
    assert!(child.owner_references().is_empty());

    let three = lab.make(json!({"metadata": {"name": "three"}})).await;
    let held = json!({"metadata": {"name": "held", "ownerReferences": owned_by(&three),
                                   "finalizers": ["meshvm/test"]}});
    lab.make(held).await;
    lab.maps()
        .delete("three", &DeleteParams::foreground())
        .await
        .unwrap();
    eventually("the child is being deleted", async || {
        let held = lab.maps().get("held").await.unwrap();
        held.metadata.deletion_timestamp.is_some()
    })
    .await;
    assert!(lab.maps().get("three").await.is_ok());
    let free = json!({"metadata": {"finalizers": null}});
    let params = PatchParams::default();
    lab.maps()
        .patch("held", &params, &Patch::Merge(&free))
        .await
        .unwrap();
    eventually("the owner is gone after it", async || {
        lab.maps().get_opt("three").await.unwrap().is_none()
    })
    .await;
}

/// Row: a finalizer holds a deletion.
#[tokio::test]
async fn a_finalizer_holds() {
    let lab = Lab::new().await;
    lab.make(json!({"metadata": {"name": "f", "finalizers": ["meshvm/test"]}}))
        .await;
    let deleted = lab
        .maps()
        .delete("f", &DeleteParams::default())
        .await
        .unwrap();
    assert!(
        deleted
            .left()
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    );
    assert!(lab.maps().get("f").await.is_ok());
    let free = json!({"metadata": {"finalizers": []}});
    let params = PatchParams::default();
    lab.maps()
        .patch("f", &params, &Patch::Merge(&free))
        .await
        .unwrap();
    let status = refusal(lab.maps().get("f").await);
    assert_eq!(
        (status.code, status.message.as_str()),
        (404, "configmaps \"f\" not found")
    );
}

/// Row: deletecollection by label.
#[tokio::test]
async fn collections_are_deleted() {
    let lab = Lab::new().await;
    for (name, app) in [("a", "x"), ("b", "x"), ("d", "y"), ("o", "z")] {
        lab.make(json!({"metadata": {"name": name, "labels": {"app": app}}}))
            .await;
    }
    eventually("the namespace is furnished", async || {
        lab.maps()
            .get_opt("kube-root-ca.crt")
            .await
            .unwrap()
            .is_some()
    })
    .await;
    let selected = ListParams::default().labels("app=x");
    lab.maps()
        .delete_collection(&DeleteParams::default(), &selected)
        .await
        .unwrap();
    let left = lab.maps().list(&ListParams::default()).await.unwrap();
    let left: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
    assert_eq!(left, ["d", "kube-root-ca.crt", "o"]);
}

/// Row: delete namespace. Note 6: it is Terminating until its contents are gone.
#[tokio::test]
async fn a_namespace_ends_when_it_is_empty() {
    let lab = Lab::new().await;
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let accounts: Api<ServiceAccount> = Api::namespaced(lab.client.clone(), "ns");
    eventually("the namespace is furnished", async || {
        let root = lab.maps().get_opt("kube-root-ca.crt").await.unwrap();
        let root = root.is_some_and(|map| map.data.unwrap()["ca.crt"] == lab.cluster.ca_pem());
        root && accounts.get_opt("default").await.unwrap().is_some()
    })
    .await;
    lab.make(json!({"metadata": {"name": "f", "finalizers": ["meshvm/test"]}}))
        .await;
    let deleted = namespaces
        .delete("ns", &DeleteParams::default())
        .await
        .unwrap();
    let phase = deleted.left().unwrap().status.unwrap().phase;
    assert_eq!(phase.as_deref(), Some("Terminating"));
    eventually("all but what is held is gone", async || {
        lab.maps()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len()
            == 1
    })
    .await;
    let map = object(json!({"metadata": {"name": "new"}}));
    let status = refusal(lab.maps().create(&PostParams::default(), &map).await);
    assert_eq!(status.code, 403);
    assert_eq!(
        status.message,
        "configmaps \"new\" is forbidden: unable to create new content in namespace ns because it \
         is being terminated"
    );
    let free = json!({"metadata": {"finalizers": null}});
    let params = PatchParams::default();
    lab.maps()
        .patch("f", &params, &Patch::Merge(&free))
        .await
        .unwrap();
    eventually("the namespace is gone", async || {
        namespaces.get_opt("ns").await.unwrap().is_none()
    })
    .await;
    let status = refusal(lab.maps().create(&PostParams::default(), &map).await);
    assert_eq!(status.message, "namespaces \"ns\" not found");
}
