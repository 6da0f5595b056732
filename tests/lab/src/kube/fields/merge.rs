//! What is live with what is applied laid over it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::value::{Form, form, steps};
use super::{FieldSet, Step};
use crate::kube::schema::{ANY, Identity, Schema};

/// Lays an applied value over a live one.
pub fn merge(schema: &Schema, live: &Value, applied: &Value) -> Value {
    match (form(schema, live), form(schema, applied)) {
        (Form::Map(live), Form::Map(applied)) => {
            let mut all = live.clone();
            for (name, value) in applied {
                let inner = schema.field(name).unwrap_or(&ANY);
                let merged = match live.get(name) {
                    Some(live) => merge(inner, live, value),
                    None => value.clone(),
                };
                all.insert(name.clone(), merged);
            }
            Value::Object(all)
        }
        (Form::List(live, inner, identity), Form::List(applied, ..)) => {
            Value::Array(merge_lists(inner, identity, live, applied))
        }
        _ => applied.clone(),
    }
}

/// Items keep the order in which they are applied; what is only live stays before what it was
/// before.
fn merge_lists(
    schema: &Schema,
    identity: &Identity,
    live: &[Value],
    applied: &[Value],
) -> Vec<Value> {
    let wanted: BTreeMap<Step, usize> = steps(applied, schema, identity)
        .enumerate()
        .map(|(place, (step, _))| (step, place))
        .collect();
    let mut rest = steps(live, schema, identity).peekable();
    let old: BTreeMap<Step, &Value> = steps(live, schema, identity).collect();
    let mut all = Vec::with_capacity(live.len().max(applied.len()));
    for (step, value) in steps(applied, schema, identity) {
        // What is only live comes as early as it can; what is moved is taken out of the way.
        while let Some((at, item)) = rest.peek() {
            match wanted.get(at) {
                None => all.push((*item).clone()),
                Some(place) if *place > wanted[&step] => break,
                Some(_) => {}
            }
            rest.next();
        }
        all.push(match old.get(&step) {
            Some(live) => merge(schema, live, value),
            None => value.clone(),
        });
    }
    all.extend(
        rest.filter(|(step, _)| !wanted.contains_key(step))
            .map(|(_, item)| item.clone()),
    );
    all
}

/// Returns a value without what is null in it, but in lists.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            let fields: Map<String, Value> = fields
                .map(|(name, value)| (name, without_nulls(value)))
                .collect();
            Value::Object(fields)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        scalar => scalar,
    }
}

/// Returns a merged object without what the applier owned before and does not apply any more,
/// where nobody else owns it.
///
/// `last` is what it owned, `owned` what all managers own now, the applier with its new set.
pub fn prune(schema: &Schema, merged: Value, last: &FieldSet, owned: &FieldSet) -> Value {
    use super::value::{fields_of, without};

    if last.is_empty() {
        return merged;
    }
    let empty = || Value::Object(Map::new());
    let all = fields_of(schema, &merged).with_named_parents(schema);
    let last = last.with_named_parents(schema);
    let owned = owned.with_named_parents(schema);
    let set_of = |value: &Value| fields_of(schema, value).with_named_parents(schema);

    let pruned = without(schema, &merged, &last).unwrap_or_else(empty);
    // What others own comes back, with its parents.
    let gone = all.difference(&set_of(&pruned).union(&owned));
    let pruned = without(schema, &merged, &gone).unwrap_or_else(empty);
    // So does what was never the applier's: only its own is taken away.
    let gone = all.difference(&set_of(&pruned)).intersection(&last);
    without(schema, &merged, &gone).unwrap_or_else(empty)
}
