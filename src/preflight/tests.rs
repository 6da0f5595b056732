//! One finding after another, each with its code and its place.

use std::path::Path;

use meshvm_provider_sim::SimKind;

use super::*;
use crate::mesh::kubernetes::{GatewayService, LiveService, Rule};
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
    spec_of(FILE)
}

fn spec_of(text: &str) -> FleetSpec {
    let inputs = Inputs {
        files: vec![Source {
            name: "f".to_owned(),
            text: text.to_owned(),
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
        ..empty()
    }
}

/// A cluster without namespaces, whose network is in order.
fn empty() -> Live {
    Live {
        network: Some("cluster".to_owned()),
        gateways: vec![gateway(Some("cluster"), &[15012, 15443])],
        ..Live::default()
    }
}

fn gateway(network: Option<&str>, ports: &[u16]) -> GatewayService {
    GatewayService {
        namespace: "istio-system".to_owned(),
        name: "east-west".to_owned(),
        network: network.map(str::to_owned),
        port: 15443,
        ports: ports.iter().copied().collect(),
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
fn networks_of_the_cluster() {
    let of = |installed: Option<&str>, labelled: Option<&str>| {
        let read = MeshRead {
            network: installed.map(str::to_owned),
            ..read()
        };
        let live = Live {
            network: labelled.map(str::to_owned),
            ..live(LiveNamespace::default())
        };
        found(&read, &live)
    };
    assert_eq!(of(None, None), ["MV205 12 Warning"]);
    assert_eq!(of(Some("cluster"), None), ["MV205 3 Warning"]);
    assert_eq!(of(None, Some("cluster")), ["MV205 3 Warning"]);
    assert_eq!(of(Some("cluster"), Some("other")), ["MV205 3 Warning"]);
    // The machines are in it, so nobody needs the label, or a gateway.
    let near = Live {
        network: None,
        gateways: Vec::new(),
        ..live(LiveNamespace::default())
    };
    let read = MeshRead {
        network: Some("vms".to_owned()),
        ..read()
    };
    assert_eq!(found(&read, &near), [""; 0]);
}

#[test]
fn gateways_between_networks() {
    let of = |gateways: Vec<GatewayService>, read: &MeshRead| {
        let live = Live {
            gateways,
            ..live(LiveNamespace::default())
        };
        found(read, &live)
    };
    assert_eq!(of(Vec::new(), &read()), ["MV209 3 Warning"]);
    let other = gateway(Some("other"), &[15443]);
    assert_eq!(of(vec![other], &read()), ["MV209 3 Warning"]);
    let without = gateway(Some("cluster"), &[15012]);
    assert_eq!(of(vec![without.clone()], &read()), ["MV208 3 Warning"]);
    let elsewhere = GatewayService {
        port: 15012,
        ..without
    };
    assert_eq!(of(vec![elsewhere], &read()), [""; 0]);
    // The mesh's own settings name one.
    let named = MeshRead {
        with_gateways: ["cluster".to_owned()].into(),
        ..read()
    };
    assert_eq!(of(Vec::new(), &named), [""; 0]);
}

#[test]
fn the_gateway_before_the_control_plane() {
    let of = |gateway: GatewayService, discovery: &str| {
        let mut read = MeshRead {
            east_west: Some(gateway),
            ..read()
        };
        let address = serde_json::json!({ "discoveryAddress": discovery });
        read.facts.default_config = address.as_object().unwrap().clone();
        found(&read, &live(LiveNamespace::default()))
    };
    let usual = "istiod.istio-system.svc:15012";
    assert_eq!(of(gateway(None, &[15012]), usual), [""; 0]);
    assert_eq!(of(gateway(None, &[443]), usual), ["MV208 3 Error"]);
    assert_eq!(of(gateway(None, &[443]), ""), ["MV208 3 Error"]);
    assert_eq!(of(gateway(None, &[443]), "istiod.example:443"), [""; 0]);
}

#[test]
fn machines_without_a_network() {
    let text = FILE
        .replace("clusterId: mine, network: vms", "clusterId: mine")
        .replace("      network: vms\n", "");
    let named = check(&spec_of(&text), &read(), &live(LiveNamespace::default()));
    let codes: Vec<&str> = named.iter().map(|found| found.code.as_str()).collect();
    assert_eq!(codes, ["MV210"]);
    let (nameless, bare) = (MeshRead::default(), Live::default());
    let live = Live {
        namespaces: live(LiveNamespace::default()).namespaces,
        ..bare
    };
    assert_eq!(check(&spec_of(&text), &nameless, &live), []);
}

#[test]
fn a_namespace_that_is_not_there() {
    assert_eq!(found(&read(), &empty()), ["MV101 8 Error"]);
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
    assert_eq!(all, ["MV301 11 Warning"]);
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
    lacking_of(&spec(), rules, intent, is_made, own)
}

fn lacking_of(
    spec: &FleetSpec,
    rules: &[Rule],
    intent: Intent,
    is_made: bool,
    own: &[&str],
) -> Option<String> {
    let name = "vm".to_owned();
    let rights = Rights {
        rules: &BTreeMap::from([(name.clone(), rules.to_vec())]),
        to_make: &is_made.then(|| name.clone()).into_iter().collect(),
        wanted: &wanted(sides(spec)),
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

/// The file, with an account that it does not make.
fn with_used_account() -> FleetSpec {
    let used = "serviceAccount: {name: web, create: false}";
    spec_of(&FILE.replace("serviceAccount: web", used))
}

#[test]
fn an_account_that_is_used_needs_no_right_to_write_it() {
    let rules = [
        rule(&["*"], &["networking.istio.io"], &["*"]),
        rule(&["*"], &[""], &["services", "secrets"]),
    ];
    let (spec, namespace) = (
        with_used_account(),
        "this user may not, in the namespace `vm`: ",
    );
    let lacking = |own: &[&str]| {
        let found = lacking_of(&spec, &rules, Intent::WriteAndToken, false, own)?;
        found.strip_prefix(namespace).map(str::to_owned)
    };
    let token = "create serviceaccounts/token";
    assert_eq!(lacking(&[]).unwrap(), token);
    // One that the stack made before is let go, or deleted.
    let verbs = ["get", "list", "patch", "delete"];
    let verbs = verbs.map(|verb| format!("{verb} serviceaccounts"));
    let before = format!("{}, {token}", verbs.join(", "));
    assert_eq!(lacking(&["ServiceAccount"]).unwrap(), before);
}

#[test]
fn an_account_that_is_used_and_not_there() {
    let spec = with_used_account();
    let used = used_accounts(&spec);
    let names: Vec<String> = used.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["ServiceAccount vm/web"]);
    let told = no_account(&spec, &read(), &used);
    let line = told["web"].place.as_ref().unwrap().line;
    let code = told["web"].code;
    assert_eq!((told.len(), code, line), (1, Code::NoAccount, 9));
    assert_eq!(no_account(&spec, &read(), &BTreeSet::new()), [].into());
    // That there is no namespace is told as that.
    let nowhere = MeshRead {
        absent: ["vm".to_owned()].into(),
        ..read()
    };
    assert_eq!(no_account(&spec, &nowhere, &used), [].into());
    // Another fleet of the file makes it.
    let maker =
        "fleets:\n  api:\n    sim: {}\n    membership: {namespace: vm, serviceAccount: web}\n";
    let used = "serviceAccount: {name: web, create: false}";
    let text = FILE.replace("serviceAccount: web", used);
    let both = spec_of(&text.replacen("fleets:\n", maker, 1));
    assert_eq!(used_accounts(&both), BTreeSet::new());
    assert_eq!(used_accounts(&spec_of(FILE)), BTreeSet::new());
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
