//! Machines that the mesh knows and that are no members, as the fleet file writes them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Port;
use crate::spec::scalars::KubeName;

/// Machines outside the mesh that its members can call: a ServiceEntry, and a WorkloadEntry for each
/// machine that says it takes no mutual TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct External {
    /// The Kubernetes namespace of the objects.
    pub namespace: KubeName,
    /// The names that clients use.
    #[schemars(length(min = 1, max = 256))]
    pub hosts: Vec<String>,
    /// Virtual addresses of the hosts; a TCP port needs one, unless the mesh allocates them.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub addresses: Vec<String>,
    /// The ports.
    #[schemars(length(min = 1, max = 256))]
    pub ports: Vec<ExternalPort>,
    /// Labels of the machines; subsets select by them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A port of machines outside the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalPort {
    /// The name.
    pub name: KubeName,
    /// The port that clients use.
    pub port: Port,
    /// The protocol, as Istio names it; TCP when absent.
    #[serde(default)]
    pub protocol: Option<String>,
    /// Where the machines listen; `port` when absent.
    #[serde(default)]
    pub target_port: Option<Port>,
}
