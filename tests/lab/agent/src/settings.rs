//! What the environment says: who the workload is, whom it asks, with what it proves itself.
//!
//! The names are those of `pilot/cmd/pilot-agent/options` in istio/istio. Paths that are not
//! absolute are relative to the folder that the agent runs in, which is `/` on a machine. Pure:
//! the environment comes in as a map.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::RsaKeySize;
use serde_json::Value;
use thiserror::Error;

use crate::proxy_config::ProxyConfig;

/// Environment variables by name.
pub type Environment = BTreeMap<String, String>;

/// Why the environment cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// A variable has a value that it cannot have.
    #[error("{name} cannot be {value:?}: {why}")]
    Value {
        /// The variable.
        name: String,
        /// Its value.
        value: String,
        /// Why not.
        why: String,
    },
    /// Two variables exclude each other, or the double does not follow one.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// The kind of private key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on the curve P-256.
    P256,
    /// ECDSA on the curve P-384.
    P384,
    /// RSA.
    Rsa(RsaKeySize),
}

/// All that the environment says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address that the workload goes by.
    pub instance_ip: String,
    /// The name of the machine.
    pub pod_name: String,
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// The trust domain.
    pub trust_domain: String,
    /// The cluster, as istiod knows it.
    pub cluster_id: String,
    /// Where the certificate authority is, as `host:port`.
    pub ca_address: String,
    /// Where discovery is, as `host:port`.
    pub discovery_address: String,
    /// The name that discovery's certificate must have, when it is not that of the address.
    pub istiod_san: Option<String>,
    /// The same for the certificate authority's.
    pub ca_san: Option<String>,
    /// Where the root certificate is, if the environment says so.
    pub ca_root: Option<PathBuf>,
    /// The same for discovery.
    pub xds_root: Option<PathBuf>,
    /// The folder of certificates that the workload already has.
    pub prov_cert: Option<PathBuf>,
    /// The folder to write certificates to.
    pub output_certs: Option<PathBuf>,
    /// The file of the token, if tokens are used.
    pub token: Option<PathBuf>,
    /// For how long a certificate is asked for.
    pub secret_ttl: Duration,
    /// Which share of a certificate's life is left when it is replaced.
    pub grace_ratio: f64,
    /// By how much that share may differ by chance.
    pub grace_jitter: f64,
    /// The kind of private key.
    pub key: KeyKind,
    /// The node's metadata, without its labels.
    pub metadata: BTreeMap<String, Value>,
    /// The node's labels.
    pub labels: BTreeMap<String, String>,
    /// The port that answers whether the proxy is ready.
    pub ready_port: u16,
    /// Whether probes go to the loopback address instead of the workload's.
    pub probe_localhost: bool,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// When a variable has a value that it cannot have, or asks for what the double has not.
    pub fn read(environment: &Environment, proxy: &ProxyConfig) -> Result<Self, SettingsError> {
        let get = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let text = |name: &str, default: &str| get(name).map_or(default, |value| value).to_owned();
        let path = |name: &str| get(name).map(PathBuf::from);
        if get("FILE_MOUNTED_CERTS").is_some() {
            return Err(SettingsError::Unsupported(
                "FILE_MOUNTED_CERTS: the double does not serve certificates of others",
            ));
        }
        let fetcher = text("CREDENTIAL_FETCHER_TYPE", "JWT");
        if fetcher != "JWT" {
            return Err(wrong(
                "CREDENTIAL_FETCHER_TYPE",
                &fetcher,
                "only JWT is known",
            ));
        }
        for name in ["CA_ROOT_CA", "XDS_ROOT_CA"] {
            if get(name).is_some_and(|value| value == "SYSTEM") {
                return Err(wrong(name, "SYSTEM", "the double takes a file only"));
            }
        }
        let policy = text("JWT_POLICY", "third-party-jwt");
        let tokens = matches!(policy.as_str(), "third-party-jwt" | "first-party-jwt");
        let (metadata, labels) = metadata(environment)?;
        let istiod_san = get("ISTIOD_SAN").cloned();
        let ca_address = get("CA_ADDR").cloned();
        Ok(Self {
            instance_ip: text("INSTANCE_IP", ""),
            pod_name: text("POD_NAME", ""),
            namespace: text("POD_NAMESPACE", "default"),
            service_account: text("SERVICE_ACCOUNT", "default"),
            trust_domain: text("TRUST_DOMAIN", "cluster.local"),
            cluster_id: text("ISTIO_META_CLUSTER_ID", "Kubernetes"),
            // The other name counts for the authority only where discovery's address does.
            ca_san: istiod_san.clone().filter(|_| ca_address.is_none()),
            ca_address: ca_address.unwrap_or_else(|| proxy.discovery_address.clone()),
            discovery_address: proxy.discovery_address.clone(),
            istiod_san,
            ca_root: path("CA_ROOT_CA"),
            xds_root: path("XDS_ROOT_CA"),
            prov_cert: path("PROV_CERT"),
            output_certs: path("OUTPUT_CERTS"),
            token: tokens.then(|| PathBuf::from("./var/run/secrets/tokens/istio-token")),
            secret_ttl: duration(environment, "SECRET_TTL", "24h")?,
            grace_ratio: number(environment, "SECRET_GRACE_PERIOD_RATIO", 0.5)?,
            grace_jitter: number(environment, "SECRET_GRACE_PERIOD_RATIO_JITTER", 0.01)?,
            key: key_kind(environment)?,
            metadata,
            labels,
            ready_port: number(environment, "ENVOY_STATUS_PORT", 15021)?,
            probe_localhost: get("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION")
                .is_some_and(|value| value == "true"),
        })
    }

    /// Returns a text of the node's metadata; empty when there is none.
    pub fn meta(&self, name: &str) -> String {
        match self.metadata.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_),
            )
            | None => String::new(),
        }
    }
}

fn wrong(name: &str, value: &str, why: impl ToString) -> SettingsError {
    SettingsError::Value {
        name: name.to_owned(),
        value: value.to_owned(),
        why: why.to_string(),
    }
}

fn duration(from: &Environment, name: &str, default: &str) -> Result<Duration, SettingsError> {
    let value = from.get(name).map_or(default, String::as_str);
    humantime::parse_duration(value).map_err(|error| wrong(name, value, error))
}

fn number<T>(from: &Environment, name: &str, default: T) -> Result<T, SettingsError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    match from.get(name).filter(|value| !value.is_empty()) {
        Some(value) => value.parse().map_err(|error| wrong(name, value, error)),
        None => Ok(default),
    }
}

fn key_kind(from: &Environment) -> Result<KeyKind, SettingsError> {
    let algorithm = from
        .get("ECC_SIGNATURE_ALGORITHM")
        .map_or("ECDSA", String::as_str);
    match algorithm {
        "ECDSA" => match from.get("ECC_CURVE").map_or("P256", String::as_str) {
            "" | "P256" => Ok(KeyKind::P256),
            "P384" => Ok(KeyKind::P384),
            other => Err(wrong("ECC_CURVE", other, "P256 and P384 are known")),
        },
        "" => match number(from, "WORKLOAD_RSA_KEY_SIZE", 2048)? {
            2048 => Ok(KeyKind::Rsa(RsaKeySize::_2048)),
            3072 => Ok(KeyKind::Rsa(RsaKeySize::_3072)),
            4096 => Ok(KeyKind::Rsa(RsaKeySize::_4096)),
            other => Err(wrong(
                "WORKLOAD_RSA_KEY_SIZE",
                &format!("{other}"),
                "2048, 3072 and 4096 are known",
            )),
        },
        other => Err(wrong("ECC_SIGNATURE_ALGORITHM", other, "ECDSA is known")),
    }
}

type Metadata = (BTreeMap<String, Value>, BTreeMap<String, String>);

/// Takes the node's metadata from `ISTIO_META_X`, which are texts, and `ISTIO_METAJSON_X`, which
/// are objects: of `LABELS` its labels, of all others what is in them.
fn metadata(environment: &Environment) -> Result<Metadata, SettingsError> {
    let mut metadata = BTreeMap::new();
    let mut labels = BTreeMap::new();
    for (name, value) in environment {
        if let Some(key) = name.strip_prefix("ISTIO_META_") {
            metadata.insert(key.to_owned(), Value::String(value.clone()));
        } else if name == "ISTIO_METAJSON_LABELS" {
            labels = serde_json::from_str(value).map_err(|error| wrong(name, value, error))?;
        } else if name.starts_with("ISTIO_METAJSON_") {
            let object: BTreeMap<String, Value> =
                serde_json::from_str(value).map_err(|error| wrong(name, value, error))?;
            metadata.extend(object);
        }
    }
    Ok((metadata, labels))
}

#[cfg(test)]
mod tests;
