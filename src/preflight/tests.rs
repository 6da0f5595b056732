//! One finding after another, each with its code and its place.

use std::path::Path;

use meshvm_provider_sim::SimKind;

use super::*;
use crate::mesh::kubernetes::{LiveService, Rule};
use crate::spec::{Inputs, Source, parse};

const FILE: &str = "\
apiVersion: meshvm/v1
stack: shop
mesh: {kubernetes: {clusterId: mine, network: vms}}
fleets:
  web:
    sim: {}
    membership:
      namespace: vm
      serviceAccount: web
      labels: {app: web, version: v1}
      ports: {http: 8080}
      network: vms
      service: {ports: [{name: http, port: 80, targetPort: http}]}
sidecar: {version: 1.30.3, packages: [{format: deb, arch: amd64, url: \"https://e.example/s.deb\", sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"}]}
";

fn spec() -> FleetSpec {
    let inputs = Inputs {
        files: vec![Source {
            name: "f".to_owned(),
            text: FILE.to_owned(),
        }],
        base_dir: Path::new("/").to_owned(),
        ..Inputs::default()
    };
    parse(&inputs, &[&SimKind::new()]).unwrap()
}

fn read() -> MeshRead {
    MeshRead {
        network: Some("cluster".to_owned()),
        ..MeshRead::default()
    }
}

fn live(namespace: LiveNamespace) -> Live {
    Live {
        namespaces: BTreeMap::from([("vm".to_owned(), namespace)]),
        ..Live::default()
    }
}

/// Returns what is found as `CODE LINE SEVERITY`.
fn found(read: &MeshRead, live: &Live) -> Vec<String> {
    check(&spec(), read, live)
        .iter()
        .map(|found| {
            let code = found.code;
            let line = found.place.as_ref().unwrap().line;
            assert!(found.hint.is_some(), "{found:?}");
            format!("{code} {line} {:?}", found.severity)
        })
        .collect()
}

fn service(name: &str, selector: &[(&str, &str)], ports: &[&str]) -> LiveService {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    LiveService {
        name: name.to_owned(),
        stack: None,
        selector: selector.iter().map(owned).collect(),
        target_ports: ports.iter().map(|port| (*port).to_owned()).collect(),
    }
}

#[test]
fn versions_that_are_not_supported_together_are_told() {
    let of = |version: &str| MeshRead {
        version: Some(version.to_owned()),
        ..read()
    };
    let skewed = |read: &MeshRead| {
        let codes = check(&spec(), read, &Live::default());
        codes.iter().any(|d| d.code == Code::VersionSkew)
    };
    for version in ["1.30.0", "1.31.2-distroless", "latest", "2"] {
        assert!(!skewed(&of(version)), "{version}");
    }
    for version in ["1.29.9", "1.32.0", "2.30.3", "1.2"] {
        assert!(skewed(&of(version)), "{version}");
    }
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let fine = LiveNamespace {
        services: vec![
            service("all", &[], &["x"]),
            service("other", &[("app", "db")], &["x"]),
            service("same", &[("app", "web")], &["http"]),
        ],
        ..LiveNamespace::default()
    };
    assert_eq!(found(&read(), &live(fine)), [""; 0]);
}

#[test]
fn the_mesh() {
    let mut read = read();
    read.network = None;
    let found = found(&read, &live(LiveNamespace::default()));
    assert_eq!(found, ["MV205 12 Warning"]);
}

#[test]
fn a_namespace_that_is_not_there() {
    assert_eq!(found(&read(), &Live::default()), ["MV101 8 Error"]);
}

#[test]
fn services_of_others() {
    let services = vec![
        service("shop", &[("app", "web")], &[]),
        service("admin", &[("version", "v1")], &["admin", "http"]),
    ];
    let namespace = LiveNamespace {
        services: services.clone(),
        ..LiveNamespace::default()
    };
    let all = found(&read(), &live(namespace));
    assert_eq!(all, ["MV301 11 Error"]);
    let own = |mut service: LiveService| {
        service.stack = Some("shop".to_owned());
        service
    };
    let namespace = LiveNamespace {
        services: services.into_iter().map(own).collect(),
        ..LiveNamespace::default()
    };
    assert_eq!(found(&read(), &live(namespace)), [""; 0]);
}

#[test]
fn entries_with_one_address() {
    let entry = |name: &str, address: &str, network: &str| LiveEntry {
        name: name.to_owned(),
        machine: None,
        address: address.to_owned(),
        network: network.to_owned(),
    };
    let entries = vec![
        entry("a", "10.0.0.1", ""),
        entry("b", "10.0.0.1", "other"),
        entry("c", "10.0.0.1", ""),
        entry("d", "", ""),
        entry("e", "", ""),
    ];
    let namespace = LiveNamespace {
        entries,
        ..LiveNamespace::default()
    };
    assert_eq!(found(&read(), &live(namespace)), ["MV302 4 Warning"]);
}

/// Returns what is lacking in a namespace for the file of these tests, or for a stack that still has
/// `own` there, in words.
fn lacking(rules: &[Rule], intent: Intent, is_made: bool, own: &[&str]) -> Option<String> {
    let name = "vm".to_owned();
    let spec = spec();
    let rights = Rights {
        rules: &BTreeMap::from([(name.clone(), rules.to_vec())]),
        to_make: &is_made.then(|| name.clone()).into_iter().collect(),
        wanted: &wanted(sides(&spec)),
        intent,
    };
    let own = own.iter().map(|kind| (*kind).to_owned()).collect();
    let found = rights.lacking(&Kinds::from([(name, own)]));
    assert!(found.iter().all(|found| found.code == Code::NotAllowed));
    found.into_iter().map(|found| found.summary).next()
}

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Rule {
    let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    Rule {
        verbs: owned(verbs),
        groups: owned(groups),
        resources: owned(resources),
        names: Vec::new(),
    }
}

#[test]
fn rights_that_are_lacking() {
    let all = [rule(&["*"], &["*"], &["*"])];
    assert_eq!(lacking(&all, Intent::WriteAndToken, true, &[]), None);
    let most = [
        rule(&["*"], &["networking.istio.io"], &["*"]),
        rule(
            &["get", "list", "create", "patch", "delete"],
            &[""],
            &["services", "serviceaccounts"],
        ),
        rule(&["create"], &[""], &["secrets"]),
    ];
    assert_eq!(
        lacking(&most, Intent::WriteAndToken, false, &[]).unwrap(),
        "this user may not, in the namespace `vm`: create serviceaccounts/token, delete secrets"
    );
    assert_eq!(lacking(&most, Intent::Delete, false, &[]), None);
    assert_eq!(
        lacking(&most, Intent::DeleteAndRevoke, false, &[]).unwrap(),
        "this user may not, in the namespace `vm`: delete secrets"
    );
    assert_eq!(
        lacking(&most, Intent::Write, true, &[]).unwrap(),
        "this user may not, in the namespace `vm`: create namespaces"
    );
    assert_eq!(lacking(&[], Intent::Look, true, &["Service"]), None);
}

#[test]
fn rights_for_kinds_that_nobody_has_are_not_wanted() {
    let used = [
        rule(&["*"], &[""], &["*"]),
        rule(
            &["*"],
            &["networking.istio.io"],
            &["workloadgroups", "workloadentries"],
        ),
        rule(&["get", "list"], &["networking.istio.io"], &["*"]),
    ];
    assert_eq!(lacking(&used, Intent::WriteAndToken, false, &[]), None);
    // What the file had before is deleted, and not written.
    let before = ["VirtualService"];
    assert_eq!(
        lacking(&used, Intent::WriteAndToken, false, &before).unwrap(),
        "this user may not, in the namespace `vm`: delete virtualservices"
    );
}

#[test]
fn sarif_has_rules_and_lines() {
    let found = check(&spec(), &read(), &Live::default());
    let log = sarif::sarif(&found, Path::new("/"));
    let run = &log["runs"][0];
    assert_eq!(run["results"][0]["ruleId"], "MV101");
    let place = &run["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "f");
    assert_eq!(place["region"]["startLine"], 8);
    assert_eq!(
        run["tool"]["driver"]["rules"].as_array().unwrap().len(),
        Code::ALL.len()
    );
}
