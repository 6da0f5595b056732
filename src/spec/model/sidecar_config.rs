//! How the sidecar is configured, as the fleet file writes it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Port;
use crate::spec::scalars::Duration;

/// How the sidecar is configured on machines that join a cluster's mesh, beyond what `istioctl x
/// workload entry configure` does. With all of it off, the files are istioctl's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SidecarConfig {
    /// Capture DNS queries, so that names of the mesh are known on the machine. false holds against
    /// a mesh that has all its workloads capture them.
    pub capture_dns: bool,
    /// Tell the sidecar which cloud the machine is of, which it would have to find out otherwise.
    pub cloud_platform: bool,
    /// Tell the sidecar the address in the provider's inventory; the first that the machine itself
    /// names may be another network's.
    pub inventory_address: bool,
    /// Tell the sidecar which WorkloadEntry is its own, so that it reports health there.
    pub workload_entry: bool,
    /// Keep calls of the cloud's metadata service out of the mesh.
    pub exclude_metadata_service: bool,
    /// Ports that stay out of the mesh, beside ssh's and the sidecar's own.
    pub exclude_ports: Vec<Port>,
    /// How long certificates are valid, 10m to 2160h; 168h when absent. A machine that was off for
    /// longer cannot come back by itself. 0s leaves it to the mesh, which gives 24h.
    pub certificate_ttl: Duration,
}

impl Default for SidecarConfig {
    fn default() -> Self {
        Self {
            capture_dns: true,
            cloud_platform: true,
            inventory_address: true,
            workload_entry: true,
            exclude_metadata_service: true,
            exclude_ports: Vec::new(),
            certificate_ttl: Duration(std::time::Duration::from_secs(7 * 24 * 3600)),
        }
    }
}
