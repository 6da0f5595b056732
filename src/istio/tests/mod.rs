//! The files, byte for byte, beside what istioctl writes for the same inputs.

mod golden;
mod shell;
mod yaml;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::bootstrap::MachineValue;

/// The certificate's text means nothing to what is tested here.
pub const PEM: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

/// A mesh with a revision, as istioctl's own tests have it: `foo` in namespace `bar`.
pub fn facts() -> Facts {
    let default_config = json!({"proxyMetadata": {
        "ISTIO_META_DNS_CAPTURE": "false",
        "PROXY_CONFIG_ANNOT_VALUE": "foo",
        "CLUSTER_MESH_CONFIG_VALUE": "foo",
    }});
    Facts {
        revision: Revision {
            namespace: "istio-system".to_owned(),
            name: Some("rev-1".to_owned()),
        },
        cluster_id: "Kubernetes".to_owned(),
        trust_domain: String::new(),
        default_config: default_config.as_object().unwrap().clone(),
        root_certs: BTreeMap::from([("bar".to_owned(), PEM.to_owned())]),
        gateway: Gateway::Address("10.10.10.1".parse().unwrap()),
    }
}

pub fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

pub fn workload<'a>(
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
) -> Workload<'a> {
    Workload {
        name: "foo",
        namespace: "bar",
        service_account: "vm-serviceaccount",
        labels,
        annotations,
        ports: BTreeMap::new(),
        network: None,
        probe: Some(json!({"httpGet": {"port": 8080}})),
        auto_register: false,
        capture_dns: true,
    }
}

fn made(facts: &Facts, workload: &Workload<'_>) -> IstioFiles {
    files(facts, workload, &Improvements::default(), true).unwrap()
}

#[test]
fn a_mesh_with_a_revision() {
    let (labels, annotations) = (
        BTreeMap::new(),
        map(&[(
            "proxy.istio.io/config",
            "proxyMetadata:\n  # wins over the mesh\n  PROXY_CONFIG_ANNOT_VALUE: bar\n",
        )]),
    );
    let files = made(&facts(), &workload(&labels, &annotations));
    assert_eq!(
        files.cluster_env,
        "CANONICAL_REVISION='latest'\n\
         CANONICAL_SERVICE='foo'\n\
         CA_ADDR='istiod-rev-1.istio-system.svc:15012'\n\
         CLUSTER_MESH_CONFIG_VALUE='foo'\n\
         ISTIO_INBOUND_PORTS='*'\n\
         ISTIO_LOCAL_EXCLUDE_PORTS='22,15090,15021,15020'\n\
         ISTIO_METAJSON_LABELS='{\"service.istio.io/canonical-name\":\"foo\",\
         \"service.istio.io/canonical-revision\":\"latest\"}'\n\
         ISTIO_META_CLUSTER_ID='Kubernetes'\n\
         ISTIO_META_DNS_CAPTURE='true'\n\
         ISTIO_META_MESH_ID=''\n\
         ISTIO_META_NETWORK=''\n\
         ISTIO_META_WORKLOAD_NAME='foo'\n\
         ISTIO_NAMESPACE='bar'\n\
         ISTIO_SERVICE='foo.bar'\n\
         ISTIO_SERVICE_CIDR='*'\n\
         POD_NAMESPACE='bar'\n\
         PROXY_CONFIG_ANNOT_VALUE='bar'\n\
         SERVICE_ACCOUNT='vm-serviceaccount'\n\
         TRUST_DOMAIN=''\n"
    );
    assert_eq!(
        files.mesh_yaml,
        "defaultConfig:\n  \
           discoveryAddress: istiod-rev-1.istio-system.svc:15012\n  \
           proxyMetadata:\n    \
             CANONICAL_REVISION: latest\n    \
             CANONICAL_SERVICE: foo\n    \
             CLUSTER_MESH_CONFIG_VALUE: foo\n    \
             ISTIO_META_CLUSTER_ID: Kubernetes\n    \
             ISTIO_META_DNS_CAPTURE: \"true\"\n    \
             ISTIO_META_MESH_ID: \"\"\n    \
             ISTIO_META_NETWORK: \"\"\n    \
             ISTIO_META_WORKLOAD_NAME: foo\n    \
             ISTIO_METAJSON_LABELS: '{\"service.istio.io/canonical-name\":\"foo\",\
             \"service.istio.io/canonical-revision\":\"latest\"}'\n    \
             POD_NAMESPACE: bar\n    \
             PROXY_CONFIG_ANNOT_VALUE: bar\n    \
             SERVICE_ACCOUNT: vm-serviceaccount\n    \
             TRUST_DOMAIN: \"\"\n  \
           readinessProbe:\n    \
             httpGet:\n      \
               port: 8080\n"
    );
    assert_eq!(hosts(&files), "10.10.10.1 istiod-rev-1.istio-system.svc\n");
    assert_eq!(files.root_cert, PEM);
}

#[test]
fn a_mesh_without_a_revision_or_metadata() {
    let none = BTreeMap::new();
    for name in [None, Some("default".to_owned())] {
        let mut facts = facts();
        facts.revision.name = name;
        facts.default_config.clear();
        let workload = Workload {
            probe: None,
            capture_dns: false,
            auto_register: true,
            ..workload(&none, &none)
        };
        let files = made(&facts, &workload);
        assert!(!files.cluster_env.contains("CA_ADDR"));
        assert!(!files.cluster_env.contains("DNS_CAPTURE"));
        assert!(
            files
                .cluster_env
                .contains("ISTIO_META_AUTO_REGISTER_GROUP='foo'\n")
        );
        assert!(!files.mesh_yaml.contains("discoveryAddress"));
        assert!(!files.mesh_yaml.contains("readinessProbe"));
        let host = files.hosts.unwrap().name;
        assert_eq!(host, "istiod.istio-system.svc");
    }
}

#[test]
fn dns_is_not_captured_where_the_file_says_so() {
    let (none, annotated) = (
        BTreeMap::new(),
        map(&[(
            "proxy.istio.io/config",
            "proxyMetadata: {ISTIO_META_DNS_CAPTURE: true}",
        )]),
    );
    let of_mesh = |metadata: Value| Facts {
        default_config: Map::from_iter([("proxyMetadata".to_owned(), metadata)]),
        ..facts()
    };
    let silent = of_mesh(json!({}));
    let captures = of_mesh(json!({"ISTIO_META_DNS_CAPTURE": "true"}));
    for (facts, annotations) in [(&captures, &none), (&silent, &annotated)] {
        let workload = Workload {
            capture_dns: false,
            ..workload(&none, annotations)
        };
        let files = made(facts, &workload);
        assert!(
            files
                .cluster_env
                .contains("ISTIO_META_DNS_CAPTURE='false'\n")
        );
        assert!(
            files
                .mesh_yaml
                .contains("ISTIO_META_DNS_CAPTURE: \"false\"\n")
        );
    }
}

#[test]
fn ports_and_labels() {
    let labels = map(&[("app", "ratings"), ("version", "v2"), ("zone/x", "a")]);
    let none = BTreeMap::new();
    let mut facts = facts();
    facts.default_config = json!({"statusPort": 15021, "meshId": "m"})
        .as_object()
        .unwrap()
        .clone();
    let workload = Workload {
        ports: BTreeMap::from([("tcp", 3306), ("http", 9080)]),
        network: Some("vm-network"),
        ..workload(&labels, &none)
    };
    let env = made(&facts, &workload).cluster_env;
    for line in [
        "CANONICAL_SERVICE='ratings'",
        "CANONICAL_REVISION='v2'",
        "ISTIO_INBOUND_PORTS='9080,3306'",
        "ISTIO_LOCAL_EXCLUDE_PORTS='22,15090,15021'",
        "ISTIO_META_MESH_ID='m'",
        "ISTIO_META_NETWORK='vm-network'",
        "ISTIO_META_POD_PORTS='[{\"name\":\"http\",\"containerPort\":9080,\"protocol\":\"\"},\
         {\"name\":\"tcp\",\"containerPort\":3306,\"protocol\":\"\"}]'",
        "ISTIO_METAJSON_LABELS='{\"app\":\"ratings\",\"service.istio.io/canonical-name\":\"ratings\",\
         \"service.istio.io/canonical-revision\":\"v2\",\"version\":\"v2\",\"zone/x\":\"a\"}'",
    ] {
        assert!(env.lines().any(|found| found == line), "{line}\n{env}");
    }
}

#[test]
fn values_of_a_few_characters_have_no_quotes() {
    let mut facts = facts();
    let values = [
        ("A", "www", "www"),
        ("B", "w.w/w:w,w=w+w%w@w-w", "w.w/w:w,w=w+w%w@w-w"),
        ("C", "x", "'x'"),
        ("D", "-", "-"),
        ("E", "w\\", "'w\\'"),
        ("F", "it's", "'it'\"'\"'s'"),
    ];
    let metadata: Map<String, Value> = values
        .iter()
        .map(|(key, value, _)| ((*key).to_owned(), json!(value)))
        .collect();
    facts
        .default_config
        .insert("proxyMetadata".to_owned(), metadata.into());
    let none = BTreeMap::new();
    let env = made(&facts, &workload(&none, &none)).cluster_env;
    for (key, _, written) in values {
        let line = format!("{key}={written}");
        assert!(env.lines().any(|found| found == line), "{line}\n{env}");
    }
}

#[test]
fn what_is_no_variable_is_for_the_sidecar_alone() {
    let mut facts = facts();
    let metadata =
        json!({"a.b": "x", "1A": "x", "A B": "x", "$(false)": "x", "A\nB": "x", "_1": "x"});
    facts
        .default_config
        .insert("proxyMetadata".to_owned(), metadata.clone());
    let none = BTreeMap::new();
    let files = made(&facts, &workload(&none, &none));
    let extra: Vec<&str> = files
        .cluster_env
        .lines()
        .filter(|line| line.ends_with("'x'"))
        .collect();
    assert_eq!(extra, ["_1='x'"]);
    let read: Value = serde_saphyr::from_str(&files.mesh_yaml).unwrap();
    for key in metadata.as_object().unwrap().keys() {
        assert_eq!(read["defaultConfig"]["proxyMetadata"][key], "x", "{key}");
    }
}

#[test]
fn improvements_add_lines_and_change_none_but_the_ports() {
    let none = BTreeMap::new();
    let workload = workload(&none, &none);
    let plain = made(&facts(), &workload);
    let improvements = Improvements {
        platform: Some(Platform::None),
        workload_entry: true,
        inventory_address: true,
        exclude_ports: vec![9100, 22],
        exclude_metadata_service: true,
        certificate_ttl: Some(Duration::from_secs(7 * 24 * 3600)),
    };
    let better = files(&facts(), &workload, &improvements, false).unwrap();
    let added: Vec<&str> = better
        .cluster_env
        .lines()
        .filter(|line| !plain.cluster_env.lines().any(|known| known == *line))
        .collect();
    assert_eq!(
        added,
        [
            "CLOUD_PLATFORM='none'",
            "ISTIO_LOCAL_EXCLUDE_PORTS='22,15090,15021,15020,9100'",
            "ISTIO_SERVICE_EXCLUDE_CIDR='169.254.169.254/32'",
            "SECRET_TTL='604800s'",
        ]
    );
    assert_eq!(better.mesh_yaml, plain.mesh_yaml);
    assert_eq!(
        machine_env(&workload, &improvements),
        [
            ("ISTIO_META_WORKLOAD_ENTRY".to_owned(), MachineValue::Name),
            ("ISTIO_SVC_IP".to_owned(), MachineValue::Address),
        ]
    );
    assert_eq!(machine_env(&workload, &Improvements::default()), []);
    let registered = Workload {
        auto_register: true,
        ..workload
    };
    let lines = machine_env(&registered, &improvements);
    assert_eq!(lines, [("ISTIO_SVC_IP".to_owned(), MachineValue::Address)]);
}

#[test]
fn what_keeps_a_machine_out_is_an_error() {
    let none = BTreeMap::new();
    let make = |facts: &Facts, annotations: &BTreeMap<String, String>| {
        files(
            facts,
            &workload(&none, annotations),
            &Improvements::default(),
            true,
        )
        .map(|files| files.hosts)
    };
    let mut lacking = facts();
    lacking.root_certs.clear();
    let namespace = "bar".to_owned();
    assert_eq!(
        make(&lacking, &none),
        Err(FilesError::NoRootCert { namespace })
    );
    let mut lacking = facts();
    lacking.cluster_id.clear();
    assert_eq!(make(&lacking, &none), Err(FilesError::NoClusterId));
    let mut lacking = facts();
    lacking.gateway = Gateway::Unknown;
    assert_eq!(make(&lacking, &none), Err(FilesError::NoGateway));
    lacking.gateway = Gateway::PrivateDns;
    assert_eq!(make(&lacking, &none), Ok(None));
    lacking.gateway = Gateway::Host("elb.example".to_owned());
    let found = make(&lacking, &none).unwrap().unwrap().address;
    assert_eq!(found, HostAddress::Name("elb.example".to_owned()));
    for wrong in ["[1]", "a: [", ""] {
        let annotations = map(&[("proxy.istio.io/config", wrong)]);
        let error = make(&facts(), &annotations).unwrap_err();
        assert!(matches!(error, FilesError::Annotation { .. }), "{error}");
    }
}

#[test]
fn an_annotation_replaces_all_but_the_metadata() {
    let none = BTreeMap::new();
    let annotations = map(&[(
        "proxy.istio.io/config",
        "drainDuration: 5s\nconcurrency: 2\nproxyMetadata: {A: 1, ISTIO_META_NETWORK: no}\n",
    )]);
    let mut facts = facts();
    facts
        .default_config
        .insert("concurrency".to_owned(), json!(4));
    let config = proxy_config::proxy_config(&facts, &workload(&none, &annotations)).unwrap();
    assert_eq!(config["concurrency"], 2);
    assert_eq!(config["drainDuration"], "5s");
    assert_eq!(config["proxyMetadata"]["A"], "1");
    assert_eq!(config["proxyMetadata"]["CLUSTER_MESH_CONFIG_VALUE"], "foo");
    assert_eq!(config["proxyMetadata"]["ISTIO_META_NETWORK"], "");
}
