//! What machines are told of services.

use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use meshvm_lab_agent::wire::{Config, Endpoint};
use serde_json::json;

use super::{Lab, istio, make, until};

async fn make_service(client: &Client) -> Service {
    let services: Api<Service> = Api::namespaced(client.clone(), "vm");
    let service = json!({
        "metadata": { "name": "web" },
        "spec": {
            "selector": { "app": "web" },
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }],
        },
    });
    make(&services, service).await
}

fn spec(address: &str) -> serde_json::Value {
    json!({ "address": address, "labels": { "app": "web" }, "serviceAccount": "web" })
}

fn endpoints(config: &Config) -> Vec<Endpoint> {
    let services = config.services.iter();
    let ports = services.flat_map(|service| &service.ports);
    ports.flat_map(|port| port.endpoints.clone()).collect()
}

#[tokio::test]
async fn a_service_is_told_with_who_answers_for_it_and_again_when_that_changes() {
    let lab = Lab::new().await;
    let service = make_service(&lab.client).await;
    lab.make_entry("web-1", json!({}), spec("10.0.0.7")).await;
    let machine = lab.machine("web").await;
    let mut node = machine.node();
    node.workload_entry = "web-1".to_owned();
    let mut stream = machine.watch(node).await.unwrap();

    let config = until(&mut stream, |config| endpoints(config).len() == 1).await;
    let told = &config.services[0];
    assert_eq!(told.hosts[0], "web.vm.svc.cluster.local");
    assert!(told.hosts.contains(&"web".to_owned()), "{:?}", told.hosts);
    assert_eq!(
        Some(&told.addresses[0]),
        service.spec.unwrap().cluster_ip.as_ref()
    );
    let first = &endpoints(&config)[0];
    assert_eq!((first.address.as_str(), first.port), ("10.0.0.7", 8080));
    assert_eq!(first.identity, "spiffe://cluster.local/ns/vm/sa/web");
    assert_eq!(config.inbound[0].number, 8080);

    lab.make_entry("web-2", json!({}), spec("10.0.0.8")).await;
    let config = until(&mut stream, |config| endpoints(config).len() == 2).await;
    // The port is the same, and a second machine is no second port.
    assert_eq!(config.inbound.len(), 1);
    lab.entries()
        .delete("web-2", &DeleteParams::default())
        .await
        .unwrap();
    until(&mut stream, |config| endpoints(config).len() == 1).await;
}

#[tokio::test]
async fn who_is_checked_answers_while_healthy() {
    let lab = Lab::new().await;
    make_service(&lab.client).await;
    let checked = json!({ "proxy.istio.io/health-checks-enabled": "true" });
    lab.make_entry("web-1", checked, spec("10.0.0.7")).await;
    let machine = lab.machine("db").await;
    let mut stream = machine.watch(machine.node()).await.unwrap();
    until(&mut stream, |config| {
        config.services.len() == 1 && endpoints(config).is_empty()
    })
    .await;
    for (status, count) in [("True", 1), ("False", 0)] {
        let now = "2026-01-01T00:00:00Z";
        let condition = json!({ "type": "Healthy", "status": status, "lastTransitionTime": now });
        let patch = Patch::Merge(json!({ "status": { "conditions": [condition] } }));
        let entries = lab.entries();
        entries
            .patch_status("web-1", &PatchParams::default(), &patch)
            .await
            .unwrap();
        until(&mut stream, |config| endpoints(config).len() == count).await;
    }
}

#[tokio::test]
async fn a_service_entry_selects_machines_as_well() {
    let lab = Lab::new().await;
    let kind = istio("ServiceEntry", "serviceentries");
    let entries = Api::namespaced_with(lab.client.clone(), "vm", &kind);
    let entry = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": { "name": "web" },
        "spec": {
            "hosts": ["web.example"],
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "ports": [{ "number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080 }],
            "workloadSelector": { "labels": { "app": "web" } },
        },
    });
    make::<kube::api::DynamicObject>(&entries, entry).await;
    lab.make_entry("web-1", json!({}), spec("10.0.0.7")).await;
    let machine = lab.machine("db").await;
    let mut stream = machine.watch(machine.node()).await.unwrap();
    let config = until(&mut stream, |config| endpoints(config).len() == 1).await;
    assert_eq!(config.services[0].hosts, ["web.example"]);
    assert!(config.services[0].addresses[0].starts_with("240.240."));
    assert_eq!(endpoints(&config)[0].port, 8080);
}
