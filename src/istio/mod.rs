//! What Istio wants on a machine outside Kubernetes: the files that
//! `istioctl x workload entry configure` of 1.24 to 1.32 writes, from the same inputs, key for key
//! and quote for quote; and the improvements that meshvm makes, each of which can be switched off.
//!
//! Pure: what was read of the mesh comes in as [`Facts`]. There is no token in anything made here.
//!
//! Invariants:
//! 1. The same inputs give the same bytes.
//! 2. With every improvement off, the files are istioctl's. Where istioctl's would be read as
//!    something else than what was meant, they are not: see [`go_yaml`] and [`cluster_env`]. Nor
//!    are they where the mesh captures DNS queries and the fleet file says not to, or where the
//!    mesh leaves the cluster's name to its default: istioctl writes an empty one.
//! 3. What differs from machine to machine is in none of the files: see [`machine_env`].

pub mod cluster_env;
pub mod go_yaml;
mod proto_json;
pub mod proxy_config;
mod proxy_fields;
mod workload;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::bootstrap::{HostAddress, Hosts, IstioFiles};

pub use cluster_env::machine_env;
pub use workload::{Improvements, Platform, Workload};

/// The port of the control plane for machines outside the cluster; istioctl knows no other.
pub const CONTROL_PLANE_PORT: u16 = 15012;

/// What was read of a mesh, with what the fleet file says in its place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Facts {
    /// The control plane.
    pub revision: Revision,
    /// The cluster's name in the mesh; empty when nobody knows it.
    pub cluster_id: String,
    /// The trust domain of identities; empty when the mesh leaves it at its default.
    pub trust_domain: String,
    /// `defaultConfig` of the mesh configuration.
    pub default_config: Map<String, Value>,
    /// The certificates that the control plane is known by, by namespace, in PEM.
    pub root_certs: BTreeMap<String, String>,
    /// Where machines reach the control plane.
    pub gateway: Gateway,
}

/// A control plane: its namespace, and its revision where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revision {
    /// The namespace.
    pub namespace: String,
    /// The revision; none, or `default`, is a control plane without one.
    pub name: Option<String>,
}

impl Default for Revision {
    fn default() -> Self {
        Self {
            namespace: "istio-system".to_owned(),
            name: None,
        }
    }
}

impl Revision {
    /// Returns the revision's name where it has one that shows in other names.
    pub fn named(&self) -> Option<&str> {
        let name = self.name.as_deref()?;
        (!name.is_empty() && name != "default").then_some(name)
    }

    /// Returns the name of one of its objects: with the revision at its end where it has one.
    pub fn object(&self, base: &str) -> String {
        match self.named() {
            Some(name) => format!("{base}-{name}"),
            None => base.to_owned(),
        }
    }

    /// Returns the name by which machines call the control plane.
    pub fn host(&self) -> String {
        format!("{}.{}.svc", self.object("istiod"), self.namespace)
    }

    /// Returns the host with its port.
    pub fn address(&self) -> String {
        format!("{}:{CONTROL_PLANE_PORT}", self.host())
    }
}

/// Where machines reach the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Gateway {
    /// At an address.
    Address(std::net::IpAddr),
    /// At a host name, as load balancers of AWS have; machines look it up when they boot.
    Host(String),
    /// By the control plane's own name, which the machines' DNS knows.
    PrivateDns,
    /// Nobody knows.
    #[default]
    Unknown,
}

/// Why the files cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilesError {
    /// The control plane's certificate is not in the namespace.
    #[error(
        "the namespace `{namespace}` has no root certificate: the ConfigMap istio-ca-root-cert is \
         not there"
    )]
    NoRootCert {
        /// The namespace.
        namespace: String,
    },
    /// Machines could not find the control plane.
    #[error(
        "nobody knows where machines reach the control plane: the east-west gateway has no address"
    )]
    NoGateway,
    /// Nobody would know whom to ask about the machines' tokens.
    #[error("the cluster does not say what its name in the mesh is")]
    NoClusterId,
    /// An annotation does not hold what it should.
    #[error("the annotation proxy.istio.io/config is no ProxyConfig: {reason}")]
    Annotation {
        /// What is wrong with it.
        reason: String,
    },
}

/// Makes the files of a fleet's machines; `token` says whether each is given a token beside them.
///
/// # Errors
/// The first thing without which a machine could not join.
pub fn files(
    facts: &Facts,
    workload: &Workload<'_>,
    improvements: &Improvements,
    token: bool,
) -> Result<IstioFiles, FilesError> {
    if facts.cluster_id.is_empty() {
        return Err(FilesError::NoClusterId);
    }
    let config = proxy_config::proxy_config(facts, workload)?;
    let root_cert = facts
        .root_certs
        .get(workload.namespace)
        .filter(|pem| !pem.trim().is_empty())
        .ok_or_else(|| FilesError::NoRootCert {
            namespace: workload.namespace.to_owned(),
        })?;
    let address = match &facts.gateway {
        Gateway::Address(address) => Some(HostAddress::Ip(*address)),
        Gateway::Host(name) => Some(HostAddress::Name(name.clone())),
        Gateway::PrivateDns => None,
        Gateway::Unknown => return Err(FilesError::NoGateway),
    };
    let name = facts.revision.host();
    let cluster_env = cluster_env::cluster_env(facts, workload, improvements, &config);
    let machine_env = machine_env(workload, improvements);
    Ok(IstioFiles {
        cluster_env,
        mesh_yaml: go_yaml::to_string(&json!({ "defaultConfig": config })),
        root_cert: root_cert.clone(),
        hosts: address.map(|address| Hosts { address, name }),
        machine_env,
        token,
    })
}

/// Returns the file `hosts` as istioctl writes it; a host name stands where it has nothing.
pub fn hosts(files: &IstioFiles) -> String {
    files.hosts.as_ref().map_or_else(String::new, |hosts| {
        let Hosts { address, name } = hosts;
        match address {
            HostAddress::Ip(address) => format!("{address} {name}\n"),
            HostAddress::Name(gateway) => format!("{gateway} {name}\n"),
        }
    })
}

#[cfg(test)]
mod tests;
