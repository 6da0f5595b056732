//! Makes the objects of a fleet's membership. Pure.
//!
//! Field names and meanings are those of Istio's CRDs, `networking.istio.io/v1`
//! (<https://istio.io/latest/docs/reference/config/networking/workload-group/>).
//! Objects are built as data and not by template, so that no value can change
//! their shape.

mod external;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::Machine;
use meshvm_provider_api::labels::{self, Ownership};
use serde_json::{Map, Value, json};

use super::{MACHINE_LABEL, Object, ObjectRef, TOKEN_LABEL};
use crate::spec::model::{External, Membership, Service, ServiceEntry};

const ISTIO: &str = "networking.istio.io/v1";

/// Keeps an entry from its Service until the sidecar reports that its workload is healthy
/// (<https://istio.io/latest/docs/reference/config/annotations/>).
pub const HEALTH_CHECKED: &str = "proxy.istio.io/health-checks-enabled";

/// What a fleet is to the mesh.
#[derive(Clone, Copy, Debug)]
pub enum Side<'a> {
    /// Its machines are members.
    Member {
        /// How.
        membership: &'a Membership,
        /// Whether their sidecars report health, where the membership has a probe.
        reports: bool,
    },
    /// Its machines are known, and no members.
    External(&'a External),
}

impl<'a> Side<'a> {
    /// Returns whether a machine is entered as soon as it has an address, and not only when it is
    /// ready: a sidecar that reports health needs its entry before it can be ready, and the entry
    /// takes no traffic before that.
    pub fn enters_early(&self) -> bool {
        match self {
            Self::Member {
                membership,
                reports,
            } => *reports && membership.probe.is_some() && !membership.auto_register,
            Self::External(_) => false,
        }
    }

    /// Returns whether machines enter themselves as their sidecars connect, so that none of them is
    /// in the mesh before its sidecar is.
    pub fn enters_by_itself(&self) -> bool {
        match self {
            Self::Member {
                membership,
                reports,
            } => *reports && membership.auto_register,
            Self::External(_) => false,
        }
    }

    /// Returns whether machines have entries of meshvm's at all.
    pub fn has_entries(&self) -> bool {
        match self {
            Self::Member { membership, .. } => !membership.auto_register,
            Self::External(_) => true,
        }
    }

    /// Returns the namespace of its objects.
    pub fn namespace(&self) -> &'a str {
        match self {
            Self::Member { membership, .. } => membership.namespace.as_str(),
            Self::External(external) => external.namespace.as_str(),
        }
    }
}

/// Makes the objects of a fleet that do not depend on its machines.
pub fn of_fleet(stack: &str, fleet: &str, side: Side<'_>) -> Vec<Object> {
    let maker = Maker { stack, fleet, side };
    let membership = match side {
        Side::Member { membership, .. } => membership,
        Side::External(external) => return vec![external::service_entry(&maker, external)],
    };
    let mut objects = Vec::new();
    if membership.service_account.is_made() {
        objects.push(maker.account(membership));
    }
    objects.push(maker.group(membership));
    if let Some(service) = &membership.service {
        objects.push(maker.service(membership, service));
        let name = service_name(fleet, service);
        if let Some(traffic) = &membership.traffic {
            objects.extend(traffic::rules(&maker, name, traffic));
        }
    }
    if let Some(entry) = &membership.service_entry {
        objects.push(maker.service_entry(membership, entry));
    }
    objects
}

/// Names the ServiceAccount that a fleet uses and does not make; `None` when it makes its own, and
/// when its machines are no members.
pub fn used_account(side: Side<'_>) -> Option<ObjectRef> {
    let is_made = match side {
        Side::Member { membership, .. } => membership.service_account.is_made(),
        Side::External(_) => true,
    };
    account_ref(side).filter(|_| !is_made)
}

/// Names the ServiceAccounts that fleets make.
pub fn made_accounts<'a>(sides: impl Iterator<Item = Side<'a>>) -> BTreeSet<ObjectRef> {
    let makers = sides.filter(|side| used_account(*side).is_none());
    makers.filter_map(account_ref).collect()
}

/// Says how a file uses a service account that is not the stack's.
pub fn use_account(name: &str) -> String {
    format!("use it as it is: `serviceAccount: {{name: {name}, create: false}}`")
}

/// Says how a file gets by without writing an object that is somebody else's.
pub fn leave_it(object: &ObjectRef) -> String {
    let rename = "rename the fleet or its objects";
    match object.kind.as_str() {
        "ServiceAccount" => format!("{rename}, or {}", use_account(&object.name)),
        _ => rename.to_owned(),
    }
}

/// Names the fleet's ServiceAccount; `None` when its machines are no members.
pub fn account_ref(side: Side<'_>) -> Option<ObjectRef> {
    match side {
        Side::Member { membership, .. } => Some(ObjectRef {
            namespace: membership.namespace.to_string(),
            kind: "ServiceAccount".to_owned(),
            name: membership.service_account.as_str().to_owned(),
        }),
        Side::External(_) => None,
    }
}

/// Names the object that a fleet always has in the mesh, and that has its name.
pub fn anchor_ref(fleet: &str, side: Side<'_>) -> ObjectRef {
    let kind = match side {
        Side::Member { .. } => "WorkloadGroup",
        Side::External(_) => "ServiceEntry",
    };
    ObjectRef {
        namespace: side.namespace().to_owned(),
        kind: kind.to_owned(),
        name: fleet.to_owned(),
    }
}

/// Names a machine's WorkloadEntry.
pub fn entry_ref(side: Side<'_>, machine: &str) -> ObjectRef {
    ObjectRef {
        namespace: side.namespace().to_owned(),
        kind: "WorkloadEntry".to_owned(),
        name: machine.to_owned(),
    }
}

/// The longest value of a label.
const LONGEST_LABEL: usize = 63;

/// Returns whether a WorkloadEntry can have a machine's name: it is one of DNS, and a label has it as
/// well (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>).
pub fn can_be_named(machine: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_part = |part: &str| {
        let has_ends = !part.starts_with('-') && !part.ends_with('-');
        !part.is_empty() && has_ends && part.chars().all(inner)
    };
    machine.len() <= LONGEST_LABEL && machine.split('.').all(is_part)
}

/// Makes a machine's WorkloadEntry; `None` while the machine has no address, and where the control
/// plane makes the entries. `locality` is where its cloud says that it is; the file's own wins.
pub fn entry(
    stack: &str,
    fleet: &str,
    side: Side<'_>,
    machine: &Machine,
    locality: Option<String>,
) -> Option<Object> {
    if !side.has_entries() {
        return None;
    }
    let address = machine.address?;
    let mut spec = match side {
        Side::Member { membership, .. } => {
            let mut spec = workload(membership);
            spec.insert("labels".to_owned(), json!(membership.labels));
            spec
        }
        Side::External(external) => external::workload(fleet, external),
    };
    spec.insert("address".to_owned(), json!(address.to_string()));
    if let Some(locality) = locality {
        spec.entry("locality").or_insert(json!(locality));
    }
    let mut labels = vec![(labels::FLEET, fleet), (MACHINE_LABEL, &machine.name)];
    let token_of = match side {
        Side::Member { .. } => token_of(machine),
        Side::External(_) => None,
    };
    labels.extend(token_of.as_deref().map(|name| (TOKEN_LABEL, name)));
    let mut object = Maker { stack, fleet, side }.object(
        entry_ref(side, &machine.name),
        ISTIO,
        &labels,
        Value::Object(spec),
    );
    if side.enters_early() {
        object.body["metadata"]["annotations"] = json!({HEALTH_CHECKED: "true"});
    }
    Some(object.sealed())
}

/// Returns whom a machine's token was made for, where that is not its name: a token is asked for
/// before the machine is, and not every cloud takes names.
pub fn token_of(machine: &Machine) -> Option<String> {
    let owned = Ownership::from_labels(&machine.labels)?;
    // A machine with a token is a batch by itself.
    let name = owned.batch?.machine_name(&owned.fleet, 0);
    let batch = name.trim_end_matches('0');
    (!machine.name.starts_with(batch)).then_some(name)
}

/// Returns the name that a machine's token was made for.
pub fn token_name(machine: &Machine) -> String {
    token_of(machine).unwrap_or_else(|| machine.name.clone())
}

/// Makes objects of one fleet.
struct Maker<'a> {
    stack: &'a str,
    fleet: &'a str,
    side: Side<'a>,
}

impl Maker<'_> {
    fn account(&self, membership: &Membership) -> Object {
        let reference = self.named("ServiceAccount", membership.service_account.as_str());
        // Fleets may share an account, so it carries no fleet.
        let mut object = self.object(reference, "v1", &[], Value::Null);
        object.body["automountServiceAccountToken"] = json!(false);
        object.sealed()
    }

    fn group(&self, membership: &Membership) -> Object {
        let mut metadata = json!({ "labels": membership.labels });
        if !membership.annotations.is_empty() {
            metadata["annotations"] = json!(membership.annotations);
        }
        let mut spec = json!({ "metadata": metadata, "template": workload(membership) });
        if let Some(probe) = &membership.probe {
            spec["probe"] = json!(probe);
        }
        self.own("WorkloadGroup", self.fleet, ISTIO, spec)
    }

    fn service(&self, membership: &Membership, service: &Service) -> Object {
        let ports: Vec<Value> = service
            .ports
            .iter()
            .map(|port| {
                // Istio looks a named target port up in the entry's ports; a number
                // is overridden there only by a port of the Service port's own name.
                let target = match &port.target_port {
                    Some(name) => json!(name),
                    None if membership.ports.contains_key(port.name.as_str()) => json!(port.name),
                    None => json!(port.port),
                };
                json!({"name": port.name, "port": port.port, "protocol": "TCP", "targetPort": target})
            })
            .collect();
        let spec = json!({"selector": membership.selector(), "ports": ports});
        self.own("Service", service_name(self.fleet, service), "v1", spec)
    }

    fn service_entry(&self, membership: &Membership, entry: &ServiceEntry) -> Object {
        let ServiceEntry {
            hosts,
            addresses,
            ports,
        } = entry;
        let ports: Vec<Value> = ports
            .iter()
            .map(|port| {
                let protocol = port.protocol.as_deref().unwrap_or("TCP");
                let mut value =
                    json!({"name": port.name, "number": port.port, "protocol": protocol});
                if let Some(target) = membership.ports.get(port.name.as_str()) {
                    value["targetPort"] = json!(target);
                }
                value
            })
            .collect();
        self.selecting(hosts, addresses, &ports, json!(membership.labels))
    }

    /// Makes a ServiceEntry that selects machines.
    fn selecting(
        &self,
        hosts: &[String],
        addresses: &[String],
        ports: &[Value],
        selector: Value,
    ) -> Object {
        let mut spec = json!({
            "hosts": hosts,
            "ports": ports,
            // Also machines that are no members: their entries say that they take no mutual TLS.
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "workloadSelector": {"labels": selector},
        });
        if !addresses.is_empty() {
            spec["addresses"] = json!(addresses);
        }
        self.own("ServiceEntry", self.fleet, ISTIO, spec)
    }

    fn named(&self, kind: &str, name: &str) -> ObjectRef {
        ObjectRef {
            namespace: self.side.namespace().to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Makes an object of the fleet.
    fn own(&self, kind: &str, name: &str, api_version: &str, spec: Value) -> Object {
        let labels = [(labels::FLEET, self.fleet)];
        self.object(self.named(kind, name), api_version, &labels, spec)
            .sealed()
    }

    /// Makes an object of the stack; it is not sealed yet.
    fn object(
        &self,
        reference: ObjectRef,
        api_version: &str,
        labels: &[(&str, &str)],
        spec: Value,
    ) -> Object {
        let stack = (labels::STACK, self.stack);
        let labels: BTreeMap<_, _> = labels.iter().copied().chain([stack]).collect();
        let mut body = json!({
            "apiVersion": api_version,
            "kind": reference.kind,
            "metadata": {
                "name": reference.name,
                "namespace": reference.namespace,
                "labels": labels,
            },
        });
        if !spec.is_null() {
            body["spec"] = spec;
        }
        Object { reference, body }
    }
}

fn service_name<'a>(fleet: &'a str, service: &'a Service) -> &'a str {
    service.name.as_ref().map_or(fleet, |name| name.as_str())
}

/// Makes what a WorkloadGroup's template and a WorkloadEntry have in common.
pub fn workload(membership: &Membership) -> Map<String, Value> {
    let Membership {
        namespace: _,
        service_account,
        labels: _,
        ports,
        probe: _,
        network,
        weight,
        annotations: _,
        locality,
        auto_register: _,
        service: _,
        service_entry: _,
        traffic: _,
    } = membership;
    let mut spec = Map::new();
    spec.insert("serviceAccount".to_owned(), json!(service_account.as_str()));
    if !ports.is_empty() {
        spec.insert("ports".to_owned(), json!(ports));
    }
    if let Some(network) = network {
        spec.insert("network".to_owned(), json!(network));
    }
    if let Some(locality) = locality {
        spec.insert("locality".to_owned(), json!(locality));
    }
    if let Some(weight) = weight {
        spec.insert("weight".to_owned(), json!(weight));
    }
    spec
}
