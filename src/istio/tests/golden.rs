//! Golden files: what is read of a mesh and of a fleet, and the files that come of it.
//!
//! Each folder of `golden` has the inputs (`input.json`), the files as istioctl names them, and
//! what each machine adds (`machine.txt`). `UPDATE_GOLDEN=1` writes all but the inputs anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::bootstrap::MachineValue;
use crate::istio::{Facts, Improvements, Platform, Workload, files, hosts};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Input {
    facts: Facts,
    workload: Fleet,
    #[serde(default)]
    improvements: Improved,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fleet {
    name: String,
    namespace: String,
    service_account: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    ports: BTreeMap<String, u16>,
    network: Option<String>,
    probe: Option<Value>,
    #[serde(default)]
    auto_register: bool,
    capture_dns: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Improved {
    provider: Option<String>,
    workload_entry: bool,
    inventory_address: bool,
    exclude_ports: Vec<u16>,
    exclude_metadata_service: bool,
    certificate_hours: Option<u64>,
}

impl From<Improved> for Improvements {
    fn from(improved: Improved) -> Self {
        let hours = improved.certificate_hours;
        Self {
            platform: improved.provider.as_deref().map(Platform::of_provider),
            workload_entry: improved.workload_entry,
            inventory_address: improved.inventory_address,
            exclude_ports: improved.exclude_ports,
            exclude_metadata_service: improved.exclude_metadata_service,
            certificate_ttl: hours.map(|hours| Duration::from_secs(hours * 3600)),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/istio/tests/golden")
}

#[track_caller]
fn assert_file(path: &Path, found: &str) {
    if fs::read_to_string(path).is_ok_and(|expected| expected == found) {
        return;
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| !value.is_empty()) {
        fs::write(path, found).unwrap();
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let path = path.display();
    panic!(
        "{path} differs; UPDATE_GOLDEN=1 writes it anew; expected:\n{expected}\nfound:\n{found}"
    );
}

fn check(name: &str) {
    let folder = folder().join(name);
    let text = fs::read_to_string(folder.join("input.json")).unwrap();
    let input: Input = serde_json::from_str(&text).unwrap();
    let fleet = &input.workload;
    let ports = fleet.ports.iter();
    let workload = Workload {
        name: &fleet.name,
        namespace: &fleet.namespace,
        service_account: &fleet.service_account,
        labels: &fleet.labels,
        annotations: &fleet.annotations,
        ports: ports.map(|(name, port)| (name.as_str(), *port)).collect(),
        network: fleet.network.as_deref(),
        probe: fleet.probe.clone(),
        auto_register: fleet.auto_register,
        capture_dns: fleet.capture_dns,
    };
    let made = files(&input.facts, &workload, &input.improvements.into(), true).unwrap();
    assert_file(&folder.join("cluster.env"), &made.cluster_env);
    assert_file(&folder.join("mesh.yaml"), &made.mesh_yaml);
    assert_file(&folder.join("hosts"), &hosts(&made));
    let added: String = made
        .machine_env
        .iter()
        .map(|(key, value)| match value {
            MachineValue::Name => format!("{key} is its name\n"),
            MachineValue::Address => format!("{key} is its address\n"),
        })
        .collect();
    assert_file(&folder.join("machine.txt"), &added);
}

/// Makes one test of each folder, and the list of them.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*
        const ALL: &[&str] = &[$(stringify!($name)),*];
    };
}

cases!(
    annotation,
    auto_register,
    hostile,
    host_name,
    improved,
    ipv4,
    ipv6,
    no_dns_capture,
    no_metadata,
    no_revision,
    other_forms,
    ports,
    private_dns,
    probe_exec,
    probe_grpc,
    probe_http,
    probe_tcp,
    revision_default,
    status_port,
    status_port_known,
);

#[test]
fn every_folder_is_a_case() {
    let mut found: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let mut known = ALL.to_vec();
    known.sort_unstable();
    assert_eq!(found, known);
}
