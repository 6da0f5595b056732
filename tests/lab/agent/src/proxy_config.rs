//! The proxy's configuration: the built-in one, the mesh's file over it, `PROXY_CONFIG` over that.
//!
//! The fields and their defaults are those of `ProxyConfig` in `mesh/v1alpha1/proxy.proto` of
//! istio/api, as far as the double follows them; others are passed over. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::probe::Probe;

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ProxyConfigError {
    /// It is no YAML.
    #[error("{from} is no YAML")]
    Yaml {
        /// Where it is from.
        from: &'static str,
        /// Why.
        source: serde_saphyr::Error,
    },
    /// A field has a value that it cannot have.
    #[error("cannot use the proxy configuration")]
    Field(#[from] serde_json::Error),
}

/// The proxy's configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyConfig {
    /// The folder of generated files.
    pub config_path: String,
    /// Envoy.
    pub binary_path: String,
    /// The name of what the proxy is for.
    pub service_cluster: String,
    /// Where istiod is, as `host:port`.
    pub discovery_address: String,
    /// The port of Envoy's admin interface.
    pub proxy_admin_port: u16,
    /// The port of the agent's own health and metrics.
    pub status_port: u16,
    /// How long connections are drained at the end, as `5s`.
    pub termination_drain_duration: String,
    /// How many threads Envoy has.
    pub concurrency: u32,
    /// Environment that others gave; it is already in the environment.
    pub proxy_metadata: BTreeMap<String, String>,
    /// How to ask the application whether it is ready.
    pub readiness_probe: Option<Probe>,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            config_path: "./etc/istio/proxy".to_owned(),
            binary_path: "/usr/local/bin/envoy".to_owned(),
            service_cluster: "istio-proxy".to_owned(),
            discovery_address: "istiod.istio-system.svc:15012".to_owned(),
            proxy_admin_port: 15000,
            status_port: 15020,
            termination_drain_duration: "5s".to_owned(),
            concurrency: 2,
            proxy_metadata: BTreeMap::new(),
            readiness_probe: None,
        }
    }
}

impl ProxyConfig {
    /// Puts the layers together: the text of the mesh's file, then the text of `PROXY_CONFIG`.
    ///
    /// A field of a later layer replaces that of an earlier one, but for `proxyMetadata`, which is
    /// merged key by key.
    ///
    /// # Errors
    ///
    /// When a layer is no YAML, or a field has a value that it cannot have.
    pub fn layered(
        mesh: Option<&str>,
        environment: Option<&str>,
    ) -> Result<Self, ProxyConfigError> {
        let mut merged = Map::new();
        if let Some(mesh) = mesh {
            let mut mesh = parsed("the mesh configuration", mesh)?;
            if let Some(Value::Object(layer)) = mesh.remove("defaultConfig") {
                merge(&mut merged, layer);
            }
        }
        if let Some(environment) = environment {
            merge(&mut merged, parsed("PROXY_CONFIG", environment)?);
        }
        // As in the JSON of a protocol buffer, null stands for a field that is not there.
        merged.retain(|_, value| !value.is_null());
        Ok(serde_json::from_value(Value::Object(merged))?)
    }
}

fn parsed(from: &'static str, text: &str) -> Result<Map<String, Value>, ProxyConfigError> {
    // The package makes the file empty, and an empty text says nothing.
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_saphyr::from_str(text).map_err(|source| ProxyConfigError::Yaml { from, source })
}

fn merge(merged: &mut Map<String, Value>, layer: Map<String, Value>) {
    for (key, value) in layer {
        match (merged.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) if key == "proxyMetadata" => {
                old.extend(new);
            }
            (_, value) => {
                merged.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_replace_fields_and_merge_metadata() {
        let mesh = "defaultConfig:\n  discoveryAddress: istiod-a.istio-system.svc:15012\n  \
                    statusPort: 15030\n  readinessProbe: null\n  proxyMetadata: {A: '1', B: '2'}\n\
                    trustDomain: ignored\n";
        let environment = "serviceCluster: web.vm\nstatusPort: 15031\nproxyMetadata: {B: '3'}\n";
        let config = ProxyConfig::layered(Some(mesh), Some(environment)).unwrap();
        assert_eq!(config.discovery_address, "istiod-a.istio-system.svc:15012");
        assert_eq!(config.status_port, 15031);
        assert_eq!(config.readiness_probe, None);
        let metadata: Vec<_> = config.proxy_metadata.into_iter().collect();
        assert_eq!(
            metadata,
            [("A".into(), "1".into()), ("B".into(), "3".into())]
        );
        assert_eq!(config.proxy_admin_port, 15000);
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(
            ProxyConfig::layered(Some("\n"), None).unwrap(),
            ProxyConfig::default()
        );
    }

    #[test]
    fn a_probe_is_read() {
        let mesh = "defaultConfig:\n  readinessProbe:\n    periodSeconds: 3\n    \
                    httpGet: {port: 8080, path: /ok}\n";
        let config = ProxyConfig::layered(Some(mesh), None).unwrap();
        let probe = config.readiness_probe.unwrap();
        assert_eq!(probe.period_seconds, 3);
        assert_eq!(probe.http_get.unwrap().port, 8080);
    }
}
