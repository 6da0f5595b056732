//! Taking objects away.

use serde_json::{Value, json};

use super::read::{in_version, selector};
use crate::kube::api::{Answer, Api, Request};
use crate::kube::lifecycle::{self, Deletion};
use crate::kube::status::Refusal;
use crate::kube::store::Key;

/// What the body of a delete says.
struct Options {
    uid: Option<String>,
    version: Option<String>,
    propagation: String,
    dry_run: bool,
}

fn options(request: &Request) -> Result<Options, Refusal> {
    let body = match request.body.as_slice() {
        [] => Value::Null,
        body => super::admit::yaml(body)?,
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(Options {
        uid: text(&body["preconditions"]["uid"]),
        version: text(&body["preconditions"]["resourceVersion"]),
        propagation: match body["propagationPolicy"].as_str() {
            Some(policy) => policy.to_owned(),
            None => request.query.propagation.clone(),
        },
        dry_run: request.query.dry_run || body["dryRun"].as_array().is_some_and(|d| !d.is_empty()),
    })
}

/// Takes an object away.
///
/// # Errors
///
/// 404 when it is not there, 409 when it is not the one that is meant.
pub fn delete(api: &mut Api, request: &Request) -> Result<Answer, Refusal> {
    let options = options(request)?;
    let key = request.key();
    let (kind, version) = api.kind_of(request)?;
    let object = api.store.get(request.kind, &key).cloned();
    let object =
        object.ok_or_else(|| Refusal::not_found(&kind.group, &kind.plural, &request.name))?;
    for (field, word, end, wanted) in [
        ("uid", "UID", "deleted and then recreated", &options.uid),
        (
            "resourceVersion",
            "ResourceVersion",
            "modified",
            &options.version,
        ),
    ] {
        let known = object["metadata"][field].as_str().unwrap_or_default();
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != known) {
            let why = format!(
                "the {word} in the precondition ({wanted}) does not match the {word} in record \
                 ({known}). The object might have been {end}"
            );
            // A real server names the kind here, not the resource.
            return Err(Refusal::conflict(
                &kind.group,
                &kind.kind,
                &request.name,
                &why,
            ));
        }
    }
    let uid = object["metadata"]["uid"].clone();
    let details = json!({
        "name": request.name, "kind": kind.plural, "group": kind.group, "uid": uid,
    });
    let shown = |object: &Value| in_version(kind, &version.name, object);
    let body = if options.dry_run {
        shown(&object)
    } else {
        match one(api, request, &object, &options) {
            Deletion::Lingers(object) => {
                let (kind, version) = api.kind_of(request)?;
                in_version(kind, &version.name, &object)
            }
            Deletion::Gone(_) => json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                "details": details,
            }),
        }
    };
    Ok(Answer::of(200, body))
}

fn one(api: &mut Api, request: &Request, object: &Value, options: &Options) -> Deletion {
    if options.propagation == "Orphan"
        && let Some(uid) = object["metadata"]["uid"].as_str()
    {
        lifecycle::orphan(api, uid);
    }
    let foreground = options.propagation == "Foreground";
    lifecycle::delete(api, request.kind, object, foreground, request.now)
}

/// Takes all objects away that are selected.
///
/// # Errors
///
/// 400 when the selectors cannot be read.
pub fn collection(api: &mut Api, request: &Request) -> Result<Answer, Refusal> {
    let options = options(request)?;
    let (kind, version) = api.kind_of(request)?;
    if kind.namespaced && request.namespace.is_empty() {
        return Err(Refusal::method_not_allowed());
    }
    let selector = selector(kind, request)?;
    let namespace = Some(request.namespace.as_str()).filter(|n| !n.is_empty());
    let chosen: Vec<(Key, _)> = api
        .store
        .list(request.kind, namespace, None)
        .filter(|(_, object)| selector.matches(object))
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect();
    let items: Vec<Value> = chosen
        .iter()
        .map(|(_, object)| in_version(kind, &version.name, object))
        .collect();
    let list = format!("{}List", kind.kind);
    let api_version = kind.api_version(&version.name);
    if !options.dry_run {
        for (_, object) in &chosen {
            one(api, request, object, &options);
        }
    }
    Ok(Answer::of(
        200,
        json!({
            "kind": list,
            "apiVersion": api_version,
            "metadata": {"resourceVersion": api.store.version().to_string()},
            "items": items,
        }),
    ))
}
