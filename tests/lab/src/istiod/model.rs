//! Istio's objects as plain data, as far as endpoints are made from them. Pure.
//!
//! What cannot be read is passed over: the API server has checked it against its schema.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service as KubeService;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The annotation of entries that count only while they are healthy.
pub const HEALTH_CHECKED: &str = "proxy.istio.io/health-checks-enabled";
/// The type of the condition that says so.
pub const HEALTHY: &str = "Healthy";

/// Labels, annotations or ports by name.
pub type ByName<T> = BTreeMap<String, T>;

/// The spec of a WorkloadEntry, and the template of a WorkloadGroup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EntrySpec {
    /// Its address.
    pub address: String,
    /// Its ports.
    pub ports: ByName<u32>,
    /// Its labels.
    pub labels: ByName<String>,
    /// Its network.
    pub network: String,
    /// Its locality.
    pub locality: String,
    /// Its share of the load.
    pub weight: u32,
    /// Its service account.
    pub service_account: String,
}

/// A WorkloadEntry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Whether it counts only while it is healthy.
    pub is_health_checked: bool,
    /// Whether it is healthy.
    pub is_healthy: bool,
    /// Its spec.
    pub spec: EntrySpec,
}

/// Labels and annotations for what is registered in a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GroupMetadata {
    /// The labels.
    pub labels: ByName<String>,
    /// The annotations.
    pub annotations: ByName<String>,
}

/// The spec of a WorkloadGroup.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GroupSpec {
    /// What its members are called.
    pub metadata: GroupMetadata,
    /// What its members are.
    pub template: EntrySpec,
    /// How they are asked whether they are ready.
    pub probe: Option<Value>,
}

/// A port that clients use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Where endpoints listen.
    pub target: TargetPort,
}

/// Where the endpoints of a port listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    /// At a number, unless they have a port of the service port's name.
    Number(u32),
    /// At their port of this name; who has none is no endpoint.
    Name(String),
}

/// A Service with a selector, or a ServiceEntry with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its names; the first is whole.
    pub hosts: Vec<String>,
    /// Its virtual addresses; none when one is to be made up.
    pub addresses: Vec<String>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Which workloads it selects.
    pub selector: ByName<String>,
}

/// All that configurations are made from.
#[derive(Debug, Clone, Default)]
pub struct Mesh {
    /// The services.
    pub services: Vec<Service>,
    /// The WorkloadEntries.
    pub entries: Vec<Entry>,
}

/// Reads the spec of an object.
pub fn spec<T: DeserializeOwned>(object: &DynamicObject) -> Option<T> {
    serde_json::from_value(object.data.get("spec")?.clone()).ok()
}

impl Entry {
    /// Reads a WorkloadEntry.
    pub fn read(object: &DynamicObject) -> Option<Self> {
        let conditions = object.data["status"]["conditions"].as_array();
        let is_healthy = conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == HEALTHY && condition["status"] == "True");
        Some(Self {
            name: object.name_any(),
            namespace: object.namespace()?,
            is_health_checked: is_health_checked(object),
            is_healthy,
            spec: spec(object)?,
        })
    }
}

/// Returns whether an entry counts only while it is healthy.
pub fn is_health_checked(object: &DynamicObject) -> bool {
    let annotation = object.annotations().get(HEALTH_CHECKED);
    annotation.is_some_and(|value| value == "true")
}

impl Service {
    /// Reads a Kubernetes Service; `None` when it has no selector or no address of its own.
    pub fn read(service: &KubeService, namespace_of_node: &str) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        let selector = spec
            .selector
            .clone()
            .filter(|selector| !selector.is_empty())?;
        let (name, namespace) = (service.name_any(), service.namespace()?);
        let addresses: Vec<String> = spec
            .cluster_ip
            .iter()
            .filter(|ip| !ip.is_empty() && *ip != "None")
            .cloned()
            .collect();
        if addresses.is_empty() {
            return None;
        }
        let mut hosts = vec![
            format!("{name}.{namespace}.svc.cluster.local"),
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}"),
        ];
        if namespace == namespace_of_node {
            hosts.push(name);
        }
        let port = |port: &k8s_openapi::api::core::v1::ServicePort| {
            let number = u32::try_from(port.port).ok()?;
            let target = match &port.target_port {
                Some(IntOrString::Int(target)) => TargetPort::Number(u32::try_from(*target).ok()?),
                Some(IntOrString::String(name)) => TargetPort::Name(name.clone()),
                None => TargetPort::Number(number),
            };
            Some(ServicePort {
                number,
                name: port.name.clone().unwrap_or_default(),
                target,
            })
        };
        Some(Self {
            namespace,
            hosts,
            addresses,
            ports: spec.ports.iter().flatten().filter_map(port).collect(),
            selector,
        })
    }

    /// Reads a ServiceEntry; `None` when it does not select workloads.
    pub fn read_entry(object: &DynamicObject) -> Option<Self> {
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase", default)]
        struct Port {
            number: u32,
            name: String,
            target_port: Option<u32>,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Selector {
            labels: ByName<String>,
        }
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase", default)]
        struct Spec {
            hosts: Vec<String>,
            addresses: Vec<String>,
            ports: Vec<Port>,
            workload_selector: Option<Selector>,
        }
        let spec: Spec = spec(object)?;
        let ports = spec.ports.into_iter().map(|port| ServicePort {
            number: port.number,
            name: port.name,
            target: TargetPort::Number(port.target_port.unwrap_or(port.number)),
        });
        Some(Self {
            namespace: object.namespace()?,
            hosts: spec.hosts,
            addresses: spec.addresses,
            ports: ports.collect(),
            selector: spec.workload_selector?.labels,
        })
    }
}
