//! Checks of a fleet's side of the mesh, by the rules of Kubernetes and Istio.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::Code;
use crate::spec::model::{
    Grpc, HttpGet, Membership, Port, Probe, Service, ServiceEntry, TcpSocket,
};
use crate::spec::words::{list, nearest};

use super::entry::{self, EntryPort};
use super::names::{
    check_annotations, check_labels, check_network, has_plain_ends, is_target_port,
};
use super::{Checker, traffic};

/// Istio's bound on the ports of a WorkloadGroup.
const MOST_PORTS: usize = 128;

/// Istio's bound on a port's name, in characters, which a name must stay below.
const PORT_NAME_BOUND: usize = 63;

/// Checks a membership.
pub(super) fn check(fleet: &str, membership: &Membership, checker: &mut Checker<'_>) {
    let Membership {
        namespace: _,
        service_account: _,
        labels,
        ports,
        probe,
        network,
        weight: _,
        annotations,
        locality: _,
        auto_register: _,
        service,
        service_entry,
        traffic,
    } = membership;
    let at = |field| ["fleets", fleet, "membership", field];
    check_labels(&at("labels"), labels, checker);
    check_annotations(&at("annotations"), annotations, checker);
    if let Some(network) = network {
        check_network(&at("network"), network, checker);
    }
    check_ports(fleet, ports, checker);
    if let Some(probe) = probe {
        check_probe(fleet, probe, ports, checker);
    }
    if let Some(service) = service {
        check_selector(fleet, service, labels, checker);
        check_service(fleet, service, ports, checker);
    }
    for (field, kind, is_set) in [
        ("service", "Service", service.is_some()),
        ("serviceEntry", "ServiceEntry", service_entry.is_some()),
    ] {
        if is_set && labels.is_empty() {
            let summary = format!("the {kind} selects nothing: the membership has no labels");
            let hint = format!("add `labels: {{app: {fleet}}}` to the membership");
            let mut checker = checker.coded(Code::NotSelected);
            checker.error(&at(field), summary, hint);
        }
    }
    if let Some(entry) = service_entry {
        let ServiceEntry {
            hosts,
            addresses,
            ports: offered,
        } = entry;
        let entry_ports = offered.iter().map(|port| EntryPort {
            name: &port.name,
            port: port.port,
            protocol: port.protocol.as_deref(),
        });
        entry::check(&at("serviceEntry"), hosts, addresses, entry_ports, checker);
        for (index, port) in offered.iter().enumerate() {
            let name = port.name.as_str();
            // Machines that name no ports may have this one.
            if !ports.is_empty() && !leads_somewhere(name, port.port, ports) {
                let index = index.to_string();
                let path = [&at("serviceEntry")[..], &["ports", &index, "name"]].concat();
                let number = port.port.0;
                let summary = format!(
                    "the ServiceEntry's port `{name}` is none of the membership's by name or number, \
                     and leads to port {number} of the machines"
                );
                let hint = format!(
                    "give it the name of one of the membership's; {}",
                    known_ports(ports)
                );
                let mut checker = checker.coded(Code::TargetPort);
                checker.warning(&path, summary, hint);
            }
        }
    }
    if let Some(traffic) = traffic {
        traffic::check(fleet, traffic, service.as_ref(), checker);
    }
}

fn check_ports(fleet: &str, ports: &BTreeMap<String, Port>, checker: &mut Checker<'_>) {
    for name in ports.keys() {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.len() >= PORT_NAME_BOUND || !name.chars().all(inner) || !has_plain_ends(name) {
            let summary = format!("`{name}` cannot be the name of a port");
            let hint = "write 1 to 62 letters, digits and -, \
                        beginning and ending with a letter or digit";
            let path = ["fleets", fleet, "membership", "ports", name];
            checker.key_error(&path, summary, hint);
        }
    }
    if ports.len() > MOST_PORTS {
        let summary = format!("{} ports are too many", ports.len());
        let hint = format!("Istio takes at most {MOST_PORTS}");
        checker.error(&["fleets", fleet, "membership", "ports"], summary, hint);
    }
}

fn check_probe(
    fleet: &str,
    probe: &Probe,
    ports: &BTreeMap<String, Port>,
    checker: &mut Checker<'_>,
) {
    let Probe {
        http_get,
        tcp_socket,
        exec,
        grpc,
        initial_delay_seconds: _,
        timeout_seconds: _,
        period_seconds: _,
        success_threshold: _,
        failure_threshold: _,
    } = probe;
    let methods = [
        ("httpGet", http_get.is_some()),
        ("tcpSocket", tcp_socket.is_some()),
        ("exec", exec.is_some()),
        ("grpc", grpc.is_some()),
    ];
    let all = methods.map(|(name, _)| name);
    let present: Vec<&str> = methods
        .into_iter()
        .filter_map(|(name, present)| present.then_some(name))
        .collect();
    let path = ["fleets", fleet, "membership", "probe"];
    match present.as_slice() {
        [_] => {}
        [] => {
            let hint = format!("add one of {}", list(all));
            checker.error(
                &path,
                "the probe does not say what to check".to_owned(),
                hint,
            );
        }
        [first, rest @ ..] => {
            for second in rest {
                let path = ["fleets", fleet, "membership", "probe", second];
                let summary = format!("the probe has both `{first}` and `{second}`");
                let hint = "keep one; set to null what comes from `defaults`";
                checker
                    .coded(Code::Disagreement)
                    .key_error(&path, summary, hint);
            }
        }
    }
    let local = |host: &Option<String>| host.is_none();
    let checked = [
        http_get
            .as_ref()
            .filter(|HttpGet { host, .. }| local(host))
            .map(|get| ("httpGet", get.port)),
        tcp_socket
            .as_ref()
            .filter(|TcpSocket { host, .. }| local(host))
            .map(|socket| ("tcpSocket", socket.port)),
        grpc.as_ref()
            .map(|Grpc { port, service: _ }| ("grpc", *port)),
    ];
    for (method, Port(port)) in checked.into_iter().flatten() {
        if !ports.is_empty() && !ports.values().any(|known| known.0 == port) {
            let path = ["fleets", fleet, "membership", "probe", method, "port"];
            let summary = format!("the probe asks port {port}, which the membership does not have");
            let mut checker = checker.coded(Code::ProbePort);
            checker.error(&path, summary, known_ports(ports));
        }
    }
}

/// Checks that a Service selects the fleet's own machines.
fn check_selector(
    fleet: &str,
    service: &Service,
    labels: &BTreeMap<String, String>,
    checker: &mut Checker<'_>,
) {
    let Some(selector) = &service.selector else {
        return;
    };
    let at = ["fleets", fleet, "membership", "service", "selector"];
    check_labels(&at, selector, checker);
    let mut checker = checker.coded(Code::NotSelected);
    if selector.is_empty() {
        let summary = "the Service selects nothing: its selector is empty".to_owned();
        let hint = "write labels that the machines have, or leave it out to select by all of them";
        checker.error(&at, summary, hint);
    }
    // Where there are no labels, that is told.
    let lacking = |(key, value): &(&String, &String)| labels.get(*key) != Some(*value);
    for (key, _) in selector
        .iter()
        .filter(lacking)
        .filter(|_| !labels.is_empty())
    {
        let has = match labels.get(key) {
            Some(value) => format!("they have `{key}: {value}`"),
            None => format!("they have no label `{key}`"),
        };
        let summary = format!("the Service does not select the fleet's own machines: {has}");
        let hint = "write a label here that all its machines have, or add this one to the \
                    membership's `labels`";
        checker.error(&[&at[..], &[key]].concat(), summary, hint);
    }
}

fn check_service(
    fleet: &str,
    service: &Service,
    ports: &BTreeMap<String, Port>,
    checker: &mut Checker<'_>,
) {
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for (index, port) in service.ports.iter().enumerate() {
        let index = index.to_string();
        let at = |field| {
            let start = ["fleets", fleet, "membership", "service", "ports"];
            let path = start.into_iter().chain([index.as_str(), field]);
            path.map(str::to_owned).collect::<Vec<String>>()
        };
        let name = port.name.as_str();
        if !names.insert(name) {
            let summary = format!("the Service has two ports named `{name}`");
            checker.error(&at("name"), summary, "give each port a name of its own");
        }
        if !numbers.insert(port.port) {
            let summary = format!("the Service has port {} twice", port.port.0);
            checker.error(&at("port"), summary, "keep one of them");
        }
        match &port.target_port {
            Some(target) if !ports.contains_key(target) => {
                let summary = format!("the membership has no port `{target}`");
                let hint = match nearest(target, ports.keys().map(String::as_str)) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => known_ports(ports),
                };
                let mut checker = checker.coded(Code::TargetPort);
                checker.error(&at("targetPort"), summary, hint);
            }
            Some(target) => check_target(&at("targetPort"), target, checker),
            None if ports.contains_key(name) => check_target(&at("name"), name, checker),
            None if leads_somewhere(name, port.port, ports) => {}
            None => {
                let summary = format!(
                    "the Service's port `{name}` leads nowhere: the membership has no port of this \
                     name or number"
                );
                let hint = match ports.is_empty() {
                    true => format!("add `ports: {{{name}: {}}}` to the membership", port.port.0),
                    false => format!("set `targetPort`; {}", known_ports(ports)),
                };
                let mut checker = checker.coded(Code::TargetPort);
                checker.error(&at("name"), summary, hint);
            }
        }
    }
}

/// Returns whether the membership has a port of a name or number.
fn leads_somewhere(name: &str, port: Port, ports: &BTreeMap<String, Port>) -> bool {
    ports.contains_key(name) || ports.values().any(|number| *number == port)
}

/// Checks the name of a port of the membership to which a Service's port leads.
fn check_target<S: AsRef<str>>(path: &[S], name: &str, checker: &mut Checker<'_>) {
    if !is_target_port(name) {
        let summary = format!("Kubernetes lets no Service lead to a port named `{name}`");
        let hint = "rename it in the membership's `ports`, to 1 to 15 of a-z, 0-9 and single -, \
                    with a letter";
        checker.error(path, summary, hint);
    }
}

fn known_ports(ports: &BTreeMap<String, Port>) -> String {
    let known: Vec<String> = ports
        .iter()
        .map(|(name, Port(number))| format!("{name}: {number}"))
        .collect();
    match known.is_empty() {
        true => "the membership has no ports".to_owned(),
        false => format!("the membership has {}", known.join(", ")),
    }
}
