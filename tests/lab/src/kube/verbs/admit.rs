//! What an object goes through before it is kept: decoding, unknown fields, checks.

use serde_json::{Map, Value, json};

use crate::kube::api::Request;
use crate::kube::kinds::{Kind, Nature, Version};
use crate::kube::schema::unknown::{prune, set_defaults};
use crate::kube::schema::validate;
use crate::kube::status::{FieldFault, Refusal};
use crate::kube::{names, rules};

/// Reads an object from the body of a request.
///
/// # Errors
///
/// 400 when it is no object of the kind, 415 when it is of no type that can be read.
pub fn decode(request: &Request, kind: &Kind) -> Result<Value, Refusal> {
    let mut object = match request.content_type.as_str() {
        "application/json" | "" => serde_json::from_slice::<Value>(&request.body)
            .map_err(|error| Refusal::bad_request(error.to_string()))?,
        "application/yaml" => yaml(&request.body)?,
        other => return Err(Refusal::unsupported_media(other)),
    };
    if !object.is_object() {
        return Err(Refusal::bad_request("the body of the request is no object"));
    }
    let wanted = kind.api_version(&request.version);
    for (field, wanted) in [("kind", &kind.kind), ("apiVersion", &wanted)] {
        match object[field].as_str() {
            None | Some("") => object[field] = json!(wanted),
            Some(got) if got == wanted => {}
            Some(got) => {
                return Err(Refusal::bad_request(format!(
                    "the {field} in the data ({got}) does not match the expected {field} ({wanted})"
                )));
            }
        }
    }
    Ok(object)
}

/// Reads a body in YAML, of which JSON is a part.
///
/// # Errors
///
/// 400 when it is none.
pub fn yaml(body: &[u8]) -> Result<Value, Refusal> {
    let bad = |why: &str| Refusal::bad_request(format!("error decoding YAML: {why}"));
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let text = std::str::from_utf8(body).map_err(|error| bad(&error.to_string()))?;
    serde_saphyr::from_str(text).map_err(|error| bad(&error.to_string()))
}

/// Gives an object the namespace and name of the path.
///
/// # Errors
///
/// 400 when it says others.
pub fn place(object: &mut Value, request: &Request, named: bool) -> Result<(), Refusal> {
    let metadata = &mut object["metadata"];
    if metadata.is_null() {
        *metadata = json!({});
    }
    if !metadata.is_object() {
        return Err(Refusal::bad_request("metadata is no object"));
    }
    let said = |field: &str| metadata[field].as_str().unwrap_or_default();
    if named && !said("name").is_empty() && said("name") != request.name {
        return Err(Refusal::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            said("name"),
            request.name
        )));
    }
    if !said("namespace").is_empty() && said("namespace") != request.namespace {
        return Err(Refusal::bad_request(format!(
            "the namespace of the provided object does not match the namespace sent on the request \
             ({:?}, {:?})",
            said("namespace"),
            request.namespace
        )));
    }
    if named {
        metadata["name"] = json!(request.name);
    }
    if !request.namespace.is_empty() {
        metadata["namespace"] = json!(request.namespace);
    }
    Ok(())
}

/// Takes out what the schema does not know, as strictly as the request wants it. Returns the
/// warnings.
///
/// # Errors
///
/// 400 when there is something and the request is strict, or a value is of another type than
/// the server's own kinds have.
pub fn fit(
    request: &Request,
    kind: &Kind,
    version: &Version,
    object: &mut Value,
) -> Result<Vec<String>, Refusal> {
    let unfit = |why: &str| {
        Refusal::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {why}",
            kind.kind, version.name, kind.kind
        ))
    };
    let unknown = prune(&version.schema, object);
    if let Some(metadata) = object.get_mut("metadata") {
        *metadata = without_empty(std::mem::take(metadata));
    }
    if kind.nature == Nature::Builtin {
        *object = without_empty(std::mem::take(object));
        let faults = validate::faults(&version.schema, object);
        let mistyped = faults.iter().find(|f| f.cause == "FieldValueTypeInvalid");
        if let Some(fault) = mistyped {
            return Err(unfit(&format!(
                "json: cannot unmarshal into Go struct field {}.{}: {}",
                kind.kind, fault.field, fault.text
            )));
        }
    }
    let unknown: Vec<String> = unknown
        .iter()
        .map(|path| format!("unknown field {path:?}"))
        .collect();
    match request.query.field_validation.as_str() {
        "Strict" if !unknown.is_empty() => Err(unfit(&format!(
            "strict decoding error: {}",
            unknown.join(", ")
        ))),
        "Ignore" => Ok(Vec::new()),
        _ => Ok(unknown),
    }
}

/// Returns a value as the server's types write it: without what is null or an empty map or list,
/// but for items of lists.
fn without_empty(value: Value) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let fields = fields.into_iter().map(|(k, v)| (k, without_empty(v)));
    let left: Map<String, Value> = fields
        .filter(|(name, value)| match value {
            Value::Null => false,
            Value::Object(inner) => !inner.is_empty() || matches!(name.as_str(), "spec" | "status"),
            Value::Array(items) => !items.is_empty() || name == "rules",
            Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        })
        .collect();
    Value::Object(left)
}

/// Sets what is left out and has a default.
pub fn complete(kind: &Kind, version: &Version, object: &mut Value) {
    set_defaults(&version.schema, object);
    if kind.nature == Nature::Builtin {
        rules::complete(kind, object);
    }
}

/// Checks an object that is to be kept.
///
/// # Errors
///
/// 422 with everything that is wrong.
pub fn check(
    kind: &Kind,
    version: &Version,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Refusal> {
    let mut faults = names::faults(kind, object);
    faults.extend(validate::faults(&version.schema, object));
    if kind.nature == Nature::Builtin {
        faults.extend(rules::faults(kind, object, old));
    }
    refuse(kind, object, &faults)
}

/// Refuses an object that has faults.
///
/// # Errors
///
/// 422 when there are any.
pub fn refuse(kind: &Kind, object: &Value, faults: &[FieldFault]) -> Result<(), Refusal> {
    if faults.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(Refusal::invalid(&kind.group, &kind.kind, name, faults))
}
