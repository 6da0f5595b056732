//! What is read of a mesh, and what of it would be in the way of machines.

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use meshvm::mesh::kubernetes::MeshRead;
use serde_json::{Value, json};

use super::ground::{Ground, NAMESPACE};
use super::program::{FILE, run};
use crate::support::program::Sandbox;

async fn edit(api: &Api<DynamicObject>, name: &str, patch: Value) {
    let how = PatchParams::default();
    api.patch(name, &how, &Patch::Merge(&patch)).await.unwrap();
}

#[tokio::test]
async fn a_mesh_that_says_nothing_of_itself_has_the_names_of_istios_defaults() {
    let ground = Ground::new().await;
    let maps = ground.api("v1", "ConfigMap", Some("istio-system"));
    let injector = "istio-sidecar-injector";
    // As Helm writes them where nobody sets anything.
    let values = json!({"global": {"multiCluster": {"clusterName": ""}}}).to_string();
    edit(&maps, injector, json!({"data": {"values": values}})).await;
    let mesh = json!({"data": {"mesh": "defaultConfig: {}\n"}});
    edit(&maps, "istio", mesh).await;
    let read = async |settings: Value| -> MeshRead {
        let settings = serde_json::from_value(settings).unwrap();
        let (mesh, namespaces) = (ground.mesh(false), [NAMESPACE].into());
        mesh.read_mesh(&settings, &namespaces).await.unwrap()
    };
    let silent = read(json!({})).await;
    assert_eq!(silent.facts.cluster_id, "Kubernetes");
    // istioctl leaves it to the sidecar, which takes the same.
    assert_eq!(silent.facts.trust_domain, "");
    let same = json!({"clusterId": "Kubernetes", "trustDomain": "cluster.local"});
    assert_eq!(read(same).await.overridden, []);
    let other = json!({"clusterId": "prod", "trustDomain": "corp.example"});
    let other = read(other).await.overridden;
    let told: Vec<_> = other
        .iter()
        .map(|told| (told.field, &*told.cluster))
        .collect();
    assert_eq!(
        told,
        [
            ("clusterId", "Kubernetes"),
            ("trustDomain", "cluster.local")
        ]
    );

    // Without the injector nobody says whether it is another.
    edit(&maps, injector, json!({"data": {"values": null}})).await;
    assert_eq!(read(json!({})).await.facts.cluster_id, "");
    let sandbox = Sandbox::with(FILE);
    for line in ["render --out out", "apply -y"] {
        let refused = run(&ground, &sandbox, line).await.exits(1).stderr;
        assert!(refused.contains("MV201"), "{refused}");
    }
    assert!(!sandbox.path("out").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_that_do_not_fit_together_are_told() {
    let ground = Ground::new().await;
    let codes = async |file: &str| {
        let sandbox = Sandbox::with(file);
        let line = "validate --online --format json";
        let ran = run(&ground, &sandbox, line).await.exits(0).json();
        let found = ran["warnings"].as_array().unwrap().clone();
        let codes = found.into_iter().map(|found| found["code"].to_string());
        let mut of_networks: Vec<String> = codes.filter(|code| code.contains("MV2")).collect();
        of_networks.sort();
        of_networks.join(" ")
    };
    assert_eq!(codes(FILE).await, "");
    let without = FILE.replace(", network: vms", "");
    assert_eq!(codes(&without).await, r#""MV210""#);

    let services = ground.api("v1", "Service", Some("istio-system"));
    let label =
        |value: Value| json!({"metadata": {"labels": {"topology.istio.io/network": value}}});
    let ports = |port: u16| json!({"spec": {"ports": [{"name": "a", "port": port}]}});
    let gateway = "istio-eastwestgateway";
    edit(&services, gateway, ports(15012)).await;
    assert_eq!(codes(FILE).await, r#""MV208""#);
    edit(&services, gateway, label(json!("other"))).await;
    assert_eq!(codes(FILE).await, r#""MV209""#);
    let namespaces = ground.api("v1", "Namespace", None);
    edit(&namespaces, "istio-system", label(Value::Null)).await;
    assert_eq!(codes(FILE).await, r#""MV205" "MV209""#);

    // By this one nobody could come in at all.
    edit(&services, gateway, ports(443)).await;
    let refused = run(&ground, &Sandbox::with(FILE), "apply -y")
        .await
        .exits(1);
    let refused = refused.stderr;
    for told in [
        "error[MV208]",
        "at port 15012",
        "istio-system/istio-eastwestgateway",
    ] {
        assert!(refused.contains(told), "{told}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_is_gone_is_told_as_gone() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(&FILE.replace("namespace: vm\n", "namespace: gone\n"));
    for line in ["plan", "render", "validate --online", "apply -y"] {
        let refused = run(&ground, &sandbox, line).await.exits(1).stderr;
        assert_eq!(refused.matches("MV101").count(), 1, "{line}: {refused}");
        assert!(!refused.contains("MV204"), "{line}: {refused}");
    }
}
