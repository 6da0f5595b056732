//! What is known of a fleet when its files are made.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// A fleet as Istio sees it: what its WorkloadGroup says.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload<'a> {
    /// The WorkloadGroup's name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// The service account of its machines.
    pub service_account: &'a str,
    /// The labels of its machines.
    pub labels: &'a BTreeMap<String, String>,
    /// Their annotations.
    pub annotations: &'a BTreeMap<String, String>,
    /// Their ports.
    pub ports: BTreeMap<&'a str, u16>,
    /// Their network.
    pub network: Option<&'a str>,
    /// Their health check, as the CRD writes it.
    pub probe: Option<Value>,
    /// Whether the control plane makes their entries.
    pub auto_register: bool,
    /// Whether their DNS queries are captured.
    pub capture_dns: bool,
}

/// Whose machines they are, in the sidecar's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Amazon's.
    Aws,
    /// Google's.
    Gcp,
    /// Microsoft's.
    Azure,
    /// Nobody's whom the sidecar knows.
    None,
}

impl Platform {
    /// Returns the platform of a provider's machines.
    pub fn of_provider(provider: &str) -> Self {
        match provider {
            "aws" => Self::Aws,
            "gcp" => Self::Gcp,
            "azure" => Self::Azure,
            _ => Self::None,
        }
    }

    /// Returns the platform as the sidecar reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
            Self::None => "none",
        }
    }
}

/// What meshvm does beyond istioctl. All of it can be off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Improvements {
    /// Tells the sidecar whose the machine is; it would ask three clouds for 5 s otherwise.
    pub platform: Option<Platform>,
    /// Tells the sidecar which entry is its own, so that it can report health there.
    pub workload_entry: bool,
    /// Tells the sidecar the address in the inventory, and not the first that the machine names.
    pub inventory_address: bool,
    /// Ports that stay out of the mesh, beside those that always do.
    pub exclude_ports: Vec<u16>,
    /// Keeps calls of the cloud's metadata service out of the mesh.
    pub exclude_metadata_service: bool,
    /// How long certificates are valid: as long may a machine be off and still come back.
    pub certificate_ttl: Option<Duration>,
}
