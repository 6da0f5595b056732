//! What the server does with its own kinds beyond their schemas: defaults, addresses, checks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::api::Api;
use super::kinds::{Kind, Nature};
use super::names;
use super::status::{FieldFault, Refusal};

const RBAC: &str = "rbac.authorization.k8s.io";

/// Sets what is left out of an object of the server's own kinds, and turns `stringData` of a
/// Secret into `data`.
pub fn complete(kind: &Kind, object: &mut Value) {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => {
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] =
                object["metadata"]["name"].clone();
            default(object, "/spec", json!({}));
            default(object, "/spec/finalizers", json!(["kubernetes"]));
            default(object, "/status", json!({}));
            default(object, "/status/phase", json!("Active"));
        }
        ("", "Secret") => {
            default(object, "/type", json!("Opaque"));
            let texts = object.as_object_mut().and_then(|o| o.remove("stringData"));
            for (key, text) in texts.iter().flat_map(Value::as_object).flatten() {
                object["data"][key] = json!(STANDARD.encode(text.as_str().unwrap_or_default()));
            }
        }
        ("", "Service") => service(object),
        (RBAC, "RoleBinding" | "ClusterRoleBinding") => {
            default(object, "/roleRef/apiGroup", json!(RBAC));
            let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
            for subject in subjects.into_iter().flatten() {
                if subject["kind"] != "ServiceAccount" && subject.get("apiGroup").is_none() {
                    subject["apiGroup"] = json!(RBAC);
                }
            }
        }
        _ => {}
    }
}

fn service(object: &mut Value) {
    default(object, "/spec", json!({}));
    default(object, "/status", json!({"loadBalancer": {}}));
    let external = object["spec"]["type"] == "ExternalName";
    for (field, value) in [
        ("/spec/type", json!("ClusterIP")),
        ("/spec/sessionAffinity", json!("None")),
    ] {
        default(object, field, value);
    }
    if !external {
        for (field, value) in [
            ("/spec/internalTrafficPolicy", json!("Cluster")),
            ("/spec/ipFamilies", json!(["IPv4"])),
            ("/spec/ipFamilyPolicy", json!("SingleStack")),
        ] {
            default(object, field, value);
        }
    }
    for port in object
        .pointer_mut("/spec/ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default(port, "/protocol", json!("TCP"));
        if let Some(number) = port.get("port").cloned() {
            default(port, "/targetPort", number);
        }
    }
}

/// Sets a field that is not there.
fn default(object: &mut Value, path: &str, value: Value) {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if let Some(parent) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
        let field = parent.entry(name).or_insert(Value::Null);
        if field.is_null() {
            *field = value;
        }
    }
}

/// Gives the new version of an object what it keeps when it is left out.
pub fn carry_over(kind: &Kind, live: &Value, object: &mut Value) {
    if kind.nature == Nature::Builtin
        && kind.kind == "Service"
        && object["spec"]["type"] != "ExternalName"
    {
        for field in ["clusterIP", "clusterIPs"] {
            if object["spec"].get(field).is_none_or(Value::is_null)
                && let Some(value) = live["spec"].get(field)
            {
                object["spec"][field] = value.clone();
            }
        }
    }
}

/// Gives a Service its address, from 10.96.0.0/16.
///
/// # Errors
///
/// 422 when the address it asks for is another's.
pub fn allocate(api: &Api, kind: &Kind, object: &mut Value) -> Result<(), Refusal> {
    if kind.nature != Nature::Builtin
        || kind.kind != "Service"
        || object["spec"]["type"] == "ExternalName"
    {
        return Ok(());
    }
    let wanted = object["spec"]["clusterIP"].as_str().unwrap_or_default();
    let own = || {
        let place = api.store.place_of(object["metadata"]["uid"].as_str()?)?;
        let live = api.store.get(place.kind, &place.key)?;
        live["spec"]["clusterIP"].as_str().map(str::to_owned)
    };
    let address = match wanted {
        "" => match (1_u32..65_534)
            .map(|n| format!("10.96.{}.{}", n >> 8, n & 255))
            .find(|address| !api.store.has_cluster_ip(address))
        {
            Some(address) => address,
            None => return Err(Refusal::internal("range is full")),
        },
        "None" => "None".to_owned(),
        wanted if own().as_deref() == Some(wanted) => wanted.to_owned(),
        wanted if api.store.has_cluster_ip(wanted) => {
            let why = "failed to allocate IP: provided IP is already allocated";
            let fault = FieldFault::invalid("spec.clusterIPs", &json!([wanted]), why);
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Refusal::invalid("", "Service", name, &[fault]));
        }
        wanted => wanted.to_owned(),
    };
    object["spec"]["clusterIPs"] = json!([address]);
    object["spec"]["clusterIP"] = json!(address);
    Ok(())
}

/// Returns what is wrong with an object of the server's own kinds.
pub fn faults(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<FieldFault> {
    let mut found = Vec::new();
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "ConfigMap" | "Secret") => data(object, old, &mut found),
        ("", "Service") => ports(object, old, &mut found),
        (RBAC, "RoleBinding" | "ClusterRoleBinding") => {
            let role = &object["roleRef"];
            if old.is_some_and(|old| old["roleRef"] != *role) {
                let why = "cannot change roleRef";
                found.push(FieldFault::invalid("roleRef", role, why));
            }
            for (at, subject) in object["subjects"]
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
            {
                let account = subject["kind"] == "ServiceAccount";
                if account && subject["namespace"].as_str().is_none_or(str::is_empty) {
                    let path = format!("subjects[{at}].namespace");
                    found.push(FieldFault::required(&path, ""));
                }
            }
        }
        _ => {}
    }
    found
}

fn data(object: &Value, old: Option<&Value>, found: &mut Vec<FieldFault>) {
    for part in ["data", "binaryData"] {
        for key in object[part].as_object().into_iter().flatten().map(|e| e.0) {
            if !names::is_data_key(key) {
                let why = "a valid config key must consist of alphanumeric characters, '-', '_' or \
                           '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for \
                           validation is '[-._a-zA-Z0-9]+')";
                let path = format!("{part}[{key}]");
                found.push(FieldFault::invalid(&path, &json!(key), why));
            }
        }
    }
    let Some(old) = old else { return };
    if object["kind"] == "Secret" && old["type"] != object["type"] {
        let why = "field is immutable";
        found.push(FieldFault::invalid("type", &object["type"], why));
    }
    let changed = ["data", "binaryData"].iter().any(|p| old[*p] != object[*p]);
    if old["immutable"] == json!(true) && (changed || object["immutable"] != json!(true)) {
        found.push(FieldFault {
            field: "data".to_owned(),
            text: "Forbidden: field is immutable when `immutable` is set".to_owned(),
            cause: "FieldValueForbidden",
        });
    }
}

fn ports(object: &Value, old: Option<&Value>, found: &mut Vec<FieldFault>) {
    let spec = &object["spec"];
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    if ports.is_empty() && spec["type"] != "ExternalName" && spec["clusterIP"] != "None" {
        found.push(FieldFault::required("spec.ports", ""));
    }
    let known = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];
    if !spec["type"].as_str().is_some_and(|t| known.contains(&t)) {
        let known = known.map(str::to_owned);
        found.push(FieldFault::unsupported("spec.type", &spec["type"], &known));
    }
    for (at, port) in ports.iter().enumerate() {
        let path = |field: &str| format!("spec.ports[{at}].{field}");
        let range = "must be between 1 and 65535, inclusive";
        let in_range = |n: &Value| n.as_i64().is_some_and(|n| (1..=65_535).contains(&n));
        if !in_range(&port["port"]) {
            let fault = FieldFault::invalid(&path("port"), &port["port"], range);
            found.push(fault);
        }
        if port["targetPort"].is_number() && !in_range(&port["targetPort"]) {
            let fault = FieldFault::invalid(&path("targetPort"), &port["targetPort"], range);
            found.push(fault);
        }
        let name = port["name"].as_str().unwrap_or_default();
        if name.is_empty() && ports.len() > 1 {
            found.push(FieldFault::required(&path("name"), ""));
        }
        if !name.is_empty() && !names::is_label(name) {
            let why = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
                       characters or '-', and must start and end with an alphanumeric character";
            found.push(FieldFault::invalid(&path("name"), &port["name"], why));
        }
        let known = ["TCP", "UDP", "SCTP"];
        if !port["protocol"]
            .as_str()
            .is_some_and(|p| known.contains(&p))
        {
            let known = known.map(str::to_owned);
            let fault = FieldFault::unsupported(&path("protocol"), &port["protocol"], &known);
            found.push(fault);
        }
        let same = |other: &Value| !name.is_empty() && other["name"] == name;
        if ports[..at].iter().any(same) {
            found.push(FieldFault {
                field: path("name"),
                text: format!("Duplicate value: {name:?}"),
                cause: "FieldValueDuplicate",
            });
        }
    }
    if let Some(old) = old
        && spec["type"] != "ExternalName"
        && old["spec"]["type"] != "ExternalName"
        && old["spec"]["clusterIP"] != spec["clusterIP"]
    {
        let value = &spec["clusterIPs"];
        let why = "may not change once set";
        found.push(FieldFault::invalid("spec.clusterIPs[0]", value, why));
    }
}
