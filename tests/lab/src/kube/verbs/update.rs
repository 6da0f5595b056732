//! Replacing an object, and the end that every change of one has.

use std::sync::Arc;

use serde_json::{Value, json};

use super::admit;
use super::read::in_version;
use super::writer::{refused, writer};
use crate::kube::api::{Answer, Api, Request};
use crate::kube::fields::apply::update;
use crate::kube::fields::managers::{Managers, Operation};
use crate::kube::kinds::{Kind, Nature};
use crate::kube::status::{FieldFault, Refusal};
use crate::kube::{lifecycle, rules};

/// Replaces an object by the one in the body.
///
/// # Errors
///
/// What a real server would refuse it with.
pub fn replace(api: &mut Api, request: &Request) -> Result<Answer, Refusal> {
    let (kind, version) = api.kind_of(request)?;
    let mut object = admit::decode(request, kind)?;
    admit::place(&mut object, request, true)?;
    let warnings = admit::fit(request, kind, version, &mut object)?;
    let old = api.store.get(request.kind, &request.key());
    let old = old.ok_or_else(|| Refusal::not_found(&kind.group, &kind.plural, &request.name))?;
    let old = Arc::clone(old);
    let versionless = object["metadata"]["resourceVersion"]
        .as_str()
        .is_none_or(str::is_empty);
    if versionless && !replaceable_blindly(kind) {
        let fault = FieldFault::invalid(
            "metadata.resourceVersion",
            &json!(0),
            "must be specified for an update",
        );
        admit::refuse(kind, &object, &[fault])?;
    }
    let managers = managers_of(&object, &old)?;
    let body = change(api, request, &old, object, managers, None)?;
    Ok(Answer {
        code: 200,
        body,
        warnings,
    })
}

/// Returns whether an object may be replaced without saying which version of it.
fn replaceable_blindly(kind: &Kind) -> bool {
    let blindly = !["Lease", "Namespace", "MutatingWebhookConfiguration"].contains(&&*kind.kind);
    kind.nature != Nature::Custom && blindly
}

/// Returns the managers that a client leaves on an object: those it sends, or those there were.
///
/// # Errors
///
/// 400 when it sends what are none.
pub fn managers_of(sent: &Value, old: &Value) -> Result<Managers, Refusal> {
    let entries = &sent["metadata"]["managedFields"];
    let from = match entries {
        Value::Null => old,
        _ => sent,
    };
    Managers::of(from).map_err(|error| Refusal::bad_request(error.to_string()))
}

/// Makes an object of another, by whatever verb, and keeps it where anything changed. Returns it
/// in the version of the request.
///
/// `applied` are the managers after an apply; `None` when the ownership follows from the change.
///
/// # Errors
///
/// 409 when the new object was made from another version, 422 when it is not right.
pub fn change(
    api: &mut Api,
    request: &Request,
    old: &Arc<Value>,
    mut object: Value,
    managers: Managers,
    applied: Option<Managers>,
) -> Result<Value, Refusal> {
    let (kind, version) = api.kind_of(request)?;
    let conflict = |why: &str| {
        Err(Refusal::conflict(
            &kind.group,
            &kind.plural,
            &request.name,
            why,
        ))
    };
    let (said, known) = (&object["metadata"], &old["metadata"]);
    if let Some(uid) = said["uid"].as_str().filter(|uid| known["uid"] != *uid) {
        let known = known["uid"].as_str().unwrap_or_default();
        return conflict(&format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {known}"
        ));
    }
    let stale = |version: &&str| !version.is_empty() && known["resourceVersion"] != **version;
    if said["resourceVersion"].as_str().filter(stale).is_some() {
        return Err(Refusal::modified(&kind.group, &kind.plural, &request.name));
    }
    let mut live = Value::clone(old);
    live["apiVersion"] = json!(kind.api_version(&version.name));
    carry_over(kind, request, &live, &mut object);
    admit::complete(kind, version, &mut object);
    rules::carry_over(kind, &live, &mut object);
    rules::allocate(api, kind, &mut object)?;
    if kind.counts_generations() {
        let changed = without_bookkeeping(kind, &object) != without_bookkeeping(kind, &live);
        let generation = live["metadata"]["generation"].as_u64().unwrap_or(1);
        object["metadata"]["generation"] = json!(generation + u64::from(changed));
    }
    admit::check(kind, version, &object, Some(&live))?;
    let managers = match applied {
        Some(managers) => managers,
        None => {
            let writer = writer(request, kind, Operation::Update);
            update(&version.schema, &live, &object, managers, &writer).map_err(refused)?
        }
    };
    let before = Managers::of(&live).map_err(|error| Refusal::bad_request(error.to_string()))?;
    object["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
    object["metadata"]["managedFields"] = live["metadata"]["managedFields"].clone();
    if object == live && managers.same_but_for_times(&before) {
        // Nothing is written, and nobody is told.
        return Ok(live);
    }
    object["metadata"]["managedFields"] = managers.to_entries();
    if request.query.dry_run {
        return Ok(object);
    }
    object["apiVersion"] = json!(kind.api_version(&kind.storage().name));
    let kept = api.store.put(request.kind, request.key(), object);
    lifecycle::after_write(api, request.kind, &kept);
    let (kind, version) = api.kind_of(request)?;
    Ok(in_version(kind, &version.name, &kept))
}

/// Gives the new object what a client cannot change on this path.
fn carry_over(kind: &Kind, request: &Request, live: &Value, object: &mut Value) {
    let keep = |object: &mut Value, live: &Value, field: &str| match live.get(field) {
        Some(value) => object[field] = value.clone(),
        None => {
            if let Some(fields) = object.as_object_mut() {
                fields.remove(field);
            }
        }
    };
    if request.subresource == "status" {
        let status = object["status"].take();
        *object = live.clone();
        match status {
            Value::Null => {
                if let Some(fields) = object.as_object_mut() {
                    fields.remove("status");
                }
            }
            status => object["status"] = status,
        }
        return;
    }
    for field in [
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "generateName",
    ] {
        keep(&mut object["metadata"], &live["metadata"], field);
    }
    if kind.status {
        keep(object, live, "status");
    }
    for field in ["name", "namespace"] {
        keep(&mut object["metadata"], &live["metadata"], field);
    }
}

/// Returns the part of an object whose changes are counted.
fn without_bookkeeping(kind: &Kind, object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("metadata");
        if kind.status {
            fields.remove("status");
        }
    }
    object
}
