//! What Envoy listens for. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::clusters::{
    BLACK_HOLE, INBOUND_PASSTHROUGH, PASSTHROUGH, inbound_name, outbound_name, ports,
};
use super::files::Files;
use super::{INBOUND_PORT, OUTBOUND_PORT, is_http, tls};
use crate::wire::{Config, InboundPort};

/// Returns both listeners.
pub(super) fn listeners(config: &Config, files: &Files, trust_domain: &str) -> Vec<Value> {
    vec![outbound(config), inbound(config, files, trust_domain)]
}

fn listener(name: &str, port: u16, chains: &[Value], default: &Value) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": name,
        "address": { "socket_address": { "address": "0.0.0.0", "port_value": port } },
        "listener_filters": [{
            "name": "envoy.filters.listener.original_dst",
            "typed_config": {
                "@type":
                    "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
            },
        }],
        "filter_chains": chains,
        "default_filter_chain": default,
    })
}

fn outbound(config: &Config) -> Value {
    // Who comes to the listener itself would be sent round and round.
    let mut chains = vec![json!({
        "name": "virtualOutbound-blackhole",
        "filter_chain_match": { "destination_port": OUTBOUND_PORT },
        "filters": [tcp(BLACK_HOLE)],
    })];
    // Two chains that match the same would make Envoy refuse them all.
    let mut taken = BTreeSet::new();
    for (service, port) in ports(config) {
        let addresses = service.addresses.iter();
        let free: Vec<Value> = addresses
            .filter(|address| taken.insert(((*address).clone(), port.number)))
            .map(|address| range(address))
            .collect();
        if free.is_empty() {
            continue;
        }
        let cluster = outbound_name(service, port);
        let filter = if is_http(&port.name) {
            http(&cluster, &cluster, Way::Out)
        } else {
            tcp(&cluster)
        };
        chains.push(json!({
            "name": cluster,
            "filter_chain_match": { "prefix_ranges": free, "destination_port": port.number },
            "filters": [filter],
        }));
    }
    let default = json!({ "name": "passthrough", "filters": [tcp(PASSTHROUGH)] });
    listener("virtualOutbound", OUTBOUND_PORT, &chains, &default)
}

fn inbound(config: &Config, files: &Files, trust_domain: &str) -> Value {
    let socket = tls::downstream(files, trust_domain);
    let mut chains = vec![json!({
        "name": "virtualInbound-blackhole",
        "filter_chain_match": { "destination_port": INBOUND_PORT },
        "filters": [tcp(BLACK_HOLE)],
    })];
    let mut taken = BTreeSet::new();
    let free = config
        .inbound
        .iter()
        .filter(|port| taken.insert(port.number));
    chains.extend(free.map(|port| inbound_chain(port, &socket)));
    let default = json!({
        "name": "virtualInbound-passthrough",
        "filters": [tcp(INBOUND_PASSTHROUGH)],
        "transport_socket": socket,
    });
    listener("virtualInbound", INBOUND_PORT, &chains, &default)
}

fn inbound_chain(port: &InboundPort, socket: &Value) -> Value {
    let cluster = inbound_name(port);
    let filter = if is_http(&port.name) {
        http(&cluster, &cluster, Way::In)
    } else {
        tcp(&cluster)
    };
    json!({
        "name": cluster,
        "filter_chain_match": { "destination_port": port.number },
        "filters": [filter],
        "transport_socket": socket,
    })
}

fn range(address: &str) -> Value {
    let length = if address.contains(':') { 128 } else { 32 };
    json!({ "address_prefix": address, "prefix_len": length })
}

fn tcp(cluster: &str) -> Value {
    json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type":
                "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": cluster,
            "cluster": cluster,
        },
    })
}

/// Whether requests come in or go out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

fn http(cluster: &str, name: &str, way: Way) -> Value {
    let mut route = json!({ "cluster": cluster, "timeout": "0s" });
    if way == Way::Out {
        // Istio's own policy for routes that say nothing of it.
        route["retry_policy"] = json!({
            "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
            "retriable_status_codes": [503],
            "num_retries": 2,
            "host_selection_retry_max_attempts": "5",
            "retry_host_predicate": [{
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                },
            }],
        });
    }
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "AUTO",
        "use_remote_address": false,
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            },
        }],
        "route_config": {
            "name": name,
            "virtual_hosts": [{
                "name": name,
                "domains": ["*"],
                "routes": [{ "match": { "prefix": "/" }, "route": route }],
            }],
        },
    });
    match way {
        // The application learns who called, and cannot be told otherwise by the caller.
        Way::In => {
            manager["forward_client_cert_details"] = json!("SANITIZE_SET");
            manager["set_current_client_cert_details"] =
                json!({ "subject": true, "dns": true, "uri": true });
        }
        Way::Out => manager["forward_client_cert_details"] = json!("SANITIZE"),
    }
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": manager,
    })
}
