//! Which control plane a fleet file means that names no revision: the one of the tag `default`.

use std::collections::BTreeSet;

use kube::api::{Patch, PatchParams};
use meshvm::mesh::KubernetesError;
use meshvm::mesh::kubernetes::MeshRead;
use meshvm_lab::istiod::{Istiod, IstiodOptions};
use serde_json::{Value, json};

use super::ground::{Ground, NAMESPACE};
use super::program::{FILE, run};
use crate::support::program::Sandbox;

/// Starts a second control plane, with a revision and its tags, and lets the user read its ConfigMaps.
async fn with_canary(tags: &[&str]) -> (Ground, Istiod) {
    let ground = Ground::new().await;
    let mut options = IstiodOptions::new(ground.admin.clone());
    options.revision = Some("canary".to_owned());
    options.tags = tags.iter().map(|&tag| tag.to_owned()).collect();
    let istiod = Istiod::start(options).await.unwrap();
    // The documented role names those of a control plane without a revision.
    let role = ground.api("rbac.authorization.k8s.io/v1", "Role", Some("istio-system"));
    let names = [
        "istio",
        "istio-sidecar-injector",
        "istio-ca-root-cert",
        "istio-canary",
        "istio-sidecar-injector-canary",
    ];
    let rules = json!({"rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"],
         "resourceNames": names},
        {"apiGroups": [""], "resources": ["services"], "verbs": ["get"],
         "resourceNames": ["istio-eastwestgateway"]},
    ]});
    let how = PatchParams::default();
    role.patch("meshvm-plan", &how, &Patch::Merge(&rules))
        .await
        .unwrap();
    (ground, istiod)
}

async fn read(ground: &Ground, settings: Value) -> Result<MeshRead, KubernetesError> {
    let settings = serde_json::from_value(settings).unwrap();
    let namespaces = BTreeSet::from([NAMESPACE]);
    ground.mesh(false).read_mesh(&settings, &namespaces).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_tag_says_which_control_plane_is_meant() {
    let (ground, istiod) = with_canary(&["default"]).await;
    let facts = read(&ground, json!({})).await.unwrap().facts;
    assert_eq!(facts.revision.name.as_deref(), Some("canary"));
    assert_eq!(facts.revision.host(), "istiod-canary.istio-system.svc");
    let address = facts.default_config["discoveryAddress"].as_str();
    assert_eq!(address, Some("istiod-canary.istio-system.svc:15012"));
    // What the file says is meant.
    let facts = read(&ground, json!({"revision": "default"})).await.unwrap();
    assert_eq!(facts.facts.revision.host(), "istiod.istio-system.svc");

    let sandbox = Sandbox::with(FILE);
    let rendered = run(&ground, &sandbox, "render").await.exits(0).stdout;
    assert!(
        rendered.contains("istiod-canary.istio-system.svc"),
        "{rendered}"
    );

    // A tag that is moved back means the other one.
    let webhooks = "admissionregistration.k8s.io/v1";
    let webhooks = ground.api(webhooks, "MutatingWebhookConfiguration", None);
    let label = json!({"metadata": {"labels": {"istio.io/rev": "default"}}});
    let (tag, how) = ("istio-revision-tag-default", PatchParams::default());
    webhooks
        .patch(tag, &how, &Patch::Merge(&label))
        .await
        .unwrap();
    let facts = read(&ground, json!({})).await.unwrap().facts;
    assert_eq!(facts.revision.host(), "istiod.istio-system.svc");
    istiod.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_of_a_revision_that_is_gone_is_told() {
    let ground = Ground::new().await;
    let webhooks = "admissionregistration.k8s.io/v1";
    let webhooks = ground.api(webhooks, "MutatingWebhookConfiguration", None);
    let label = json!({"metadata": {"labels": {"istio.io/rev": "gone"}}});
    let (tag, how) = ("istio-revision-tag-default", PatchParams::default());
    webhooks
        .patch(tag, &how, &Patch::Merge(&label))
        .await
        .unwrap();
    let role = ground.api("rbac.authorization.k8s.io/v1", "Role", Some("istio-system"));
    let rules = json!({"rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    ]});
    role.patch("meshvm-plan", &how, &Patch::Merge(&rules))
        .await
        .unwrap();
    let error = read(&ground, json!({})).await.unwrap_err().to_string();
    assert!(
        error.contains("no control plane of revision `gone`"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tag_and_none_that_may_be_read_mean_the_plain_control_plane() {
    let (ground, istiod) = with_canary(&["stable"]).await;
    let facts = read(&ground, json!({})).await.unwrap().facts;
    assert_eq!(facts.revision.host(), "istiod.istio-system.svc");
    let role = ground.api("rbac.authorization.k8s.io/v1", "ClusterRole", None);
    let rules =
        json!({"rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}]});
    let how = PatchParams::default();
    role.patch("meshvm-plan", &how, &Patch::Merge(&rules))
        .await
        .unwrap();
    let facts = read(&ground, json!({})).await.unwrap().facts;
    assert_eq!(facts.revision.name, None);
    istiod.stop().await;
}
