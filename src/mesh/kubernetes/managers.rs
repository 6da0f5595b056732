//! What other field managers have of an object that meshvm writes. Pure.
//!
//! The API server refuses an apply when another manager owns a field that it would change
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts>). It keeps for
//! every manager which fields these are, so that a plan can tell before anything is written.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fields::{self, MANAGER};
use super::ports;

/// A field of an object that another manager has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeldField {
    /// The field, as the API server writes paths: `.spec.ports[port=80,protocol="TCP"].name`.
    pub field: String,
    /// The manager, and what else tells it apart, in the API server's words.
    pub manager: String,
    /// The field's value, as JSON text.
    pub theirs: String,
    /// What meshvm wants it to be, as JSON text; absent when it wants no such field.
    pub ours: Option<String>,
}

impl fmt::Display for HeldField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            manager,
            theirs,
            ours,
        } = self;
        match ours {
            Some(ours) => write!(f, "{field} is {theirs} by {manager}, and shall be {ours}"),
            None => write!(f, "{field} is {theirs} by {manager}"),
        }
    }
}

/// Returns the fields that others hold with other values than are wanted: an apply is refused.
pub fn conflicts(live: &Value, wanted: &Value) -> Vec<HeldField> {
    let mut found = Vec::new();
    for (manager, owned) in others(live) {
        let mut walk = |path: &str, theirs: &Value, ours: Option<&Value>| {
            if let Some(ours) = ours.filter(|ours| *ours != theirs) {
                found.push(held(path, &manager, theirs, Some(ours)));
            }
        };
        leaves("", owned, live, Some(wanted), &mut walk);
    }
    let usurpers = ports::usurpers(live, wanted).into_iter();
    found.extend(usurpers.map(|usurper| usurper.held));
    found.sort();
    found.dedup();
    found
}

/// Returns the fields of an object's `spec` that others set, and that meshvm neither set nor wants.
pub fn additions(live: &Value, wanted: &Value) -> Vec<HeldField> {
    let own = fields::applied(live);
    let own = fields::comparable(live, &own, wanted);
    let mut found = Vec::new();
    for (manager, owned) in others(live) {
        let mut walk = |path: &str, theirs: &Value, ours: Option<&Value>| {
            if ours.is_none() {
                found.push(held(path, &manager, theirs, None));
            }
        };
        let spec = &owned["f:spec"];
        leaves(".spec", spec, &live["spec"], own.get("spec"), &mut walk);
    }
    let usurpers = ports::usurpers(live, wanted);
    found.retain(|held| !usurpers.iter().any(|it| held.field.starts_with(&it.path)));
    found.sort();
    found
}

fn held(path: &str, manager: &str, theirs: &Value, ours: Option<&Value>) -> HeldField {
    HeldField {
        field: path.to_owned(),
        manager: manager.to_owned(),
        theirs: theirs.to_string(),
        ours: ours.map(Value::to_string),
    }
}

/// Returns the other managers of an object, with the fields that each has. A status is nobody's
/// whom an apply could be in the way of.
pub(super) fn others(live: &Value) -> impl Iterator<Item = (String, &Value)> {
    let entries = live.pointer("/metadata/managedFields");
    let entries = entries.and_then(Value::as_array).into_iter().flatten();
    let others = entries.filter(|entry| {
        let is_own = entry["manager"] == MANAGER && entry["operation"] == "Apply";
        !is_own && entry.get("subresource").is_none()
    });
    others.map(|entry| {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let manager = format!("{:?} using {}", text("manager"), text("apiVersion"));
        (manager, &entry["fieldsV1"])
    })
}

/// Visits what ends a path of a set of fields, with the live value and the wanted one.
fn leaves(
    path: &str,
    owned: &Value,
    live: &Value,
    wanted: Option<&Value>,
    visit: &mut impl FnMut(&str, &Value, Option<&Value>),
) {
    let Some(owned) = owned.as_object() else {
        return;
    };
    // `.` says that something is there, and nothing of what is in it.
    if owned.is_empty() && !path.is_empty() && !live.is_null() {
        visit(path, live, wanted);
    }
    for (key, owned) in owned {
        if let Some(name) = key.strip_prefix("f:") {
            let wanted = wanted.and_then(|wanted| wanted.get(name));
            leaves(&format!("{path}.{name}"), owned, &live[name], wanted, visit);
        } else {
            let Some(keys) = keys_of(key) else {
                continue;
            };
            let of = |list: &Value| {
                let items = list.as_array().into_iter().flatten();
                items
                    .clone()
                    .find(|item| keys.iter().all(|(k, v)| item.get(k) == Some(v)))
                    .cloned()
            };
            let path = item_path(path, &keys);
            let wanted = wanted.and_then(of);
            leaves(
                &path,
                owned,
                &of(live).unwrap_or_default(),
                wanted.as_ref(),
                visit,
            );
        }
    }
}

/// Returns what tells an item of a list from others, of its part in a set of fields.
pub(super) fn keys_of(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(part.strip_prefix("k:")?).ok()
}

/// Returns the path of an item of a list, as the API server writes it.
pub(super) fn item_path(list: &str, keys: &Map<String, Value>) -> String {
    let named: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!("{list}[{}]", named.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns an object of which two managers set fields, one of them in a status.
    fn live() -> Value {
        json!({
            "metadata": {
                "labels": {"a": "1", "b": "2"},
                "managedFields": [
                    {"manager": "meshvm", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {
                        "f:spec": {"f:ports": {"k:{\"port\":80}": {".": {}, "f:port": {}}}, "f:weight": {}},
                    }},
                    {"manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1", "fieldsV1": {
                        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                        "f:spec": {
                            "f:ports": {"k:{\"port\":80}": {"f:name": {}}, "k:{\"port\":81}": {".": {}, "f:port": {}}},
                            "f:selector": {},
                            "f:weight": {},
                        },
                    }},
                    {"manager": "istiod", "operation": "Update", "subresource": "status", "apiVersion": "v1",
                     "fieldsV1": {"f:status": {}}},
                ],
            },
            "spec": {
                "ports": [{"port": 80, "name": "web"}, {"port": 81}],
                "selector": {"app": "other"},
                "weight": 3,
            },
            "status": {"phase": "ready"},
        })
    }

    fn told(found: &[HeldField]) -> Vec<String> {
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_fields_that_others_have_and_that_change_are_in_the_way() {
        let wanted = json!({
            "metadata": {"labels": {"a": "1", "b": "3"}},
            "spec": {"ports": [{"port": 80, "name": "http"}], "selector": {"app": "web"}, "weight": 4},
            "status": {"phase": "lost"},
        });
        let by = "by \"kubectl-edit\" using v1, and shall be";
        assert_eq!(
            told(&conflicts(&live(), &wanted)),
            [
                format!(".spec.ports[port=80].name is \"web\" {by} \"http\""),
                format!(r#".spec.selector is {{"app":"other"}} {by} {{"app":"web"}}"#),
                format!(".spec.weight is 3 {by} 4"),
            ]
        );
        assert_eq!(conflicts(&live(), &live()), []);
    }

    #[test]
    fn what_others_set_and_nobody_here_wants_is_an_addition() {
        let wanted = json!({"spec": {"ports": [{"port": 80}], "weight": 3}});
        let by = "by \"kubectl-edit\" using v1";
        assert_eq!(
            told(&additions(&live(), &wanted)),
            [
                format!(".spec.ports[port=80].name is \"web\" {by}"),
                format!(".spec.ports[port=81].port is 81 {by}"),
                format!(r#".spec.selector is {{"app":"other"}} {by}"#),
            ]
        );
    }
}
