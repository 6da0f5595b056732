//! Checks that fleets fit to each other, and to the settings that they share.

use std::collections::BTreeMap;

use crate::diag::Code;
use crate::spec::model::{FleetBody, Membership, Mesh, Port, ServicePort, Sidecar};
use crate::spec::scalars::Name;

use super::Checker;

/// Checks all fleets of a file together.
pub fn together(fleets: &BTreeMap<Name, FleetBody>, checker: &mut Checker<'_>) {
    let members = members(fleets);
    accounts(&members, checker);
    services(&members, checker);
    for &(fleet, membership) in &members {
        subsets(fleet, membership, &members, checker);
        foreign_ports(fleet, membership, &members, checker);
    }
}

/// Checks all fleets of a file against the sidecar that they share.
pub fn with_sidecar(
    fleets: &BTreeMap<Name, FleetBody>,
    mesh: Option<&Mesh>,
    sidecar: Option<&Sidecar>,
    checker: &mut Checker<'_>,
) {
    let members = members(fleets);
    match sidecar {
        Some(sidecar) => excluded(&members, sidecar, checker),
        None => sidecarless(&members, mesh, checker),
    }
}

fn members(fleets: &BTreeMap<Name, FleetBody>) -> Vec<(&str, &Membership)> {
    fleets
        .iter()
        .filter_map(|(name, body)| Some((name.as_str(), body.membership.as_ref()?)))
        .collect()
}

fn accounts(members: &[(&str, &Membership)], checker: &mut Checker<'_>) {
    let mut accounts: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for &(fleet, membership) in members {
        let namespace = membership.namespace.as_str();
        let account = membership.service_account.as_str();
        if let Some(first) = accounts.get(&(namespace, account)) {
            let summary = format!(
                "the fleets `{first}` and `{fleet}` have one identity, `{namespace}/{account}`: \
                 no policy can tell them apart"
            );
            let hint = "give each fleet a service account of its own";
            let path = ["fleets", fleet, "membership", "serviceAccount"];
            let mut checker = checker.coded(Code::SharedAccount);
            checker.warning(&path, summary, hint);
        } else {
            accounts.insert((namespace, account), fleet);
        }
    }
}

fn services(members: &[(&str, &Membership)], checker: &mut Checker<'_>) {
    let mut services: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for &(fleet, membership) in members {
        let Some(service) = &membership.service else {
            continue;
        };
        let namespace = membership.namespace.as_str();
        let service = service.name.as_ref().map_or(fleet, |own| own.as_str());
        if let Some(first) = services.get(&(namespace, service)) {
            let summary = format!(
                "the fleets `{first}` and `{fleet}` both make the Service `{namespace}/{service}`"
            );
            let hint = "let one of them make it, with a `service.selector` of labels that both have, \
                        and take `service` out of the other";
            let path = ["fleets", fleet, "membership", "service", "name"];
            let mut checker = checker.coded(Code::ServiceTwice);
            checker.error(&path, summary, hint);
        } else {
            services.insert((namespace, service), fleet);
        }
    }
}

/// Returns whether the Service of `selecting` selects machines of `other`.
fn selects(selecting: &Membership, other: &Membership) -> bool {
    let selector = selecting.selector();
    selecting.namespace == other.namespace && !selector.is_empty() && has(other, selector)
}

/// Returns whether a fleet's machines have labels.
fn has(membership: &Membership, labels: &BTreeMap<String, String>) -> bool {
    let mut labels = labels.iter();
    labels.all(|(key, value)| membership.labels.get(key) == Some(value))
}

/// Finds subsets that have no machines: whoever is sent there gets nothing.
fn subsets(
    fleet: &str,
    membership: &Membership,
    members: &[(&str, &Membership)],
    checker: &mut Checker<'_>,
) {
    let Some(traffic) = &membership.traffic else {
        return;
    };
    for (name, labels) in &traffic.subsets {
        let fits =
            |(_, other): &(&str, &Membership)| selects(membership, other) && has(other, labels);
        if !labels.is_empty() && !members.iter().any(fits) {
            let subset = name.as_str();
            let path = ["fleets", fleet, "membership", "traffic", "subsets", subset];
            let summary = format!("no machine of this file is in the subset `{subset}`");
            let near = members.iter().find(|(name, other)| {
                *name != fleet && other.namespace == membership.namespace && has(other, labels)
            });
            let hint = match near {
                Some((name, other)) => not_selected(name, membership, other),
                None => "give the membership of a fleet that the Service selects these labels; \
                         only pods can be in it otherwise"
                    .to_owned(),
            };
            let mut checker = checker.coded(Code::EmptySubset);
            checker.warning(&path, summary, hint);
        }
    }
}

/// Says what to do about a fleet that a Service does not select, though it is in one of its subsets.
fn not_selected(name: &str, selecting: &Membership, other: &Membership) -> String {
    let shared = selecting
        .labels
        .iter()
        .filter(|(key, value)| other.labels.get(*key) == Some(*value));
    let shared: Vec<String> = shared
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    let labels = match shared.is_empty() {
        true => "a label that both fleets have".to_owned(),
        false => format!("`{{{}}}`", shared.join(", ")),
    };
    format!(
        "fleet `{name}` has these labels, and the Service does not select it: let \
         `service.selector` be {labels}"
    )
}

/// Finds ports of a Service that machines of another fleet do not have, though it selects them.
fn foreign_ports(
    fleet: &str,
    membership: &Membership,
    members: &[(&str, &Membership)],
    checker: &mut Checker<'_>,
) {
    let Some(service) = &membership.service else {
        return;
    };
    let others = members
        .iter()
        .filter(|(name, other)| *name != fleet && selects(membership, other));
    for (name, other) in others {
        for (index, port) in service.ports.iter().enumerate() {
            if listens(other, port) {
                continue;
            }
            let index = index.to_string();
            let path = ["fleets", fleet, "membership", "service", "ports", &index];
            let port = port.target_port.as_deref().unwrap_or(port.name.as_str());
            let summary = format!(
                "the Service selects the machines of fleet `{name}`, too, and they have no port \
                 `{port}`"
            );
            let hint = format!(
                "add `{port}` with its number to the `ports` of `{name}`, or tell the fleets apart \
                 by a label; the mesh leaves an endpoint out whose named port it does not know"
            );
            let mut checker = checker.coded(Code::PortLost);
            checker.error(&path, summary, hint);
        }
    }
}

fn listens(membership: &Membership, port: &ServicePort) -> bool {
    let name = port.name.as_str();
    match &port.target_port {
        Some(target) => membership.ports.contains_key(target),
        None => membership
            .ports
            .iter()
            .any(|(known, number)| known == name || *number == port.port),
    }
}

/// Finds ports of members that the sidecar is told to leave alone: callers that speak mTLS, as
/// those in the mesh do, would reach the bare workload.
fn excluded(members: &[(&str, &Membership)], sidecar: &Sidecar, checker: &mut Checker<'_>) {
    for (index, port) in sidecar.config.exclude_ports.iter().enumerate() {
        let has = |(fleet, membership): &(&str, &Membership)| {
            let name = name_of(membership, *port)?;
            Some((fleet.to_string(), name.to_owned()))
        };
        let Some((fleet, name)) = members.iter().find_map(has) else {
            continue;
        };
        let index = index.to_string();
        let path = ["sidecar", "config", "excludePorts", &index];
        let summary = format!(
            "port {} is kept out of the mesh, and the fleet `{fleet}` offers it there as `{name}`",
            port.0
        );
        let hint = "take it out here, or out of the membership's `ports`";
        let mut checker = checker.coded(Code::ExcludedPort);
        checker.error(&path, summary, hint);
    }
}

fn name_of(membership: &Membership, port: Port) -> Option<&str> {
    let mut ports = membership.ports.iter();
    ports.find_map(|(name, number)| (*number == port).then_some(name.as_str()))
}

/// Tells of members of a cluster's mesh that get no sidecar: an image may have one, but then
/// nobody tells it which mesh it is for.
fn sidecarless(members: &[(&str, &Membership)], mesh: Option<&Mesh>, checker: &mut Checker<'_>) {
    match mesh {
        Some(Mesh::Kubernetes(_)) => {}
        Some(Mesh::Manifests(_)) | None => return,
    }
    for (fleet, _) in members {
        let path = ["fleets", fleet, "membership"];
        let summary = format!("the machines of fleet `{fleet}` are members, and get no sidecar");
        let hint = "add `sidecar` with a version and packages, or make the fleet `external`";
        let mut checker = checker.coded(Code::NoSidecar);
        checker.warning(&path, summary, hint);
    }
}
