//! The objects of machines that the mesh knows and that are no members. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Maker, Object};
use crate::spec::model::External;

/// Tells clients in the mesh that an endpoint takes no mutual TLS
/// (<https://istio.io/latest/docs/reference/config/labels/>).
const TLS_MODE: &str = "security.istio.io/tlsMode";

/// By this label the ServiceEntry finds the machines of its fleet and no others.
const SELECTED: &str = "meshvm-external";

/// Makes the ServiceEntry.
pub(super) fn service_entry(maker: &Maker<'_>, external: &External) -> Object {
    let External {
        namespace: _,
        hosts,
        addresses,
        ports,
        labels: _,
    } = external;
    let ports: Vec<Value> = ports
        .iter()
        .map(|port| {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let mut value = json!({"name": port.name, "number": port.port, "protocol": protocol});
            if let Some(target) = port.target_port {
                value["targetPort"] = json!(target);
            }
            value
        })
        .collect();
    maker.selecting(hosts, addresses, &ports, json!({SELECTED: maker.fleet}))
}

/// Makes what the entries of all its machines have in common.
pub(super) fn workload(fleet: &str, external: &External) -> Map<String, Value> {
    let mut labels: BTreeMap<&str, &str> = external
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    labels.insert(SELECTED, fleet);
    labels.insert(TLS_MODE, "disabled");
    let mut spec = Map::new();
    spec.insert("labels".to_owned(), json!(labels));
    spec
}
