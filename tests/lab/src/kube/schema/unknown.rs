//! The fields of an object that its schema does not know.

use serde_json::Value;

use super::{Schema, Shape};

/// Takes the unknown fields out of a value, and returns their paths, such as `spec.ports[0].x`.
pub fn prune(schema: &Schema, value: &mut Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(schema, value, "", &mut found);
    found
}

fn walk(schema: &Schema, value: &mut Value, path: &str, found: &mut Vec<String>) {
    match (&schema.shape, value) {
        (Shape::Object(_), Value::Object(fields)) => {
            fields.retain(|name, value| {
                let path = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                match schema.field(name) {
                    Some(field) => {
                        walk(field, value, &path, found);
                        true
                    }
                    None => {
                        found.push(path);
                        false
                    }
                }
            });
        }
        (Shape::List(list), Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(&list.items, item, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// Sets what is left out of a value and has a default.
pub fn set_defaults(schema: &Schema, value: &mut Value) {
    match (&schema.shape, value) {
        (Shape::Object(object), Value::Object(fields)) => {
            for (name, field) in &object.fields {
                if let Some(default) = &field.default {
                    let absent = fields.get(name).is_none_or(Value::is_null) && !field.nullable;
                    if absent {
                        fields.insert(name.clone(), default.clone());
                    }
                }
            }
            for (name, value) in fields {
                if let Some(field) = schema.field(name) {
                    set_defaults(field, value);
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for item in items {
                set_defaults(&list.items, item);
            }
        }
        _ => {}
    }
}
