//! Changing an object by a patch, and applying one.

use std::sync::Arc;

use serde_json::{Value, json};

use super::create::{Ownership, insert};
use super::strategic;
use super::update::{change, managers_of};
use super::writer::{refused, writer};
use super::{admit, read};
use crate::kube::api::{Answer, Api, Request};
use crate::kube::fields::apply::apply;
use crate::kube::fields::managers::Operation;
use crate::kube::kinds::{Kind, Nature, Version};
use crate::kube::schema::typed;
use crate::kube::status::{FieldFault, Refusal};

/// Changes an object by the patch in the body.
///
/// # Errors
///
/// What a real server would refuse it with.
pub fn patch(api: &mut Api, request: &Request) -> Result<Answer, Refusal> {
    let (kind, version) = api.kind_of(request)?;
    let old = api.store.get(request.kind, &request.key()).cloned();
    if request.content_type == "application/apply-patch+yaml" {
        return applied(api, request, old);
    }
    let old = old.ok_or_else(|| Refusal::not_found(&kind.group, &kind.plural, &request.name))?;
    let live = read::in_version(kind, &version.name, &old);
    let mut object = patched(request, kind, version, live)?;
    admit::place(&mut object, request, true)?;
    let warnings = admit::fit(request, kind, version, &mut object)?;
    let managers = managers_of(&object, &old)?;
    let body = change(api, request, &old, object, managers, None)?;
    Ok(Answer {
        code: 200,
        body,
        warnings,
    })
}

fn patched(
    request: &Request,
    kind: &Kind,
    version: &Version,
    live: Value,
) -> Result<Value, Refusal> {
    let bad = |error: &dyn std::fmt::Display| Refusal::bad_request(error.to_string());
    let mut object = live;
    match request.content_type.as_str() {
        "application/merge-patch+json" => {
            let patch: Value = serde_json::from_slice(&request.body).map_err(|e| bad(&e))?;
            json_patch::merge(&mut object, &patch);
        }
        "application/json-patch+json" => {
            let patch: json_patch::Patch =
                serde_json::from_slice(&request.body).map_err(|e| bad(&e))?;
            json_patch::patch(&mut object, &patch).map_err(|error| {
                let fault = FieldFault {
                    field: "patch".to_owned(),
                    text: format!("Invalid value: {error}"),
                    cause: "FieldValueInvalid",
                };
                Refusal::invalid(&kind.group, &kind.kind, &request.name, &[fault])
            })?;
        }
        "application/strategic-merge-patch+json" if kind.nature == Nature::Builtin => {
            let patch: Value = serde_json::from_slice(&request.body).map_err(|e| bad(&e))?;
            object = strategic::merge(&version.schema, object, &patch)?;
        }
        other => return Err(Refusal::unsupported_media(other)),
    }
    Ok(object)
}

/// Applies the object in the body.
fn applied(api: &mut Api, request: &Request, old: Option<Arc<Value>>) -> Result<Answer, Refusal> {
    let (kind, version) = api.kind_of(request)?;
    if request.query.field_manager.is_empty() {
        let fault = FieldFault::required("fieldManager", "is required for apply patch");
        return Err(Refusal::invalid(
            "meta.k8s.io",
            "PatchOptions",
            "",
            &[fault],
        ));
    }
    let mut wanted = admit::yaml(&request.body)?;
    for (field, known) in [
        ("apiVersion", kind.api_version(&version.name)),
        ("kind", kind.kind.clone()),
    ] {
        if wanted[field] != known {
            let text = format!(
                "the {field} in the applied object ({}) does not match the expected {field} ({known})",
                wanted[field].as_str().unwrap_or_default()
            );
            return Err(Refusal::bad_request(text));
        }
    }
    if wanted["metadata"]
        .get("managedFields")
        .is_some_and(|m| !m.is_null())
    {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    fits(kind, version, &wanted)?;
    admit::place(&mut wanted, request, true)?;
    if let (Some(fields), true) = (
        wanted.as_object_mut(),
        kind.status && request.subresource.is_empty(),
    ) {
        fields.remove("status");
    }
    let operation = writer(request, kind, Operation::Apply);
    let stale = |old: Option<&Value>| {
        let wanted = wanted["metadata"]["resourceVersion"].as_str();
        wanted.is_some_and(|version| {
            !version.is_empty()
                && old.is_none_or(|old| old["metadata"]["resourceVersion"] != version)
        })
    };
    if stale(old.as_deref()) {
        return Err(Refusal::modified(&kind.group, &kind.plural, &request.name));
    }
    let live = match &old {
        Some(old) => read::in_version(kind, &version.name, old),
        None if request.subresource.is_empty() => json!({"metadata": {}}),
        None => return Err(Refusal::not_found(&kind.group, &kind.plural, &request.name)),
    };
    let (merged, managers) = apply(
        &version.schema,
        &live,
        &wanted,
        &operation,
        request.query.force,
    )
    .map_err(refused)?;
    let Some(old) = old else {
        api.authorize_verb(request, "create")?;
        let made = insert(api, request, merged, Ownership::Applied(managers))?;
        return Ok(Answer::of(201, made));
    };
    let body = change(api, request, &old, merged, managers.clone(), Some(managers))?;
    Ok(Answer::of(200, body))
}

/// Checks that what is applied fits its schema at all.
fn fits(kind: &Kind, version: &Version, wanted: &Value) -> Result<(), Refusal> {
    let Some(faults) = typed::faults(&version.schema, wanted) else {
        return Ok(());
    };
    let text = |field: &str| wanted["metadata"][field].as_str().unwrap_or_default();
    Err(Refusal::unfit(format!(
        "failed to create typed patch object ({}/{}; {}/{}, Kind={}): {faults}",
        text("namespace"),
        text("name"),
        kind.group,
        version.name,
        kind.kind
    )))
}
