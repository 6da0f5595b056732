//! Where Envoy sends connections to. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::files::Files;
use super::{is_http, tls};
use crate::wire::{Config, Endpoint, InboundPort, Port, Service};

const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

/// Sends on to where a connection was going anyway.
pub(super) const PASSTHROUGH: &str = "PassthroughCluster";
/// The same for what comes in.
pub(super) const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";
/// Leads nowhere.
pub(super) const BLACK_HOLE: &str = "BlackHoleCluster";

/// Returns the name of the cluster of a service's port, as Istio names it.
pub(super) fn outbound_name(service: &Service, port: &Port) -> String {
    let host = service.hosts.first().map_or("", String::as_str);
    format!("outbound|{}||{host}", port.number)
}

/// Returns the name of the cluster of an own port.
pub(super) fn inbound_name(port: &InboundPort) -> String {
    format!("inbound|{}||", port.number)
}

/// Returns all clusters.
pub(super) fn clusters(config: &Config, files: &Files) -> Vec<Value> {
    let mut all = vec![
        original(PASSTHROUGH, None),
        // From here connections are not captured again: see the rules of iptables.
        original(INBOUND_PASSTHROUGH, Some("127.0.0.6")),
        json!({ "@type": CLUSTER, "name": BLACK_HOLE, "type": "STATIC", "connect_timeout": "1s" }),
    ];
    all.extend(config.inbound.iter().map(inbound));
    for (service, port) in ports(config) {
        all.push(outbound(service, port, files));
    }
    all
}

/// Returns the endpoints of each cluster that has a file of them.
pub(super) fn assignments(config: &Config) -> Vec<(String, Value)> {
    let assignment = |(service, port): (&Service, &Port)| {
        let name = outbound_name(service, port);
        let endpoints: Vec<Value> = port.endpoints.iter().map(endpoint).collect();
        let assignment = json!({
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": endpoints }],
        });
        (name, assignment)
    };
    ports(config).map(assignment).collect()
}

/// Returns the ports of all services.
pub(super) fn ports(config: &Config) -> impl Iterator<Item = (&Service, &Port)> {
    let services = config.services.iter();
    services.flat_map(|service| service.ports.iter().map(move |port| (service, port)))
}

fn original(name: &str, from: Option<&str>) -> Value {
    let mut cluster = json!({
        "@type": CLUSTER,
        "name": name,
        "type": "ORIGINAL_DST",
        "connect_timeout": "10s",
        "lb_policy": "CLUSTER_PROVIDED",
    });
    if let Some(from) = from {
        cluster["upstream_bind_config"] =
            json!({ "source_address": { "address": from, "port_value": 0 } });
    }
    cluster
}

fn inbound(port: &InboundPort) -> Value {
    let name = inbound_name(port);
    let mut cluster = json!({
        "@type": CLUSTER,
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": {
                "socket_address": { "address": "127.0.0.1", "port_value": port.number },
            } } }] }],
        },
    });
    if is_http(&port.name) {
        same_protocol(&mut cluster);
    }
    cluster
}

fn outbound(service: &Service, port: &Port, files: &Files) -> Value {
    let name = outbound_name(service, port);
    let identities: BTreeSet<&str> = port
        .endpoints
        .iter()
        .map(|endpoint| endpoint.identity.as_str())
        .filter(|identity| !identity.is_empty())
        .collect();
    let mut cluster = json!({
        "@type": CLUSTER,
        "name": name,
        "type": "EDS",
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "eds_cluster_config": {
            "service_name": name,
            "eds_config": {
                "resource_api_version": "V3",
                "path_config_source": { "path": files.endpoints(&name) },
            },
        },
    });
    let plain = json!({
        "name": "plain",
        "match": {},
        "transport_socket": {
            "name": "envoy.transport_sockets.raw_buffer",
            "typed_config": {
                "@type":
                    "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
            },
        },
    });
    // Without an identity to demand there is nobody to speak TLS with.
    let mut sockets = Vec::new();
    if !identities.is_empty() {
        sockets.push(json!({
            "name": "mutual-tls",
            "match": { "tlsMode": "istio" },
            "transport_socket": tls::upstream(files, &name, identities.into_iter()),
        }));
    }
    sockets.push(plain);
    cluster["transport_socket_matches"] = json!(sockets);
    if is_http(&port.name) {
        same_protocol(&mut cluster);
    }
    cluster
}

/// Speaks the version of HTTP that the client spoke.
fn same_protocol(cluster: &mut Value) {
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type":
                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "use_downstream_protocol_config": {
                "http_protocol_options": {},
                "http2_protocol_options": {},
            },
        },
    });
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let mut value = json!({
        "endpoint": { "address": { "socket_address": {
            "address": endpoint.address,
            "port_value": endpoint.port,
        } } },
        "load_balancing_weight": endpoint.weight.max(1),
    });
    if !endpoint.identity.is_empty() {
        value["metadata"] = json!({
            "filter_metadata": { "envoy.transport_socket_match": { "tlsMode": "istio" } },
        });
    }
    value
}
