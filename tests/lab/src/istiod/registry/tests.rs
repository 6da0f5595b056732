//! Who is an endpoint of what.

use super::*;
use crate::istiod::model::{ByName, EntrySpec};

fn by_name<T: Clone>(pairs: &[(&str, T)]) -> ByName<T> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn entry(name: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        namespace: "vm".to_owned(),
        is_health_checked: false,
        is_healthy: false,
        spec: EntrySpec {
            address: "10.0.0.1".to_owned(),
            ports: by_name(&[("http", 8080)]),
            labels: by_name(&[("app", "web".to_owned())]),
            service_account: "web".to_owned(),
            ..EntrySpec::default()
        },
    }
}

fn service(target: TargetPort) -> Service {
    Service {
        namespace: "vm".to_owned(),
        hosts: vec!["web.vm.svc.cluster.local".to_owned()],
        addresses: vec!["10.96.0.1".to_owned()],
        ports: vec![ServicePort {
            number: 80,
            name: "http".to_owned(),
            target,
        }],
        selector: by_name(&[("app", "web".to_owned())]),
    }
}

fn endpoints(service: Service, entries: Vec<Entry>) -> Vec<Endpoint> {
    let mesh = Mesh {
        services: vec![service],
        entries,
    };
    let mut config = config(&mesh, None, "cluster.local");
    let mut services = config.services.drain(..);
    let first = services.next();
    first.map_or_else(Vec::new, |service| service.ports[0].endpoints.clone())
}

#[test]
fn a_port_of_the_same_name_counts_more_than_a_number() {
    let found = endpoints(service(TargetPort::Number(9999)), vec![entry("a")]);
    assert_eq!(found[0].port, 8080);
    let mut other = entry("a");
    other.spec.ports = by_name(&[("other", 1)]);
    let found = endpoints(service(TargetPort::Number(9999)), vec![other]);
    assert_eq!(found[0].port, 9999);
}

#[test]
fn who_lacks_the_named_port_is_no_endpoint() {
    let named = TargetPort::Name("web".to_owned());
    assert!(endpoints(service(named), vec![entry("a")]).is_empty());
    let named = TargetPort::Name("http".to_owned());
    assert_eq!(endpoints(service(named), vec![entry("a")])[0].port, 8080);
}

#[test]
fn labels_and_namespace_both_count() {
    let (mut labels, mut namespace) = (entry("a"), entry("b"));
    labels.spec.labels = by_name(&[("app", "other".to_owned())]);
    namespace.namespace = "elsewhere".to_owned();
    let found = endpoints(service(TargetPort::Number(80)), vec![labels, namespace]);
    assert!(found.is_empty());
}

#[test]
fn an_entry_that_is_checked_counts_while_it_is_healthy() {
    let mut checked = entry("a");
    checked.is_health_checked = true;
    let target = TargetPort::Number(80);
    assert!(endpoints(service(target.clone()), vec![checked.clone()]).is_empty());
    checked.is_healthy = true;
    assert_eq!(endpoints(service(target), vec![checked]).len(), 1);
}

#[test]
fn without_a_service_account_or_with_tls_disabled_nobody_is_expected() {
    let target = TargetPort::Number(80);
    let found = endpoints(service(target.clone()), vec![entry("a")]);
    assert_eq!(found[0].identity, "spiffe://cluster.local/ns/vm/sa/web");
    let (mut nobody, mut plain) = (entry("a"), entry("b"));
    nobody.spec.service_account = String::new();
    plain
        .spec
        .labels
        .insert(TLS_MODE.to_owned(), "disabled".to_owned());
    let found = endpoints(service(target), vec![nobody, plain]);
    assert!(found.iter().all(|endpoint| endpoint.identity.is_empty()));
    assert_eq!(found.len(), 2);
}

#[test]
fn a_node_listens_where_services_lead_to() {
    let mesh = Mesh {
        services: vec![service(TargetPort::Number(80))],
        entries: vec![entry("a"), entry("b")],
    };
    let own = config(&mesh, Some(("vm", "a")), "cluster.local");
    assert_eq!(own.inbound.len(), 1);
    assert_eq!(
        (own.inbound[0].number, own.inbound[0].name.as_str()),
        (8080, "http")
    );
    let other = config(&mesh, None, "cluster.local");
    assert!(other.inbound.is_empty());
    assert_ne!(own.version, other.version);
}

#[test]
fn a_service_without_an_address_gets_one_of_its_own() {
    let mut one = service(TargetPort::Number(80));
    one.addresses.clear();
    one.hosts = vec!["one.example".to_owned()];
    let mut two = one.clone();
    two.hosts = vec!["two.example".to_owned()];
    let addresses = allocate(&[one.clone(), two, one]);
    assert!(addresses[0][0].starts_with("240.240."));
    assert_ne!(addresses[0], addresses[1]);
    assert_ne!(addresses[0], addresses[2]);
}
