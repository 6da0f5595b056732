//! From a value to the set of its fields, and values without some of their fields.

use serde_json::{Map, Value};

use super::{FieldSet, Step};
use crate::kube::schema::typed::step_of;
use crate::kube::schema::{ANY, Identity, Schema, Shape};

/// How a value is owned.
pub enum Form<'a> {
    /// As one.
    Leaf,
    /// Name by name.
    Map(&'a Map<String, Value>),
    /// Item by item.
    List(&'a [Value], &'a Schema, &'a Identity),
}

/// Returns how a value is owned under a schema.
pub fn form<'a>(schema: &'a Schema, value: &'a Value) -> Form<'a> {
    match (&schema.shape, value) {
        (Shape::Object(object), Value::Object(_)) if object.atomic => Form::Leaf,
        (Shape::Object(_) | Shape::Any, Value::Object(fields)) => Form::Map(fields),
        (Shape::List(list), Value::Array(items)) if list.identity != Identity::Atomic => {
            Form::List(items, &list.items, &list.identity)
        }
        _ => Form::Leaf,
    }
}

/// Returns the items of a list with their steps. Those that cannot be told apart are called by
/// their place.
pub fn steps<'a>(
    items: &'a [Value],
    schema: &'a Schema,
    identity: &'a Identity,
) -> impl Iterator<Item = (Step, &'a Value)> {
    items.iter().enumerate().map(move |(index, item)| {
        let step = step_of(identity, schema, item, index);
        (step.unwrap_or(Step::Index(index)), item)
    })
}

/// Returns the fields of a value, as an applier owns them.
pub fn fields_of(schema: &Schema, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    match form(schema, value) {
        Form::Leaf => {}
        Form::Map(fields) => {
            for (name, value) in fields {
                let step = Step::Field(name.clone());
                let inner = schema.field(name).unwrap_or(&ANY);
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if empty || !schema.names(name) || matches!(form(inner, value), Form::Leaf) {
                    set.insert(std::slice::from_ref(&step));
                }
                set.graft(step, fields_of(inner, value));
            }
        }
        Form::List(items, inner, identity) => {
            for (step, item) in steps(items, inner, identity) {
                set.insert(std::slice::from_ref(&step));
                set.graft(step, fields_of(inner, item));
            }
        }
    }
    set
}

/// Returns a value without the fields of a set; `None` when nothing is left of it.
pub fn without(schema: &Schema, value: &Value, gone: &FieldSet) -> Option<Value> {
    match form(schema, value) {
        Form::Leaf => Some(value.clone()),
        Form::Map(fields) => {
            let mut left = Map::new();
            for (name, value) in fields {
                let step = Step::Field(name.clone());
                if gone.has(&step) {
                    continue;
                }
                let value = match gone.below(&step) {
                    Some(gone) => without(schema.field(name).unwrap_or(&ANY), value, gone),
                    None => Some(value.clone()),
                };
                if let Some(value) = value {
                    left.insert(name.clone(), value);
                }
            }
            (!left.is_empty() || fields.is_empty()).then_some(Value::Object(left))
        }
        Form::List(items, inner, identity) => {
            let left: Vec<Value> = steps(items, inner, identity)
                .filter(|(step, _)| !gone.has(step))
                .filter_map(|(step, item)| match gone.below(&step) {
                    Some(gone) => without(inner, item, gone),
                    None => Some(item.clone()),
                })
                .collect();
            (!left.is_empty() || items.is_empty()).then_some(Value::Array(left))
        }
    }
}
