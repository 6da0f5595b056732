//! A fleet's side of the mesh, as the fleet file writes it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ServiceAccount, Traffic};
use crate::spec::scalars::{KubeName, ServiceName};

/// A fleet's side of the mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Membership {
    /// The Kubernetes namespace of all its objects.
    pub namespace: KubeName,
    /// The service account whose identity the machines have; with `create: false`, one that is there
    /// already.
    pub service_account: ServiceAccount,
    /// Labels of the workload; Services and policies select by them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The workload's ports by name; a Service's target ports are looked up here.
    #[serde(default)]
    pub ports: BTreeMap<String, Port>,
    /// How the sidecar tells whether the workload is healthy.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// The network of the machines in a multi-network mesh.
    #[serde(default)]
    pub network: Option<String>,
    /// The load-balancing weight of each machine.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Annotations of the workload; `proxy.istio.io/config` changes the sidecar's configuration.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Where the machines are, as region/zone/subzone, for the mesh to prefer what is near; where
    /// each machine's cloud says it is when absent.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[^/]+(/[^/]+){0,2}$"))]
    pub locality: Option<String>,
    /// Let the control plane make the WorkloadEntries as sidecars connect, in place of meshvm.
    /// Such entries never follow a later change of the membership.
    #[serde(default)]
    pub auto_register: bool,
    /// A Kubernetes Service that selects the machines.
    #[serde(default)]
    pub service: Option<Service>,
    /// A ServiceEntry that selects the machines, where a Service does not do.
    #[serde(default)]
    pub service_entry: Option<ServiceEntry>,
    /// How clients in the mesh treat the Service: time-outs, retries, faults, subsets.
    #[serde(default)]
    pub traffic: Option<Traffic>,
}

impl Membership {
    /// Returns the labels by which its Service selects machines.
    pub fn selector(&self) -> &BTreeMap<String, String> {
        let service = self.service.as_ref();
        let own = service.and_then(|service| service.selector.as_ref());
        own.unwrap_or(&self.labels)
    }
}

/// A TCP or UDP port, 1 to 65535.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Port(#[schemars(range(min = 1, max = 65535))] pub u16);

/// A health check, with the fields of a WorkloadGroup's `probe`. Exactly one of `httpGet`,
/// `tcpSocket`, `exec` and `grpc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probe {
    /// Healthy when an HTTP GET answers 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpGet>,
    /// Healthy when a TCP connection opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<TcpSocket>,
    /// Healthy when a command exits 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Exec>,
    /// Healthy when the gRPC health service says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<Grpc>,
    /// Seconds before the first check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 2_147_483_647))]
    pub initial_delay_seconds: Option<u32>,
    /// Seconds until a check counts as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 2_147_483_647))]
    pub timeout_seconds: Option<u32>,
    /// Seconds between checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 2_147_483_647))]
    pub period_seconds: Option<u32>,
    /// Successes in a row until healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 2_147_483_647))]
    pub success_threshold: Option<u32>,
    /// Failures in a row until unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 2_147_483_647))]
    pub failure_threshold: Option<u32>,
}

/// An HTTP health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpGet {
    /// The port.
    pub port: Port,
    /// The path; / when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The host; the machine itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// HTTP or HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Headers to send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http_headers: Vec<HttpHeader>,
}

/// The scheme of an HTTP health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS; the certificate is not verified.
    Https,
}

/// A header of an HTTP health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpHeader {
    /// The name.
    #[schemars(regex(pattern = r"^[-_A-Za-z0-9]+$"))]
    pub name: String,
    /// The value.
    pub value: String,
}

/// A TCP health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpSocket {
    /// The port.
    pub port: Port,
    /// The host; the machine itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// A health check by command, run as the sidecar's user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exec {
    /// The program and its arguments.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub command: Vec<String>,
}

/// A gRPC health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grpc {
    /// The port.
    pub port: Port,
    /// The service to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// A Kubernetes Service, of the fleet's name, that selects the machines by labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// The Service's name; the fleet's when absent.
    #[serde(default)]
    pub name: Option<ServiceName>,
    /// The labels by which it selects machines; all of the membership's when absent. With fewer of
    /// them, one Service leads to the machines of several fleets of its namespace, such as versions
    /// that subsets tell apart. One of the fleets has the Service; the others have the labels.
    #[serde(default)]
    pub selector: Option<BTreeMap<String, String>>,
    /// The Service's ports.
    #[schemars(length(min = 1))]
    pub ports: Vec<ServicePort>,
}

/// A port of a Kubernetes Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServicePort {
    /// The name; Istio reads the protocol from its prefix, as in "http-web".
    pub name: KubeName,
    /// The port that clients use.
    pub port: Port,
    /// The name of a port of the membership; the port of the same name, or number, when absent.
    #[serde(default)]
    pub target_port: Option<String>,
}

/// A ServiceEntry, of the fleet's name, that selects the machines by the membership's labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceEntry {
    /// The names that clients use.
    #[schemars(length(min = 1, max = 256))]
    pub hosts: Vec<String>,
    /// Virtual addresses of the hosts; a TCP port needs one, unless the mesh allocates them.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub addresses: Vec<String>,
    /// The ports.
    #[schemars(length(min = 1, max = 256))]
    pub ports: Vec<ServiceEntryPort>,
}

/// A port of a ServiceEntry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceEntryPort {
    /// The name; a membership's port of the same name is where the machines listen.
    pub name: KubeName,
    /// The port that clients use.
    pub port: Port,
    /// The protocol, as Istio names it; TCP when absent.
    #[serde(default)]
    pub protocol: Option<String>,
}
