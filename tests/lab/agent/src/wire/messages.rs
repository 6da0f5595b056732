//! The messages, with their field numbers.

use std::collections::BTreeMap;

/// `IstioCertificateRequest`: a wish for a certificate.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CertificateRequest {
    /// A certificate signing request in PEM.
    #[prost(string, tag = "1")]
    pub csr: String,
    /// For how many seconds; the authority decides.
    #[prost(int64, tag = "3")]
    pub validity_duration: i64,
    /// What else the authority may want to know.
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<prost_types::Struct>,
}

/// `IstioCertificateResponse`: the certificate and those above it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CertificateResponse {
    /// PEM each, the workload's first, the root last.
    #[prost(string, repeated, tag = "1")]
    pub cert_chain: Vec<String>,
}

/// A node that asks for its configuration.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Node {
    /// `sidecar~<IP>~<name>.<namespace>~<namespace>.svc.cluster.local`.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The namespace that it says it is in.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// The service account that it says it has.
    #[prost(string, tag = "3")]
    pub service_account: String,
    /// Its addresses, the one in its id first.
    #[prost(string, repeated, tag = "4")]
    pub addresses: Vec<String>,
    /// The WorkloadEntry that it is, if somebody else made one; or empty.
    #[prost(string, tag = "5")]
    pub workload_entry: String,
    /// The WorkloadGroup to register it in; or empty.
    #[prost(string, tag = "6")]
    pub auto_register_group: String,
    /// Its labels.
    #[prost(btree_map = "string, string", tag = "7")]
    pub labels: BTreeMap<String, String>,
    /// Its network; or empty.
    #[prost(string, tag = "8")]
    pub network: String,
    /// Its cluster.
    #[prost(string, tag = "9")]
    pub cluster: String,
    /// Its locality, `region/zone/subzone`; or empty.
    #[prost(string, tag = "10")]
    pub locality: String,
}

/// What a node is to have configured.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Config {
    /// Differs whenever the rest does.
    #[prost(string, tag = "1")]
    pub version: String,
    /// The services of the mesh.
    #[prost(message, repeated, tag = "2")]
    pub services: Vec<Service>,
    /// The ports of the node itself that services lead to.
    #[prost(message, repeated, tag = "3")]
    pub inbound: Vec<InboundPort>,
}

/// A service of the mesh.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Service {
    /// Its full name first, then the shorter ones that the node may use.
    #[prost(string, repeated, tag = "1")]
    pub hosts: Vec<String>,
    /// Its virtual addresses.
    #[prost(string, repeated, tag = "2")]
    pub addresses: Vec<String>,
    /// Its ports.
    #[prost(message, repeated, tag = "3")]
    pub ports: Vec<Port>,
}

/// A port of a service.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Port {
    /// The number that clients use.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// Its name, which says the protocol by its first part.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Who answers.
    #[prost(message, repeated, tag = "3")]
    pub endpoints: Vec<Endpoint>,
}

/// Somebody who answers for a service.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Endpoint {
    /// Its address.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Its port.
    #[prost(uint32, tag = "2")]
    pub port: u32,
    /// The SPIFFE identity that it must prove; empty when it speaks no TLS.
    #[prost(string, tag = "3")]
    pub identity: String,
    /// Its labels.
    #[prost(btree_map = "string, string", tag = "4")]
    pub labels: BTreeMap<String, String>,
    /// Its share of the load; 0 stands for 1.
    #[prost(uint32, tag = "5")]
    pub weight: u32,
}

/// A port of the node that services lead to.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InboundPort {
    /// Where the application listens.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// Its name, which says the protocol by its first part.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// How a node's application is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HealthReport {
    /// The node.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// Whether its application is healthy.
    #[prost(bool, tag = "2")]
    pub healthy: bool,
    /// What the probe said when it is not.
    #[prost(string, tag = "3")]
    pub message: String,
}

/// A report has been taken.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Reported {}

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HealthCheckRequest {
    /// Which service of the server; empty for the server itself.
    #[prost(string, tag = "1")]
    pub service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HealthCheckResponse {
    /// 1 is `SERVING`.
    #[prost(int32, tag = "1")]
    pub status: i32,
}
