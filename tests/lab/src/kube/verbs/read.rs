//! Reading one object, and reading many.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::kube::api::{Answer, Api, Request};
use crate::kube::kinds::{Kind, Nature};
use crate::kube::select::Selector;
use crate::kube::status::Refusal;
use crate::kube::store::Key;

/// Returns an object in the version asked for.
pub fn in_version(kind: &Kind, version: &str, object: &Value) -> Value {
    let mut object = object.clone();
    if kind.versions.len() > 1 {
        object["apiVersion"] = json!(kind.api_version(version));
    }
    object
}

/// Reads one object.
///
/// # Errors
///
/// 404 when it is not there.
pub fn get(api: &Api, request: &Request) -> Result<Answer, Refusal> {
    let (kind, version) = api.kind_of(request)?;
    let object = api.store.get(request.kind, &request.key());
    let object =
        object.ok_or_else(|| Refusal::not_found(&kind.group, &kind.plural, &request.name))?;
    Ok(Answer::of(200, in_version(kind, &version.name, object)))
}

/// Reads the selectors of a request.
///
/// # Errors
///
/// 400 when they cannot be read.
pub fn selector(kind: &Kind, request: &Request) -> Result<Selector, Refusal> {
    let custom = kind.nature == Nature::Custom;
    let query = &request.query;
    Selector::parse(&query.label_selector, &query.field_selector, custom)
}

/// Reads many objects.
///
/// # Errors
///
/// 400 when selectors or the place to go on from cannot be read.
pub fn list(api: &Api, request: &Request) -> Result<Answer, Refusal> {
    let (kind, version) = api.kind_of(request)?;
    let selector = selector(kind, request)?;
    let query = &request.query;
    let (asked, after) = match query.continue_from.as_str() {
        "" => (api.store.version(), None),
        token => {
            let (asked, after) =
                decode(token).ok_or_else(|| Refusal::bad_request("continue key is not valid"))?;
            (asked, Some(after))
        }
    };
    let namespace = Some(request.namespace.as_str()).filter(|n| !n.is_empty());
    let mut found = api
        .store
        .list(request.kind, namespace, after.as_ref())
        .filter(|(_, object)| selector.matches(object));
    let limit = match query.limit {
        0 => usize::MAX,
        limit => limit,
    };
    let mut items = Vec::new();
    let mut last = None;
    for (key, object) in found.by_ref().take(limit) {
        items.push(in_version(kind, &version.name, object));
        last = Some(key);
    }
    let left = found.count();
    let mut metadata = json!({"resourceVersion": asked.to_string()});
    if let Some(last) = last.filter(|_| left > 0) {
        metadata["continue"] = json!(encode(asked, last));
        if selector.is_all() {
            metadata["remainingItemCount"] = json!(left);
        }
    }
    let body = json!({
        "kind": format!("{}List", kind.kind),
        "apiVersion": kind.api_version(&version.name),
        "metadata": metadata,
        "items": items,
    });
    Ok(Answer::of(200, body))
}

fn encode(version: u64, (namespace, name): &Key) -> String {
    URL_SAFE_NO_PAD.encode(json!({"rv": version, "start": [namespace, name]}).to_string())
}

fn decode(token: &str) -> Option<(u64, Key)> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let token: Value = serde_json::from_slice(&bytes).ok()?;
    let start = serde_json::from_value(token["start"].clone()).ok()?;
    Some((token["rv"].as_u64()?, start))
}
