//! The sidecar's configuration, `mesh.yaml`: the mesh's `defaultConfig` with what is the fleet's own.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::proto_json::{self, go_json};
use super::{Facts, FilesError, Workload};

/// The annotation that changes the sidecar's configuration
/// (<https://istio.io/latest/docs/reference/config/annotations/>).
const PROXY_CONFIG: &str = "proxy.istio.io/config";

/// Whether the sidecar captures DNS queries
/// (<https://istio.io/latest/docs/ops/configuration/traffic-management/dns-proxy/>).
const DNS_CAPTURE: &str = "ISTIO_META_DNS_CAPTURE";

/// The labels by which telemetry names a workload
/// (<https://istio.io/latest/docs/reference/config/labels/>).
const CANONICAL_NAME: &str = "service.istio.io/canonical-name";
const CANONICAL_REVISION: &str = "service.istio.io/canonical-revision";

/// Makes the `ProxyConfig` of a fleet's machines, in the names of its JSON form.
///
/// # Errors
/// [`FilesError::Annotation`] when the annotation holds no `ProxyConfig`.
pub fn proxy_config(
    facts: &Facts,
    workload: &Workload<'_>,
) -> Result<Map<String, Value>, FilesError> {
    let mut config = proto_json::fields(&facts.default_config);
    if facts.revision.named().is_some() && text(config.get("discoveryAddress")).is_empty() {
        let address = json!(facts.revision.address());
        config.insert("discoveryAddress".to_owned(), address);
    }
    let mut metadata = strings(config.get("proxyMetadata"));
    if let Some(yaml) = workload.annotations.get(PROXY_CONFIG) {
        let wrong = |reason: String| FilesError::Annotation { reason };
        let overlay: Value = serde_saphyr::from_str(yaml).map_err(|e| wrong(e.to_string()))?;
        let Value::Object(overlay) = overlay else {
            return Err(wrong("it is no YAML map".to_owned()));
        };
        if let Some((field, takes)) = proto_json::misfit(&overlay) {
            return Err(wrong(format!("`{field}` takes {takes}")));
        }
        let overlay = proto_json::fields(&overlay);
        metadata.extend(strings(overlay.get("proxyMetadata")));
        proto_json::overlay(&mut config, overlay);
    }
    match &workload.probe {
        Some(probe) => config.insert("readinessProbe".to_owned(), proto_json::probe(probe)),
        None => config.remove("readinessProbe"),
    };
    metadata.extend(own_metadata(facts, workload, text(config.get("meshId"))));
    // istioctl leaves what the mesh says of all its workloads, and has no way to say no.
    if let Some(captured) = metadata.get_mut(DNS_CAPTURE)
        && !workload.capture_dns
    {
        *captured = "false".to_owned();
    }
    config.insert("proxyMetadata".to_owned(), json!(metadata));
    Ok(proto_json::proxy_config(config))
}

/// Returns what the sidecar tells of itself.
fn own_metadata(facts: &Facts, workload: &Workload<'_>, mesh_id: &str) -> BTreeMap<String, String> {
    let mut labels = workload.labels.clone();
    let first = |keys: [&str; 3], otherwise: &str| {
        let found = keys.iter().find_map(|key| workload.labels.get(*key));
        found.map_or(otherwise.to_owned(), Clone::clone)
    };
    let service = first(
        [CANONICAL_NAME, "app.kubernetes.io/name", "app"],
        workload.name,
    );
    let revision = first(
        [CANONICAL_REVISION, "app.kubernetes.io/version", "version"],
        "latest",
    );
    labels.insert(CANONICAL_NAME.to_owned(), service.clone());
    labels.insert(CANONICAL_REVISION.to_owned(), revision.clone());
    let mut own: BTreeMap<&str, String> = BTreeMap::from([
        ("CANONICAL_SERVICE", service),
        ("CANONICAL_REVISION", revision),
        ("POD_NAMESPACE", workload.namespace.to_owned()),
        ("SERVICE_ACCOUNT", workload.service_account.to_owned()),
        ("TRUST_DOMAIN", facts.trust_domain.clone()),
        ("ISTIO_META_CLUSTER_ID", facts.cluster_id.clone()),
        ("ISTIO_META_MESH_ID", mesh_id.to_owned()),
        (
            "ISTIO_META_NETWORK",
            workload.network.unwrap_or_default().to_owned(),
        ),
        ("ISTIO_META_WORKLOAD_NAME", workload.name.to_owned()),
        ("ISTIO_METAJSON_LABELS", go_json(&json!(labels))),
    ]);
    if !workload.ports.is_empty() {
        own.insert("ISTIO_META_POD_PORTS", pod_ports(&workload.ports));
    }
    if workload.capture_dns {
        own.insert(DNS_CAPTURE, "true".to_owned());
    }
    if workload.auto_register {
        own.insert("ISTIO_META_AUTO_REGISTER_GROUP", workload.name.to_owned());
    }
    own.into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// Returns ports as the sidecar tells them, in the order of keys that Istio has.
fn pod_ports(ports: &BTreeMap<&str, u16>) -> String {
    let each: Vec<String> = ports
        .iter()
        .map(|(name, port)| {
            let name = go_json(&json!(name));
            format!("{{\"name\":{name},\"containerPort\":{port},\"protocol\":\"\"}}")
        })
        .collect();
    format!("[{}]", each.join(","))
}

/// Returns a map of texts; a number or a truth value there is its text, and nothing is an empty one.
fn strings(value: Option<&Value>) -> BTreeMap<String, String> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries
        .map(|(key, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    value.to_string()
                }
            };
            (key.clone(), text)
        })
        .collect()
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}
