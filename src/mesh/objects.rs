//! Makes the objects of a fleet's membership. Pure.
//!
//! Field names and meanings are those of Istio's CRDs, `networking.istio.io/v1`
//! (<https://istio.io/latest/docs/reference/config/networking/workload-group/>).
//! Objects are built as data and not by template, so that no value can change
//! their shape.

use std::collections::BTreeMap;

use meshvm_provider_api::Machine;
use meshvm_provider_api::labels;
use serde_json::{Map, Value, json};

use super::{MACHINE_LABEL, Object, ObjectRef};
use crate::spec::model::{Membership, Service};

const ISTIO: &str = "networking.istio.io/v1";

/// Makes the objects of a fleet that do not depend on its machines.
pub fn of_fleet(stack: &str, fleet: &str, membership: &Membership) -> Vec<Object> {
    let mut objects = vec![
        service_account(stack, membership),
        workload_group(stack, fleet, membership),
    ];
    objects.extend(
        membership
            .service
            .as_ref()
            .map(|service| kubernetes_service(stack, fleet, membership, service)),
    );
    objects
}

/// Names the fleet's ServiceAccount.
pub fn account_ref(membership: &Membership) -> ObjectRef {
    named(
        membership,
        "ServiceAccount",
        membership.service_account.as_str(),
    )
}

/// Names the fleet's WorkloadGroup.
pub fn group_ref(fleet: &str, membership: &Membership) -> ObjectRef {
    named(membership, "WorkloadGroup", fleet)
}

/// Names a machine's WorkloadEntry.
pub fn entry_ref(membership: &Membership, machine: &str) -> ObjectRef {
    ObjectRef {
        namespace: membership.namespace.to_string(),
        kind: "WorkloadEntry".to_owned(),
        name: machine.to_owned(),
    }
}

/// Makes a machine's WorkloadEntry; `None` while the machine has no address.
pub fn entry(
    stack: &str,
    fleet: &str,
    membership: &Membership,
    machine: &Machine,
) -> Option<Object> {
    let address = machine.address?;
    let mut spec = workload(membership);
    spec.insert("address".to_owned(), json!(address.to_string()));
    spec.insert("labels".to_owned(), json!(membership.labels));
    Some(object(
        entry_ref(membership, &machine.name),
        ISTIO,
        &[
            (labels::STACK, stack),
            (labels::FLEET, fleet),
            (MACHINE_LABEL, &machine.name),
        ],
        [("spec", Value::Object(spec))],
    ))
}

fn service_account(stack: &str, membership: &Membership) -> Object {
    // Fleets may share an account, so it carries no fleet.
    object(
        account_ref(membership),
        "v1",
        &[(labels::STACK, stack)],
        [("automountServiceAccountToken", json!(false))],
    )
}

fn workload_group(stack: &str, fleet: &str, membership: &Membership) -> Object {
    let mut spec = Map::new();
    spec.insert(
        "metadata".to_owned(),
        json!({ "labels": membership.labels }),
    );
    spec.insert("template".to_owned(), Value::Object(workload(membership)));
    if let Some(probe) = &membership.probe {
        spec.insert("probe".to_owned(), json!(probe));
    }
    object(
        group_ref(fleet, membership),
        ISTIO,
        &[(labels::STACK, stack), (labels::FLEET, fleet)],
        [("spec", Value::Object(spec))],
    )
}

/// Makes what a WorkloadGroup's template and a WorkloadEntry have in common.
fn workload(membership: &Membership) -> Map<String, Value> {
    let Membership {
        namespace: _,
        service_account,
        labels: _,
        ports,
        probe: _,
        network,
        weight,
        service: _,
    } = membership;
    let mut spec = Map::new();
    spec.insert("serviceAccount".to_owned(), json!(service_account));
    if !ports.is_empty() {
        spec.insert("ports".to_owned(), json!(ports));
    }
    if let Some(network) = network {
        spec.insert("network".to_owned(), json!(network));
    }
    if let Some(weight) = weight {
        spec.insert("weight".to_owned(), json!(weight));
    }
    spec
}

fn kubernetes_service(
    stack: &str,
    fleet: &str,
    membership: &Membership,
    service: &Service,
) -> Object {
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
    let name = service.name.as_ref().map_or(fleet, |name| name.as_str());
    object(
        named(membership, "Service", name),
        "v1",
        &[(labels::STACK, stack), (labels::FLEET, fleet)],
        [(
            "spec",
            json!({"selector": membership.labels, "ports": ports}),
        )],
    )
}

fn named(membership: &Membership, kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        namespace: membership.namespace.to_string(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn object<const N: usize>(
    reference: ObjectRef,
    api_version: &str,
    labels: &[(&str, &str)],
    fields: [(&str, Value); N],
) -> Object {
    let labels: BTreeMap<_, _> = labels.iter().copied().collect();
    let mut body = json!({
        "apiVersion": api_version,
        "kind": reference.kind,
        "metadata": {
            "name": reference.name,
            "namespace": reference.namespace,
            "labels": labels,
        },
    });
    for (key, value) in fields {
        body[key] = value;
    }
    Object { reference, body }.sealed()
}
