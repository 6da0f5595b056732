//! Which configuration a node gets. Pure.
//!
//! The rules by which endpoints are found are those of Istio's registry: a workload is an endpoint
//! of each service of its namespace that selects its labels.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use meshvm_lab_agent::wire::{Config, Endpoint, InboundPort, Port, Service as WireService};

use super::identity::Identity;
use super::model::{Entry, Mesh, Service, ServicePort, TargetPort};

/// The label by which a workload says whether it speaks mutual TLS.
const TLS_MODE: &str = "security.istio.io/tlsMode";

/// Returns the configuration of a node: all services that select somebody, and the ports of its
/// own entry, which is known by its namespace and name.
pub fn config(mesh: &Mesh, own: Option<(&str, &str)>, trust_domain: &str) -> Config {
    let mut services = Vec::new();
    let mut inbound = BTreeMap::new();
    let allocated = allocate(&mesh.services);
    for (service, addresses) in mesh.services.iter().zip(allocated) {
        let selected: Vec<&Entry> = mesh
            .entries
            .iter()
            .filter(|entry| selects(service, entry))
            .collect();
        if selected.is_empty() {
            continue;
        }
        let port = |port: &ServicePort| Port {
            number: port.number,
            name: port.name.clone(),
            endpoints: selected
                .iter()
                .filter(|entry| entry.is_healthy || !entry.is_health_checked)
                .filter_map(|entry| endpoint(entry, port, trust_domain))
                .collect(),
        };
        for (entry, port) in selected
            .iter()
            .filter(|entry| own == Some((entry.namespace.as_str(), entry.name.as_str())))
            .flat_map(|entry| service.ports.iter().map(move |port| (entry, port)))
        {
            if let Some(number) = target(entry, port) {
                inbound.entry(number).or_insert_with(|| port.name.clone());
            }
        }
        services.push(WireService {
            hosts: service.hosts.clone(),
            addresses,
            ports: service.ports.iter().map(port).collect(),
        });
    }
    let mut config = Config {
        version: String::new(),
        services,
        inbound: inbound
            .into_iter()
            .map(|(number, name)| InboundPort { number, name })
            .collect(),
    };
    let digest = Sha256::digest(config.encode_to_vec());
    config.version = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    config
}

/// A service without labels to select by selects nobody.
fn selects(service: &Service, entry: &Entry) -> bool {
    let labels = &entry.spec.labels;
    let mut wanted = service.selector.iter();
    !service.selector.is_empty()
        && service.namespace == entry.namespace
        && wanted.all(|(key, value)| labels.get(key) == Some(value))
}

/// Returns where an entry listens for a port of a service; `None` when it does not.
fn target(entry: &Entry, port: &ServicePort) -> Option<u32> {
    let ports = &entry.spec.ports;
    match &port.target {
        TargetPort::Number(number) => Some(ports.get(&port.name).copied().unwrap_or(*number)),
        TargetPort::Name(name) => ports.get(name).copied(),
    }
}

fn endpoint(entry: &Entry, port: &ServicePort, trust_domain: &str) -> Option<Endpoint> {
    let spec = &entry.spec;
    // Without an address it would be reached through a gateway of its network, and by name through
    // a lookup; the lab has neither.
    let address: std::net::IpAddr = spec.address.parse().ok()?;
    let speaks_tls = spec
        .labels
        .get(TLS_MODE)
        .is_none_or(|mode| mode != "disabled");
    let identity = if spec.service_account.is_empty() || !speaks_tls {
        String::new()
    } else {
        let identity = Identity {
            namespace: entry.namespace.clone(),
            service_account: spec.service_account.clone(),
        };
        identity.spiffe(trust_domain)
    };
    Some(Endpoint {
        address: address.to_string(),
        port: target(entry, port)?,
        identity,
        labels: spec.labels.clone(),
        weight: spec.weight,
    })
}

/// Returns the addresses of each service. Who has none gets one of 240.240.0.0/16, as Istio
/// allocates them for ServiceEntries.
fn allocate(services: &[Service]) -> Vec<Vec<String>> {
    let mut taken: BTreeSet<u16> = BTreeSet::new();
    let mut allocated = Vec::new();
    for service in services {
        if !service.addresses.is_empty() {
            allocated.push(service.addresses.clone());
            continue;
        }
        let name = format!("{}/{}", service.namespace, service.hosts.join(","));
        let digest = Sha256::digest(name);
        let mut place = u16::from_be_bytes([digest[0], digest[1]]);
        // The first and the last are no addresses of hosts.
        while place == 0 || place == u16::MAX || !taken.insert(place) {
            place = place.wrapping_add(1);
        }
        let [high, low] = place.to_be_bytes();
        allocated.push(vec![format!("240.240.{high}.{low}")]);
    }
    allocated
}

#[cfg(test)]
mod tests;
