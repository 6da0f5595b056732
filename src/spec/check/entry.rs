//! Checks of a ServiceEntry, by what Istio refuses of one (`ValidateServiceEntry` in
//! `pkg/config/validation` of Istio): for members and for machines that are none.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::spec::model::Port;
use crate::spec::scalars::KubeName;
use crate::spec::words::{list, nearest};

use super::Checker;
use super::names::has_plain_ends;

/// What Istio knows a port to speak, in any case (`Parse` in `pkg/config/protocol` of Istio), and
/// whether it says which host a client wants, so that hosts may share a port.
const PROTOCOLS: [(&str, bool); 12] = [
    ("HTTP", true),
    ("HTTPS", true),
    ("HTTP2", true),
    ("HTTP_PROXY", true),
    ("GRPC", true),
    ("GRPC-WEB", true),
    ("MONGO", false),
    ("MYSQL", false),
    ("REDIS", false),
    ("TCP", false),
    ("TLS", true),
    ("UDP", false),
];

/// The longest name that DNS has, as Istio counts it.
const LONGEST_DOMAIN: usize = 255;

/// The longest part of a name that DNS has.
const LONGEST_LABEL: usize = 63;

/// A port of a ServiceEntry.
pub(super) struct EntryPort<'a> {
    /// Its name.
    pub name: &'a KubeName,
    /// Its number.
    pub port: Port,
    /// What it speaks.
    pub protocol: Option<&'a str>,
}

/// Checks what a ServiceEntry says; `at` is where it is.
pub(super) fn check<'a>(
    at: &[&str],
    hosts: &[String],
    addresses: &[String],
    ports: impl IntoIterator<Item = EntryPort<'a>>,
    checker: &mut Checker<'_>,
) {
    for (index, host) in hosts.iter().enumerate() {
        check_host(
            &[at, &["hosts", &index.to_string()]].concat(),
            host,
            checker,
        );
    }
    for (index, address) in addresses.iter().enumerate() {
        if !is_range(address) && address.parse::<IpAddr>().is_err() {
            let summary = format!("`{address}` is no address");
            let hint = "write an address as 10.0.0.1, or a range as 10.0.0.0/24";
            let index = index.to_string();
            let path = [at, &["addresses", &index]].concat();
            checker.error(&path, summary, hint);
        }
    }
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in ports.into_iter().enumerate() {
        let index = index.to_string();
        let path = |field| [at, &["ports", &index, field]].concat();
        if !names.insert(port.name.as_str()) {
            let summary = format!("there are two ports named `{}`", port.name);
            checker.error(&path("name"), summary, "give each port a name of its own");
        }
        if !numbers.insert(port.port) {
            let summary = format!("there is port {} twice", port.port.0);
            checker.error(&path("port"), summary, "keep one of them");
        }
        check_protocol(&path("protocol"), &port, hosts.len(), checker);
    }
}

fn check_host(path: &[&str], host: &str, checker: &mut Checker<'_>) {
    if host.parse::<IpAddr>().is_ok() {
        let summary = format!("the host `{host}` is an address");
        checker.error(path, summary, "write a name here, and it under `addresses`");
    } else if host == "*" {
        let summary = "`*` would be every host there is".to_owned();
        let hint = "write a name as db.example.com, or *.example.com for all below it";
        checker.error(path, summary, hint);
    } else if !is_domain(host, true) {
        let summary = format!("`{host}` cannot be a host");
        let hint = "write a name as db.example.com, or *.example.com for all below it";
        checker.error(path, summary, hint);
    }
}

fn check_protocol(path: &[&str], port: &EntryPort<'_>, hosts: usize, checker: &mut Checker<'_>) {
    let protocol = port.protocol.unwrap_or("TCP").to_ascii_uppercase();
    let known = PROTOCOLS.iter().find(|(name, _)| *name == protocol);
    let tells_host = known.is_some_and(|(_, tells_host)| *tells_host);
    // An empty one has Istio find out by itself.
    if !protocol.is_empty() && known.is_none() {
        let names = PROTOCOLS.map(|(name, _)| name);
        let summary = format!("Istio knows no protocol `{protocol}`");
        let hint = match nearest(&protocol, names) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known are {}", list(names)),
        };
        checker.error(path, summary, hint);
    } else if hosts > 1 && !tells_host {
        let summary = format!(
            "{hosts} hosts share the port `{}`, and it does not tell which one a client wants",
            port.name
        );
        let hint = "keep one host, or give the port a `protocol` of HTTP or TLS";
        checker.error(path, summary, hint);
    }
}

/// Returns whether a text is a domain name as Istio takes one (`ValidateFQDN`, and with `wild`
/// `ValidateWildcardDomain`, in `pkg/config/validation/agent` of Istio).
pub(super) fn is_domain(text: &str, wild: bool) -> bool {
    if text.len() > LONGEST_DOMAIN {
        return false;
    }
    // A dot at the end makes a name absolute.
    let name = text.strip_suffix('.').unwrap_or(text);
    let (first, rest) = match name.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (name, None),
    };
    let first = match (wild, first.strip_prefix('*')) {
        (true, Some("")) => None,
        (true, Some(rest)) => Some(rest.strip_prefix('-').unwrap_or(rest)),
        (true, None) | (false, _) => Some(first),
    };
    let mut labels = first
        .into_iter()
        .chain(rest.into_iter().flat_map(|rest| rest.split('.')));
    let is_number = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_digit());
    let last = match wild {
        true => rest,
        false => Some(name),
    };
    let last = last.and_then(|name| name.rsplit('.').next());
    labels.all(is_label) && !last.is_some_and(is_number)
}

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.len() <= LONGEST_LABEL && text.chars().all(inner) && has_plain_ends(text)
}

/// Returns whether a text is a range of addresses, as 10.0.0.0/24.
fn is_range(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    // What a number's parser takes beyond: a sign, and zeros at its beginning.
    let is_plain = bits == "0" || bits.starts_with(|c: char| matches!(c, '1'..='9'));
    is_plain && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}
