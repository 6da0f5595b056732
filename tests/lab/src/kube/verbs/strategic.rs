//! The strategic merge patch, which knows how to merge lists of the server's own kinds
//! (<https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md>).

use serde_json::{Map, Value};

use crate::kube::schema::{ANY, Identity, Schema, Shape};
use crate::kube::status::Refusal;

/// Lays a strategic merge patch over an object.
///
/// # Errors
///
/// 400 when a directive in the patch is not known.
pub fn merge(schema: &Schema, object: Value, patch: &Value) -> Result<Value, Refusal> {
    let (Value::Object(fields), Value::Object(changes)) = (&object, patch) else {
        return Ok(patch.clone());
    };
    match changes.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            let mut whole = changes.clone();
            whole.remove("$patch");
            return Ok(Value::Object(whole));
        }
        Some("delete") => return Ok(Value::Object(Map::new())),
        Some(other) => {
            return Err(Refusal::bad_request(format!("unknown patch type {other}")));
        }
    }
    let mut all = fields.clone();
    if let Some(kept) = changes.get("$retainKeys").and_then(Value::as_array) {
        all.retain(|name, _| kept.iter().any(|kept| kept == name));
    }
    for (name, change) in changes {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            remove_from(&mut all, list, change);
        }
    }
    for (name, change) in changes.iter().filter(|(name, _)| !name.starts_with('$')) {
        if change.is_null() {
            all.remove(name);
            continue;
        }
        let inner = schema.field(name).unwrap_or(&ANY);
        let merged = match (all.remove(name), change) {
            (Some(old), Value::Object(_)) if old.is_object() => merge(inner, old, change)?,
            (Some(Value::Array(old)), Value::Array(items)) => merge_list(inner, old, items)?,
            (_, Value::Object(_)) => merge(inner, Value::Object(Map::new()), change)?,
            (_, Value::Array(items)) => merge_list(inner, Vec::new(), items)?,
            (_, scalar) => scalar.clone(),
        };
        all.insert(name.clone(), merged);
    }
    for (name, order) in changes {
        if let Some(list) = name.strip_prefix("$setElementOrder/") {
            sort(schema, &mut all, list, order);
        }
    }
    Ok(Value::Object(all))
}

fn remove_from(all: &mut Map<String, Value>, list: &str, gone: &Value) {
    let gone = gone.as_array().map_or(&[][..], Vec::as_slice);
    if let Some(items) = all.get_mut(list).and_then(Value::as_array_mut) {
        items.retain(|item| !gone.contains(item));
    }
}

fn merge_list(schema: &Schema, old: Vec<Value>, items: &[Value]) -> Result<Value, Refusal> {
    let Shape::List(list) = &schema.shape else {
        return Ok(Value::Array(items.to_vec()));
    };
    let mut all = old;
    match (&list.merge_key, &list.identity) {
        (Some(key), _) => {
            if items.iter().any(|item| item["$patch"] == "replace") {
                let rest = items.iter().filter(|item| item.get("$patch").is_none());
                return Ok(Value::Array(rest.cloned().collect()));
            }
            for item in items {
                let at = all.iter().position(|old| old.get(key) == item.get(key));
                let deleted = item["$patch"] == "delete";
                match at {
                    Some(at) if deleted => drop(all.remove(at)),
                    Some(at) => {
                        let old = std::mem::take(&mut all[at]);
                        all[at] = merge(&list.items, old, item)?;
                    }
                    None if deleted => {}
                    None => all.push(merge(&list.items, Value::Object(Map::new()), item)?),
                }
            }
        }
        (None, Identity::Set) => {
            for item in items {
                if !all.contains(item) {
                    all.push(item.clone());
                }
            }
        }
        (None, Identity::Atomic | Identity::Keys(_)) => all = items.to_vec(),
    }
    Ok(Value::Array(all))
}

/// Puts the items of a list in the order that the patch asks for; others stay at its end.
fn sort(schema: &Schema, all: &mut Map<String, Value>, list: &str, order: &Value) {
    let key = match schema.field(list).map(|field| &field.shape) {
        Some(Shape::List(list)) => list.merge_key.as_deref(),
        _ => None,
    };
    let order = order.as_array().map_or(&[][..], Vec::as_slice);
    if let Some(items) = all.get_mut(list).and_then(Value::as_array_mut) {
        items.sort_by_key(|item| {
            let place = order.iter().position(|wanted| match key {
                Some(key) => wanted.get(key) == item.get(key),
                None => wanted == item,
            });
            place.unwrap_or(order.len())
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube::kinds::builtin;

    #[test]
    fn ports_of_a_service_are_merged_by_their_number() {
        let kinds = builtin::all().unwrap();
        let service = kinds.iter().find(|kind| kind.kind == "Service").unwrap();
        let old = json!({"spec": {"type": "ClusterIP", "ports": [
            {"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}});
        let patch = json!({"spec": {
            "type": null,
            "$setElementOrder/ports": [{"port": 82}, {"port": 80}],
            "ports": [{"port": 80, "name": "c"}, {"port": 81, "$patch": "delete"}, {"port": 82}],
        }});
        let new = merge(&service.storage().schema, old, &patch).unwrap();
        assert_eq!(
            new,
            json!({"spec": {"ports": [{"port": 82}, {"port": 80, "name": "c"}]}})
        );
    }

    #[test]
    fn finalizers_are_a_set() {
        let kinds = builtin::all().unwrap();
        let map = kinds.iter().find(|kind| kind.kind == "ConfigMap").unwrap();
        let old = json!({"metadata": {"finalizers": ["a/b", "a/c"]}});
        let patch = json!({"metadata": {
            "finalizers": ["a/d"], "$deleteFromPrimitiveList/finalizers": ["a/b"]}});
        let new = merge(&map.storage().schema, old, &patch).unwrap();
        assert_eq!(new["metadata"]["finalizers"], json!(["a/c", "a/d"]));
    }
}
