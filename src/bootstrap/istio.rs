//! What makes a machine with Istio's sidecar package a member of a mesh.
//!
//! The contents come from outside; here is how they are handed to the script,
//! which puts them where `istio-start.sh` and `pilot-agent` look for them
//! (<https://istio.io/latest/docs/setup/install/virtual-machine/>). What differs
//! from machine to machine is not among them: the machine itself adds it.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::Serialize;

use super::RenderError;
use super::render::FileValues;

/// The name of the private file with a machine's token for the mesh.
///
/// The script looks for it in the folder `private` of the NoCloud seed, which is
/// `/var/lib/cloud/seed/nocloud` or a disk labelled `cidata`, and in
/// `/var/lib/meshvm/private`.
pub const TOKEN_FILE: &str = "istio-token";

/// The files of a member of an Istio mesh. None of them is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IstioFiles {
    /// `/var/lib/istio/envoy/cluster.env`, without what only a machine knows.
    pub cluster_env: String,
    /// `/etc/istio/config/mesh`.
    pub mesh_yaml: String,
    /// `/etc/certs/root-cert.pem`; the sidecar replaces it as the mesh's roots change.
    pub root_cert: String,
    /// How the control plane is found; without it, by the machine's name servers.
    pub hosts: Option<Hosts>,
    /// Variables that the machine adds to `cluster_env`.
    pub machine_env: Vec<(String, MachineValue)>,
    /// Whether the machine is given [`TOKEN_FILE`], and so must get a certificate for it.
    pub token: bool,
}

/// A line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// Where the control plane is reached.
    pub address: HostAddress,
    /// The control plane's name, as its certificate has it.
    pub name: String,
}

/// Where a gateway is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostAddress {
    /// At an address.
    Ip(IpAddr),
    /// At what a name stands for when the sidecar starts.
    Name(String),
}

impl From<&str> for HostAddress {
    fn from(text: &str) -> Self {
        match text.parse() {
            Ok(ip) => Self::Ip(ip),
            Err(_) => Self::Name(text.to_owned()),
        }
    }
}

/// What a machine knows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineValue {
    /// Its name: `meshvm.name` of the platform's metadata, else its host name.
    Name,
    /// Its address: `meshvm.address` of the platform's metadata, else that of its default route.
    Address,
}

/// What templates see of [`IstioFiles`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IstioValues<'a> {
    pub(super) files: Vec<FileValues<'a>>,
    hosts: Option<HostsValues<'a>>,
    machine_env: Vec<Variable<'a>>,
    token: bool,
}

#[derive(Serialize)]
struct HostsValues<'a> {
    name: &'a str,
    address: Cow<'a, str>,
    resolve: bool,
}

#[derive(Serialize)]
struct Variable<'a> {
    key: &'a str,
    value: MachineValue,
}

impl<'a> IstioValues<'a> {
    pub(super) fn new(istio: &'a IstioFiles) -> Self {
        let file = |path, name: &str, content| FileValues {
            path,
            mode: "0600",
            owner: "istio-proxy",
            content,
            staged: format!("istio/{name}"),
        };
        let mut cluster_env = Cow::from(&istio.cluster_env);
        // A line is added to it.
        if !cluster_env.is_empty() && !cluster_env.ends_with('\n') {
            cluster_env.to_mut().push('\n');
        }
        let mesh_yaml = Cow::from(&istio.mesh_yaml);
        let root_cert = Cow::from(&istio.root_cert);
        Self {
            files: vec![
                file(
                    "/var/lib/istio/envoy/cluster.env",
                    "cluster.env",
                    cluster_env,
                ),
                file("/etc/istio/config/mesh", "mesh.yaml", mesh_yaml),
                file("/etc/certs/root-cert.pem", "root-cert.pem", root_cert),
            ],
            hosts: istio.hosts.as_ref().map(|hosts| {
                let (address, resolve) = match &hosts.address {
                    HostAddress::Ip(ip) => (Cow::from(ip.to_string()), false),
                    HostAddress::Name(name) => (Cow::from(name), true),
                };
                HostsValues {
                    name: &hosts.name,
                    address,
                    resolve,
                }
            }),
            machine_env: istio
                .machine_env
                .iter()
                .map(|(key, value)| Variable { key, value: *value })
                .collect(),
            token: istio.token,
        }
    }
}

/// Checks what becomes part of a line that no quoting could keep whole.
pub(super) fn check(istio: &IstioFiles) -> Result<(), RenderError> {
    for (key, _) in &istio.machine_env {
        if !is_variable(key) {
            return Err(RenderError::Variable { key: key.clone() });
        }
    }
    let Some(hosts) = &istio.hosts else {
        return Ok(());
    };
    let gateway = match &hosts.address {
        HostAddress::Ip(_) => None,
        HostAddress::Name(name) => Some(name),
    };
    match [Some(&hosts.name), gateway]
        .into_iter()
        .flatten()
        .find(|name| !is_host(name))
    {
        Some(name) => Err(RenderError::HostName { name: name.clone() }),
        None => Ok(()),
    }
}

/// Returns whether a text is the name of a variable (POSIX.1-2017, XBD 3.235).
fn is_variable(text: &str) -> bool {
    let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_word && text.starts_with(|c: char| !c.is_ascii_digit())
}

/// Returns whether a text is a host's name (RFC 1123), with the underscores that some have.
fn is_host(text: &str) -> bool {
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=253).contains(&text.len())
        && text.chars().all(is_host)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_from_a_name() {
        for (text, is_ip) in [
            ("192.0.2.1", true),
            ("2001:db8::1", true),
            ("a1b2.elb.example.com", false),
            ("192.0.2.1.example.com", false),
        ] {
            let ip = matches!(HostAddress::from(text), HostAddress::Ip(_));
            assert_eq!(ip, is_ip, "{text}");
        }
    }

    #[test]
    fn what_would_break_a_line_is_no_name() {
        for good in ["A", "ISTIO_SVC_IP", "_x1"] {
            assert!(is_variable(good), "{good}");
        }
        for bad in ["", "1A", "A-B", "A=B", "A B", "A\nB", "Ä"] {
            assert!(!is_variable(bad), "{bad:?}");
        }
        for good in ["istiod.istio-system.svc", "a", "1.example", "x_y.example"] {
            assert!(is_host(good), "{good}");
        }
        let long = "a".repeat(254);
        for bad in ["", "-rf", "a b", "a\n127.0.0.1 b", "a#", ".", "ü", &long] {
            assert!(!is_host(bad), "{bad:?}");
        }
    }
}
