//! Checks of a fleet's side of the mesh, by the rules of Kubernetes and Istio.

use std::collections::{BTreeMap, BTreeSet};

use crate::spec::model::{Grpc, HttpGet, Membership, Port, Probe, Service, TcpSocket};
use crate::spec::words::{list, nearest};

use super::{Checker, traffic};

/// Istio's bound on the ports of a WorkloadGroup.
const MOST_PORTS: usize = 128;

/// Istio's bound on a port's name, in characters, which a name must stay below.
const PORT_NAME_BOUND: usize = 63;

/// Kubernetes' bound on the name part of a label's key, and on its value.
const LONGEST_LABEL: usize = 63;

/// Kubernetes' bound on the prefix of a label's key, a DNS name.
const LONGEST_PREFIX: usize = 253;

/// Checks a membership.
pub(super) fn check(fleet: &str, membership: &Membership, checker: &mut Checker<'_>) {
    let Membership {
        namespace: _,
        service_account: _,
        labels,
        ports,
        probe,
        network: _,
        weight: _,
        annotations: _,
        locality: _,
        auto_register: _,
        service,
        service_entry,
        traffic,
    } = membership;
    check_labels(&["fleets", fleet, "membership", "labels"], labels, checker);
    check_ports(fleet, ports, checker);
    if let Some(probe) = probe {
        check_probe(fleet, probe, ports, checker);
    }
    if let Some(service) = service {
        check_service(fleet, service, ports, checker);
    }
    for (field, kind, is_set) in [
        ("service", "Service", service.is_some()),
        ("serviceEntry", "ServiceEntry", service_entry.is_some()),
    ] {
        if is_set && labels.is_empty() {
            let summary = format!("the {kind} selects nothing: the membership has no labels");
            let hint = format!("add `labels: {{app: {fleet}}}` to the membership");
            checker.error(&["fleets", fleet, "membership", field], summary, hint);
        }
    }
    if let Some(traffic) = traffic {
        traffic::check(fleet, traffic, service.as_ref(), checker);
    }
}

/// Checks labels by the rules of Kubernetes; `at` is where they are.
pub(super) fn check_labels(
    at: &[&str],
    labels: &BTreeMap<String, String>,
    checker: &mut Checker<'_>,
) {
    for (key, value) in labels {
        let path = [at, &[key]].concat();
        if !is_label_key(key) {
            let summary = format!("`{key}` cannot be the key of a Kubernetes label");
            let hint = "write a name as app, or a domain and a name as example.com/app";
            checker.key_error(&path, summary, hint);
        }
        if !value.is_empty() && !is_label_name(value) {
            let summary = format!("`{value}` cannot be the value of a Kubernetes label");
            let hint = "write at most 63 letters, digits, -, _ and ., \
                        beginning and ending with a letter or digit";
            checker.error(&path, summary, hint);
        }
    }
}

fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_domain(prefix) && is_label_name(name),
        None => is_label_name(key),
    }
}

fn is_label_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= LONGEST_LABEL && text.chars().all(inner) && has_plain_ends(text)
}

fn is_domain(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.len() <= LONGEST_PREFIX
        && text
            .split('.')
            .all(|label| label.chars().all(inner) && has_plain_ends(label))
}

fn has_plain_ends(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
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
                checker.key_error(&path, summary, hint);
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
            checker.error(&path, summary, known_ports(ports));
        }
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
                checker.error(&at("targetPort"), summary, hint);
            }
            Some(_) => {}
            None => {
                let same =
                    |(known, number): (&String, &Port)| known == name || *number == port.port;
                if !ports.iter().any(same) {
                    let summary = format!(
                        "the Service's port `{name}` leads nowhere: the membership has no port \
                         of this name or number"
                    );
                    let hint = match ports.is_empty() {
                        true => {
                            format!("add `ports: {{{name}: {}}}` to the membership", port.port.0)
                        }
                        false => format!("set `targetPort`; {}", known_ports(ports)),
                    };
                    checker.error(&at("name"), summary, hint);
                }
            }
        }
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
