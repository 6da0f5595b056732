//! What of an object is meshvm's: the fields that its manager applied. Pure.
//!
//! The API server keeps for each manager the set of fields that it set, as
//! `fieldsV1`: a tree whose keys are `f:NAME` for a field, `k:{…}` for the list
//! item with these keys, `v:…` for a value of a set, and `.` for the item itself
//! (<https://github.com/kubernetes-sigs/structured-merge-diff>). Everything else
//! in an object, from defaults to what other managers add, is none of our business.

use serde_json::{Map, Value};

/// The field manager that meshvm applies as.
pub const MANAGER: &str = "meshvm";

/// Returns the fields that meshvm applied to a live object, as the set that the server keeps.
pub fn applied(live: &Value) -> Value {
    let entries = live.pointer("/metadata/managedFields");
    let own = entries.and_then(Value::as_array).into_iter().flatten();
    own.filter(|entry| {
        entry["manager"] == MANAGER
            && entry["operation"] == "Apply"
            && entry.get("subresource").is_none()
    })
    .map(|entry| entry["fieldsV1"].clone())
    .next()
    .unwrap_or_else(|| Value::Object(Map::new()))
}

/// Returns the part of a live object that can be compared with what is wanted: the fields in
/// `owned`, and beside them every field that `wanted` has, whoever set it.
pub fn comparable(live: &Value, owned: &Value, wanted: &Value) -> Value {
    let mut kept = project(live, owned, wanted);
    for name in ["apiVersion", "kind"] {
        kept[name] = live[name].clone();
    }
    for name in ["name", "namespace"] {
        kept["metadata"][name] = live["metadata"][name].clone();
    }
    if let Some(metadata) = kept["metadata"].as_object_mut() {
        // The owner is known by an id that the server gives; the backend sees to it.
        metadata.remove("ownerReferences");
    }
    kept
}

/// Returns the value at a path as the server writes it, such as `.spec.ports[name="http"].port`,
/// as JSON text; `absent` when there is none.
pub fn at(object: &Value, path: &str) -> String {
    let found = steps(path)
        .iter()
        .try_fold(object, |value, step| match step {
            Step::Field(name) => value.get(name),
            Step::Item(keys) => value.as_array()?.iter().find(|item| {
                keys.iter()
                    .all(|(key, wanted)| item.get(key).is_some_and(|v| text(v) == *wanted))
            }),
        });
    found.map_or_else(|| "absent".to_owned(), Value::to_string)
}

enum Step {
    Field(String),
    Item(Vec<(String, String)>),
}

/// Takes a path apart. A name that has dots itself, as a label may, is not found by it.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (item, next) = after.split_once(']').unwrap_or((after, ""));
            let keys = item.split(',').filter_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                Some((key.to_owned(), value.trim_matches('"').to_owned()))
            });
            steps.push(Step::Item(keys.collect()));
            rest = next;
        } else {
            let after = rest.strip_prefix('.').unwrap_or(rest);
            let end = after.find(['.', '[']).unwrap_or(after.len());
            steps.push(Step::Field(after[..end].to_owned()));
            rest = &after[end..];
        }
    }
    steps
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn project(live: &Value, owned: &Value, wanted: &Value) -> Value {
    match live {
        Value::Object(fields) => Value::Object(project_map(fields, owned, wanted)),
        Value::Array(items) => project_list(items, owned, wanted),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => live.clone(),
    }
}

fn project_map(fields: &Map<String, Value>, owned: &Value, wanted: &Value) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, value) in fields {
        let own = owned.get(format!("f:{name}"));
        let want = wanted.get(name);
        let part = match (own, want) {
            (None, None) => continue,
            // An empty map says the same of a map that is owned as a whole, and of one that
            // is owned without any of its fields.
            (Some(own), want) if is_leaf(own) && !want.is_some_and(is_empty_map) => value.clone(),
            (Some(own), want) => project(value, own, want.unwrap_or(&Value::Null)),
            // A Service's selector is one value to the server, whoever sets which of its labels:
            // one more label of somebody else leaves it without endpoints.
            (None, Some(_)) if name == "selector" => value.clone(),
            (None, Some(want)) => project(value, &Value::Null, want),
        };
        kept.insert(name.clone(), part);
    }
    kept
}

/// A list whose items have keys is compared item by item, any other as a whole.
fn project_list(items: &[Value], owned: &Value, wanted: &Value) -> Value {
    let keys: Vec<(Map<String, Value>, &Value)> = owned
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, own)| {
            let keys = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
            Some((keys, own))
        })
        .collect();
    if keys.is_empty() {
        return Value::Array(items.to_vec());
    }
    let nothing = Vec::new();
    let wanted = wanted.as_array().unwrap_or(&nothing);
    let has =
        |item: &Value, keys: &Map<String, Value>| keys.iter().all(|(k, v)| item.get(k) == Some(v));
    let kept = items.iter().filter_map(|item| {
        let (keys, own) = keys.iter().find(|(keys, _)| has(item, keys))?;
        let want = wanted.iter().find(|want| has(want, keys));
        Some(project(item, own, want.unwrap_or(&Value::Null)))
    });
    Value::Array(kept.collect())
}

fn is_empty_map(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

/// Returns whether a set of fields ends here.
fn is_leaf(owned: &Value) -> bool {
    owned
        .as_object()
        .is_none_or(|fields| fields.keys().all(|key| key == "." || key.starts_with("v:")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live() -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "web", "namespace": "vm", "uid": "u", "resourceVersion": "7",
                "labels": {"meshvm-stack": "s", "team": "a"},
                "ownerReferences": [{"uid": "g"}],
                "managedFields": [
                    {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:type": {}}}},
                    {"manager": "meshvm", "operation": "Apply", "fieldsV1": {
                        "f:metadata": {"f:labels": {"f:meshvm-stack": {}}, "f:ownerReferences": {"k:{\"uid\":\"g\"}": {}}},
                        "f:spec": {
                            "f:selector": {},
                            "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {
                                ".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}}},
                        },
                    }},
                ],
            },
            "spec": {
                "clusterIP": "10.96.0.7",
                "type": "ClusterIP",
                "selector": {"app": "web"},
                "ports": [
                    {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http", "nodePort": 0},
                    {"name": "other", "port": 81, "protocol": "TCP"},
                ],
            },
        })
    }

    fn wanted() -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "vm", "labels": {"meshvm-stack": "s"}},
            "spec": {
                "selector": {"app": "web"},
                "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
            },
        })
    }

    #[test]
    fn what_the_server_and_others_add_is_left_out() {
        assert_eq!(comparable(&live(), &applied(&live()), &wanted()), wanted());
    }

    #[test]
    fn a_wanted_field_that_another_manager_took_is_shown() {
        let mut wanted = wanted();
        wanted["spec"]["type"] = json!("NodePort");
        let seen = comparable(&live(), &applied(&live()), &wanted);
        assert_eq!(seen["spec"]["type"], "ClusterIP");
    }

    #[test]
    fn an_owned_field_that_is_not_wanted_any_more_is_shown() {
        let mut wanted = wanted();
        wanted["spec"] = json!({"ports": wanted["spec"]["ports"]});
        let seen = comparable(&live(), &applied(&live()), &wanted);
        assert_eq!(seen["spec"]["selector"], json!({"app": "web"}));
        wanted["spec"]["ports"] = json!([]);
        let seen = comparable(&live(), &applied(&live()), &wanted);
        assert_eq!(seen["spec"]["ports"][0]["name"], "http");
        assert_eq!(seen["spec"]["ports"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn values_are_found_by_the_servers_paths() {
        let live = live();
        assert_eq!(at(&live, ".spec.selector.app"), "\"web\"");
        assert_eq!(
            at(&live, ".spec.ports[port=81,protocol=\"TCP\"].name"),
            "\"other\""
        );
        assert_eq!(at(&live, ".spec.weight"), "absent");
    }

    #[test]
    fn an_object_that_was_never_applied_has_nothing_of_ours() {
        let mut live = live();
        live["metadata"]["managedFields"] = json!([]);
        let seen = comparable(&live, &applied(&live), &json!({}));
        assert_eq!(seen.get("spec"), None);
    }
}
