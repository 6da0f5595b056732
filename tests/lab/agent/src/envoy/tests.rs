//! What Envoy is told for a small mesh.

use std::collections::BTreeMap;

use serde_json::Value;

use super::files::Files;
use super::*;
use crate::wire::{Config, Endpoint, InboundPort, Port, Service};

fn config() -> Config {
    let endpoint = |address: &str, identity: &str| Endpoint {
        address: address.to_owned(),
        port: 8080,
        identity: identity.to_owned(),
        labels: BTreeMap::new(),
        weight: 0,
    };
    let identity = "spiffe://cluster.local/ns/vm/sa/web";
    Config {
        version: "7".to_owned(),
        services: vec![Service {
            hosts: vec!["web.vm.svc.cluster.local".to_owned()],
            addresses: vec!["10.96.0.9".to_owned()],
            ports: vec![
                Port {
                    number: 80,
                    name: "http-web".to_owned(),
                    endpoints: vec![endpoint("10.0.0.1", identity), endpoint("10.0.0.2", "")],
                },
                Port {
                    number: 3306,
                    name: "tcp-db".to_owned(),
                    endpoints: Vec::new(),
                },
            ],
        }],
        inbound: vec![InboundPort {
            number: 8080,
            name: "http".to_owned(),
        }],
    }
}

fn resources(path: &std::path::Path) -> BTreeMap<String, Value> {
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let resources = file["resources"].as_array().unwrap().iter();
    resources
        .map(|resource| {
            (
                resource["name"].as_str().unwrap().to_owned(),
                resource.clone(),
            )
        })
        .collect()
}

fn chain<'a>(listener: &'a Value, name: &str) -> &'a Value {
    let chains = listener["filter_chains"].as_array().unwrap();
    chains.iter().find(|chain| chain["name"] == name).unwrap()
}

#[test]
fn a_service_is_reached_by_its_address_and_only_as_itself() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(folder.path()).unwrap();
    files.write_config(&config(), "cluster.local").unwrap();

    let name = "outbound|80||web.vm.svc.cluster.local";
    let listeners = resources(&files.listeners());
    let found = chain(&listeners["virtualOutbound"], name);
    let matched = &found["filter_chain_match"];
    assert_eq!(matched["prefix_ranges"][0]["address_prefix"], "10.96.0.9");
    assert_eq!(matched["destination_port"], 80);
    let clusters = resources(&files.clusters());
    let text = clusters[name]["transport_socket_matches"][0].to_string();
    assert!(
        text.contains(r#""exact":"spiffe://cluster.local/ns/vm/sa/web""#),
        "{text}"
    );

    let endpoints = std::fs::read_to_string(files.endpoints(name)).unwrap();
    let endpoints: Value = serde_json::from_str(&endpoints).unwrap();
    let endpoints = &endpoints["resources"][0]["endpoints"][0]["lb_endpoints"];
    assert!(endpoints[0].to_string().contains("tlsMode"));
    assert!(!endpoints[1].to_string().contains("tlsMode"));
}

#[test]
fn every_way_in_asks_for_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(folder.path()).unwrap();
    files.write_config(&config(), "cluster.local").unwrap();
    let listeners = resources(&files.listeners());
    let inbound = &listeners["virtualInbound"];
    for chain in [
        chain(inbound, "inbound|8080||"),
        &inbound["default_filter_chain"],
    ] {
        let socket = &chain["transport_socket"]["typed_config"];
        assert_eq!(socket["require_client_certificate"], true);
        assert!(
            socket
                .to_string()
                .contains(r#""prefix":"spiffe://cluster.local/""#)
        );
    }
}

#[test]
fn a_cluster_that_is_gone_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(folder.path()).unwrap();
    files.write_config(&config(), "cluster.local").unwrap();
    let endpoints = files.endpoints("outbound|3306||web.vm.svc.cluster.local");
    assert!(endpoints.exists());
    let mut less = config();
    less.services[0].ports.pop();
    files.write_config(&less, "cluster.local").unwrap();
    assert!(!endpoints.exists());
}

#[test]
fn two_services_with_one_address_do_not_collide() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(folder.path()).unwrap();
    let mut config = config();
    let mut other = config.services[0].clone();
    other.hosts = vec!["other.vm.svc.cluster.local".to_owned()];
    config.services.push(other);
    files.write_config(&config, "cluster.local").unwrap();
    let listeners = resources(&files.listeners());
    let chains = listeners["virtualOutbound"]["filter_chains"]
        .as_array()
        .unwrap();
    assert_eq!(chains.len(), 3);
}

#[test]
fn names_say_the_protocol() {
    for name in [
        "http",
        "http-web",
        "http2",
        "grpc",
        "grpc-web",
        "grpc-web-x",
    ] {
        assert!(is_http(name), "{name}");
    }
    for name in ["", "tcp-db", "https", "mysql", "httpx"] {
        assert!(!is_http(name), "{name}");
    }
}
