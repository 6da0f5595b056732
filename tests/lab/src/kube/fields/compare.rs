//! What differs between two versions of an object, as sets of fields.

use std::collections::BTreeMap;

use serde_json::Value;

use super::value::{Form, form, steps};
use super::{FieldSet, Step};
use crate::kube::schema::{ANY, Schema};

/// What differs.
#[derive(Debug, Default)]
pub struct Difference {
    /// What is new.
    pub added: FieldSet,
    /// What has another value.
    pub modified: FieldSet,
    /// What is gone.
    pub removed: FieldSet,
}

/// Compares two versions of a value. What is null counts as a value, as the server has it.
pub fn compare(schema: &Schema, old: &Value, new: &Value) -> Difference {
    let mut found = Difference::default();
    walk(schema, Some(old), Some(new), &mut Vec::new(), &mut found);
    found
}

fn walk(
    schema: &Schema,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<Step>,
    found: &mut Difference,
) {
    match (old, new) {
        (None, None) => return,
        (None, Some(_)) => found.added.insert(path),
        (Some(_), None) => found.removed.insert(path),
        (Some(old), Some(new)) if old == new => return,
        (Some(_), Some(_)) => {}
    }
    let forms = (
        old.map(|old| form(schema, old)),
        new.map(|new| form(schema, new)),
    );
    match forms {
        (Some(Form::Leaf), Some(_)) | (Some(_), Some(Form::Leaf)) => found.modified.insert(path),
        (Some(Form::Leaf), None) | (None, Some(Form::Leaf)) | (None, None) => {}
        (old, new) => {
            let mut both: BTreeMap<Step, (Option<&Value>, Option<&Value>)> = BTreeMap::new();
            for (step, value) in old.iter().flat_map(children) {
                both.entry(step).or_default().0 = Some(value);
            }
            for (step, value) in new.iter().flat_map(children) {
                both.entry(step).or_default().1 = Some(value);
            }
            for (step, (old, new)) in both {
                let inner = match &step {
                    Step::Field(name) => schema.field(name).unwrap_or(&ANY),
                    Step::Key(_) | Step::Value(_) | Step::Index(_) => schema.items().0,
                };
                path.push(step);
                walk(inner, old, new, path, found);
                path.pop();
            }
        }
    }
}

fn children<'a>(form: &Form<'a>) -> Vec<(Step, &'a Value)> {
    match form {
        Form::Leaf => Vec::new(),
        Form::Map(fields) => {
            let fields = fields.iter();
            fields
                .map(|(name, value)| (Step::Field(name.clone()), value))
                .collect()
        }
        Form::List(items, schema, identity) => steps(items, schema, identity).collect(),
    }
}
