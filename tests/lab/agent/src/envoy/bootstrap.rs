//! What Envoy starts from. Pure.

use serde_json::{Value, json};

use super::files::Files;
use crate::wire::Node;

/// Returns the bootstrap of a node.
pub fn bootstrap(node: &Node, cluster: &str, admin_port: u16, files: &Files) -> Value {
    let source = |path: std::path::PathBuf| json!({ "resource_api_version": "V3", "path_config_source": { "path": path } });
    json!({
        "node": {
            "id": node.id,
            "cluster": cluster,
            "metadata": {
                "NAMESPACE": node.namespace,
                "SERVICE_ACCOUNT": node.service_account,
                "LABELS": node.labels,
                "NETWORK": node.network,
                "CLUSTER_ID": node.cluster,
            },
        },
        "admin": {
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": admin_port } },
        },
        "dynamic_resources": {
            "lds_config": source(files.listeners()),
            "cds_config": source(files.clusters()),
        },
    })
}
