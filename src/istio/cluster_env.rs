//! The environment of the sidecar's start script, `cluster.env`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Facts, Improvements, Workload};
use crate::bootstrap::MachineValue;

/// Ports that stay out of the mesh: ssh, so that a mistake locks nobody out, and the sidecar's own.
const EXCLUDED: [u16; 3] = [22, 15090, 15021];

/// The sidecar's own status port where the mesh says no other.
const STATUS_PORT: u64 = 15020;

/// Where clouds tell their machines about themselves; not for the mesh.
const METADATA_SERVICE: &str = "169.254.169.254/32";

/// Returns the variables that each machine adds to the file by itself.
pub fn machine_env(
    workload: &Workload<'_>,
    improvements: &Improvements,
) -> Vec<(String, MachineValue)> {
    let mut lines = Vec::new();
    if improvements.workload_entry && !workload.auto_register {
        lines.push(("ISTIO_META_WORKLOAD_ENTRY".to_owned(), MachineValue::Name));
    }
    if improvements.inventory_address {
        lines.push(("ISTIO_SVC_IP".to_owned(), MachineValue::Address));
    }
    lines
}

/// Makes the text of the file; `config` is the sidecar's configuration.
///
/// What no shell could name is left out: istioctl writes it, and the start script stops there. The
/// sidecar has it from its configuration all the same.
pub fn cluster_env(
    facts: &Facts,
    workload: &Workload<'_>,
    improvements: &Improvements,
    config: &Map<String, Value>,
) -> String {
    let metadata = config.get("proxyMetadata").and_then(Value::as_object);
    let mut env: BTreeMap<&str, String> = metadata
        .into_iter()
        .flatten()
        .filter(|(key, _)| is_variable(key))
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    let inbound: Vec<String> = workload.ports.values().map(u16::to_string).collect();
    env.insert(
        "ISTIO_INBOUND_PORTS",
        match inbound.is_empty() {
            true => "*".to_owned(),
            false => inbound.join(","),
        },
    );
    env.insert(
        "ISTIO_LOCAL_EXCLUDE_PORTS",
        exclude_ports(config, &improvements.exclude_ports),
    );
    env.insert("ISTIO_NAMESPACE", workload.namespace.to_owned());
    let service = format!("{}.{}", workload.name, workload.namespace);
    env.insert("ISTIO_SERVICE", service);
    env.insert("ISTIO_SERVICE_CIDR", "*".to_owned());
    env.insert("SERVICE_ACCOUNT", workload.service_account.to_owned());
    if facts.revision.named().is_some() {
        env.insert("CA_ADDR", facts.revision.address());
    }
    if let Some(platform) = improvements.platform {
        env.insert("CLOUD_PLATFORM", platform.as_str().to_owned());
    }
    if improvements.exclude_metadata_service {
        env.insert("ISTIO_SERVICE_EXCLUDE_CIDR", METADATA_SERVICE.to_owned());
    }
    if let Some(ttl) = improvements.certificate_ttl {
        env.insert("SECRET_TTL", format!("{}s", ttl.as_secs()));
    }
    let mut lines: Vec<String> = env
        .iter()
        .map(|(key, value)| format!("{key}={}\n", quoted(value)))
        .collect();
    // istioctl sorts lines, not keys.
    lines.sort();
    lines.concat()
}

fn exclude_ports(config: &Map<String, Value>, more: &[u16]) -> String {
    let mut ports: Vec<u64> = EXCLUDED.into_iter().map(u64::from).collect();
    let status = config
        .get("statusPort")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    match status {
        15090 | 15021 => {}
        0 => ports.push(STATUS_PORT),
        other => ports.push(other),
    }
    for port in more.iter().copied().map(u64::from) {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    let ports: Vec<String> = ports.iter().map(u64::to_string).collect();
    ports.join(",")
}

/// Returns whether a text is the name of a variable (POSIX.1-2017, XBD 3.235).
fn is_variable(text: &str) -> bool {
    let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_word && text.starts_with(|c: char| !c.is_ascii_digit())
}

/// Quotes a value for a shell as istioctl does, which leaves values of a few characters alone
/// (`pkg/util/shellescape/quote.go` of Istio). A backslash is one of them there, and would be lost.
fn quoted(value: &str) -> String {
    match !value.is_empty() && value.chars().all(|c| "w@%+=:,./-".contains(c)) {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', "'\"'\"'")),
    }
}
