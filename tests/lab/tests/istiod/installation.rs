//! What istiod leaves in a cluster, for others to read.

use clap::Parser;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams};
use meshvm_lab::istiod::args::IstiodArgs;
use meshvm_lab::istiod::{Gateway, Istiod, IstiodOptions};
use serde_json::{Value, json};

use super::{Lab, eventually, make};

async fn root_of(lab: &Lab, namespace: &str) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), namespace);
    let map = maps.get_opt("istio-ca-root-cert").await.unwrap()?;
    map.data?.remove("root-cert.pem")
}

#[tokio::test]
async fn every_namespace_has_the_root_and_gets_it_back() {
    let lab = Lab::new().await;
    let root = lab.istiod.root_pem().to_owned();
    assert_eq!(root_of(&lab, "vm").await.as_ref(), Some(&root));
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    make(&namespaces, json!({ "metadata": { "name": "late" } })).await;
    let is_there = async || root_of(&lab, "late").await.as_ref() == Some(&root);
    eventually("a new namespace has the root", is_there).await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "late");
    let params = DeleteParams::default();
    maps.delete("istio-ca-root-cert", &params).await.unwrap();
    eventually("the root is there again", is_there).await;
}

#[tokio::test]
async fn a_revision_a_network_and_a_gateway_show() {
    let lab = Lab::with(|options| {
        options.revision = Some("1-30".to_owned());
        options.network = Some("cluster-net".to_owned());
        options.cluster_id = "prod".to_owned();
        options.gateway = Gateway::Hostname("lb.example".to_owned());
        options.proxy_metadata = [("A".to_owned(), "1".to_owned())].into();
    })
    .await;
    let maps: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "istio-system");
    let text = async |name: &str, key: &str| {
        let map = maps.get(name).await.unwrap();
        map.data.unwrap().remove(key).unwrap()
    };
    let mesh = text("istio-1-30", "mesh").await;
    assert!(
        mesh.contains("istiod-1-30.istio-system.svc:15012"),
        "{mesh}"
    );
    assert!(mesh.contains("trustDomain: cluster.local"), "{mesh}");
    let values = text("istio-sidecar-injector-1-30", "values").await;
    let values: Value = serde_json::from_str(&values).unwrap();
    assert_eq!(values["global"]["multiCluster"]["clusterName"], "prod");
    assert_eq!(values["global"]["network"], "cluster-net");

    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let namespace = namespaces.get("istio-system").await.unwrap();
    assert_eq!(
        namespace.labels()["topology.istio.io/network"],
        "cluster-net"
    );
    let webhooks: Api<MutatingWebhookConfiguration> = Api::all(lab.client.clone());
    let revision_of = async |name: &str| {
        let webhook = webhooks.get(name).await.unwrap();
        webhook.labels()["istio.io/rev"].clone()
    };
    assert_eq!(revision_of("istio-sidecar-injector-1-30").await, "1-30");
    assert_eq!(revision_of("istio-revision-tag-default").await, "1-30");

    let services: Api<Service> = Api::namespaced(lab.client.clone(), "istio-system");
    let gateway = services.get("istio-eastwestgateway").await.unwrap();
    assert_eq!(gateway.labels()["istio"], "eastwestgateway");
    let status = serde_json::to_value(gateway.status).unwrap();
    assert_eq!(
        status["loadBalancer"]["ingress"],
        json!([{ "hostname": "lb.example" }])
    );
}

#[tokio::test]
async fn a_control_plane_that_is_started_again_has_the_same_root() {
    let lab = Lab::new().await;
    let root = lab.istiod.root_pem().to_owned();
    lab.istiod.stop().await;
    let mut options = IstiodOptions::new(lab.client.clone());
    options.gateway = Gateway::None;
    let again = Istiod::start(options).await.unwrap();
    assert_eq!(again.root_pem(), root);
    let services: Api<Service> = Api::namespaced(lab.client.clone(), "istio-system");
    let gateway = services.get("istio-eastwestgateway").await.unwrap();
    let status = serde_json::to_value(gateway.status).unwrap();
    assert_eq!(
        status["loadBalancer"]["ingress"]
            .as_array()
            .map_or(0, Vec::len),
        0
    );
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    istiod: IstiodArgs,
}

#[tokio::test]
async fn the_gateway_is_where_istiod_listens_unless_the_flags_say_otherwise() {
    let lab = Lab::new().await;
    let gateway = |flags: &[&str]| {
        let flags = Flags::parse_from([&["lab"], flags].concat());
        flags.istiod.options(lab.client.clone()).gateway
    };
    let ip = |text: &str| Gateway::Ip(text.parse().unwrap());
    assert_eq!(gateway(&[]), ip("127.0.0.1"));
    assert_eq!(gateway(&["--istiod", "192.0.2.1:15012"]), ip("192.0.2.1"));
    // Every address is none that a machine could be told.
    assert_eq!(gateway(&["--istiod", "0.0.0.0:15012"]), Gateway::None);
    assert_eq!(gateway(&["--gateway", "none"]), Gateway::None);
    assert_eq!(gateway(&["--gateway", "192.0.2.7"]), ip("192.0.2.7"));
    assert_eq!(
        gateway(&["--gateway", "lb.example"]),
        Gateway::Hostname("lb.example".to_owned())
    );
}
