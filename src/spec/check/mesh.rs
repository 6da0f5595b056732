//! Checks of what the file says of a cluster's mesh.

use std::net::IpAddr;

use crate::diag::Code;
use crate::spec::model::{EastWest, KubernetesMesh, Mesh};
use crate::spec::scalars::KubeName;

use super::Checker;
use super::entry::is_domain;
use super::names::check_network;

/// The longest trust domain, in bytes
/// (<https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#21-trust-domain>).
const LONGEST_TRUST_DOMAIN: usize = 255;

/// Checks where membership is written.
pub(in crate::spec) fn mesh(mesh: &Mesh, checker: &mut Checker<'_>) {
    let mesh = match mesh {
        Mesh::Kubernetes(mesh) => mesh,
        Mesh::Manifests(_) => return,
    };
    let KubernetesMesh {
        kubeconfig: _,
        context: _,
        istio_namespace: _,
        revision: _,
        cluster_id,
        trust_domain,
        network,
        create_namespaces: _,
        east_west: gateway,
    } = mesh.as_ref();
    let at = |field| ["mesh", "kubernetes", field];
    if let Some(id) = cluster_id
        && (id.is_empty() || has_blanks(id))
    {
        let summary = format!("`{id}` cannot be the name of a cluster");
        let hint = "write what istiod has as CLUSTER_ID, as `Kubernetes`, or leave it out to read \
                    it from the cluster";
        checker.error(&at("clusterId"), summary, hint);
    }
    if let Some(domain) = trust_domain
        && !is_trust_domain(domain)
    {
        let summary = format!("`{domain}` cannot be a trust domain");
        let hint = "write 1 to 255 of a-z, 0-9, ., - and _, as `cluster.local`, or leave it out to \
                    read it from the cluster";
        checker.error(&at("trustDomain"), summary, hint);
    }
    if let Some(network) = network {
        check_network(&at("network"), network, checker);
    }
    east_west(gateway, checker);
}

fn east_west(gateway: &EastWest, checker: &mut Checker<'_>) {
    let EastWest {
        service,
        address,
        private_dns,
    } = gateway;
    let at = |field| ["mesh", "kubernetes", "eastWest", field];
    if let Some(address) = address
        && address.parse::<IpAddr>().is_err()
        && !is_domain(address, false)
    {
        let summary = format!("`{address}` is neither an address nor the name of a host");
        checker.error(&at("address"), summary, address_hint(address));
    }
    if let Some(service) = service
        && !service.splitn(2, '.').all(is_name)
    {
        let summary = format!("`{service}` does not name a Service");
        let hint = "write NAME, or NAME.NAMESPACE, as `istio-eastwestgateway.istio-system`";
        checker.error(&at("service"), summary, hint);
    }
    for (field, is_set) in [
        ("address", address.is_some()),
        ("service", service.is_some()),
    ] {
        if *private_dns && is_set {
            let summary = format!("with `privateDns`, nobody asks for the gateway's `{field}`");
            let hint = "keep one of them: the machines' DNS knows the control plane, or they are \
                        told where the gateway is";
            checker
                .coded(Code::Disagreement)
                .key_error(&at(field), summary, hint);
        }
    }
    if !private_dns && address.is_some() && service.is_some() {
        let summary = "the gateway has an `address`, so nobody looks for its `service`".to_owned();
        let mut checker = checker.coded(Code::Disagreement);
        checker.key_error(&at("service"), summary, "keep one of them");
    }
}

/// Says what to write in place of what is no address; the port is always the control plane's.
fn address_hint(address: &str) -> String {
    let hosted = match address.split_once("://") {
        Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
        None => address,
    };
    let host = match hosted.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
        Some(_) | None => hosted,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').trim();
    match host.parse::<IpAddr>().is_ok() || is_domain(host, false) {
        true => format!("write {host}; machines call it at port 15012"),
        false => "write an address as 203.0.113.7, or a name as mesh.example.com".to_owned(),
    }
}

fn is_name(text: &str) -> bool {
    KubeName::try_from(text.to_owned()).is_ok()
}

fn is_trust_domain(text: &str) -> bool {
    let inner =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    (1..=LONGEST_TRUST_DOMAIN).contains(&text.len()) && text.chars().all(inner)
}

fn has_blanks(text: &str) -> bool {
    text.contains(|c: char| c.is_whitespace() || c.is_control())
}
