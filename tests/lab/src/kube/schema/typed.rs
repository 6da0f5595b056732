//! Whether what is applied fits its schema at all, in the words of structured-merge-diff.
//!
//! Server-side apply reads its body by the schema before it merges it, and answers what does
//! not fit with code 500 and the text that [`faults`] makes
//! (<https://github.com/kubernetes-sigs/structured-merge-diff/blob/master/typed/validate.go>).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Identity, Schema, Shape};
use crate::kube::fields::Step;

/// Returns everything about a value that its schema has no place for, as one text; `None` when
/// it fits.
pub fn faults(schema: &Schema, value: &Value) -> Option<String> {
    let mut found = Vec::new();
    walk(schema, value, "", &mut found);
    match found.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("errors:\n  {}", many.join("\n  "))),
    }
}

fn walk(schema: &Schema, value: &Value, path: &str, found: &mut Vec<String>) {
    let mut say = |text: String| found.push(format!("{path}: {text}"));
    match (&schema.shape, value) {
        (_, Value::Null) | (Shape::Any, _) => {}
        (Shape::String, Value::String(_)) => {}
        (Shape::Integer | Shape::Number, Value::Number(_)) => {}
        (Shape::Boolean, Value::Bool(_)) => {}
        (Shape::IntOrString, Value::String(_) | Value::Number(_) | Value::Bool(_)) => {}
        (Shape::Object(_), Value::Object(fields)) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match schema.field(name) {
                    Some(field) => walk(field, value, &path, found),
                    None => found.push(format!("{path}: field not declared in schema")),
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let path = match step_of(&list.identity, &list.items, item, index) {
                    Ok(step) => {
                        let path = format!("{path}{step}");
                        let told_apart = list.identity != Identity::Atomic;
                        if told_apart && !seen.insert(step.clone()) {
                            found.push(format!("{path}: duplicate entries for key {step}"));
                        }
                        path
                    }
                    Err(why) => {
                        found.push(format!("{path}: element {index}: {why}"));
                        continue;
                    }
                };
                walk(&list.items, item, &path, found);
            }
        }
        (Shape::String, got) => say(format!(
            "expected string, got &value.valueUnstructured{{Value:{}}}",
            go(got)
        )),
        (Shape::Integer | Shape::Number, got) => say(format!(
            "expected numeric (int or float), got {}",
            go_type(got)
        )),
        (Shape::Boolean, got) => say(format!("expected boolean, got &{{{}}}", go(got))),
        (Shape::IntOrString, got) => say(format!("expected any scalar, got &{{{}}}", go(got))),
        (Shape::Object(_), got) => say(format!("expected map, got &{{{}}}", go(got))),
        (Shape::List(_), got) => say(format!("expected list, got &{{{}}}", go(got))),
    }
}

/// Returns how an item of a list is called in a path.
///
/// # Errors
///
/// The text of why it cannot be told from others.
pub fn step_of(
    identity: &Identity,
    schema: &Schema,
    item: &Value,
    index: usize,
) -> Result<Step, String> {
    match identity {
        Identity::Atomic => Ok(Step::Index(index)),
        Identity::Set => match item {
            Value::Object(_) | Value::Array(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            scalar => Ok(Step::Value(scalar.to_string())),
        },
        Identity::Keys(keys) => {
            let Value::Object(fields) = item else {
                return Err("associative list with keys may not have non-map elements".to_owned());
            };
            let mut parts = serde_json::Map::new();
            for key in keys {
                let default = schema.field(key).and_then(|field| field.default.as_ref());
                if let Some(value) = fields.get(key).filter(|v| !v.is_null()).or(default) {
                    parts.insert(key.clone(), value.clone());
                }
            }
            if parts.is_empty() {
                return Err(format!(
                    "associative list with keys has an element that omits key field {:?} (and \
                     doesn't have default value)",
                    keys.first().map_or("", String::as_str)
                ));
            }
            Ok(Step::Key(Value::Object(parts).to_string()))
        }
    }
}

/// Returns a value as Go's `%#v` writes it.
fn go(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(k, v)| format!("{k:?}:{}", go(v)))
                .collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
    }
}

/// Returns the type of a value as Go's `%T` writes it.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
