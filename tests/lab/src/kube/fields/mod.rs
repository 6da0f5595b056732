//! Sets of fields, and who owns them: the heart of server-side apply.
//!
//! This is the algebra of structured-merge-diff, step for step, since ownership shows in every
//! object (<https://github.com/kubernetes-sigs/structured-merge-diff>). Pure.
//!
//! Invariant: a set has no empty child.

pub mod apply;
pub mod compare;
pub mod managers;
pub mod merge;
pub mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::kube::schema::Schema;

/// One step of a path into an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The field of this name.
    Field(String),
    /// The list item with these keys, as JSON text.
    Key(String),
    /// The item of a set with this value, as JSON text.
    Value(String),
    /// The item at this place.
    Index(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: BTreeMap<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                write!(f, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl Step {
    fn to_key(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => format!("k:{keys}"),
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    fn from_key(key: &str) -> Result<Self, BadFields> {
        let bad = || BadFields(key.to_owned());
        let (kind, rest) = key.split_once(':').ok_or_else(bad)?;
        Ok(match kind {
            "f" => Self::Field(rest.to_owned()),
            "k" => {
                // Read and written again, so that equal keys are equal texts.
                let keys: BTreeMap<String, Value> =
                    serde_json::from_str(rest).map_err(|_| bad())?;
                let keys: Map<String, Value> = keys.into_iter().collect();
                Self::Key(Value::Object(keys).to_string())
            }
            "v" => {
                let value: Value = serde_json::from_str(rest).map_err(|_| bad())?;
                Self::Value(value.to_string())
            }
            "i" => Self::Index(rest.parse().map_err(|_| bad())?),
            _ => return Err(bad()),
        })
    }
}

/// A key of `fieldsV1` that is none.
#[derive(Debug, Error)]
#[error("{0:?} is no key of fieldsV1")]
pub struct BadFields(String);

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet {
    members: BTreeSet<Step>,
    children: BTreeMap<Step, FieldSet>,
}

impl FieldSet {
    /// Returns whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.is_empty()
    }

    /// Adds a path.
    pub fn insert(&mut self, path: &[Step]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Returns whether the path of this one step is in it.
    pub fn has(&self, step: &Step) -> bool {
        self.members.contains(step)
    }

    /// Returns what is in it below a step.
    pub fn below(&self, step: &Step) -> Option<&FieldSet> {
        self.children.get(step)
    }

    /// Puts a set below a step.
    pub fn graft(&mut self, step: Step, set: FieldSet) {
        if !set.is_empty() {
            self.children.insert(step, set);
        }
    }

    /// Returns what is in either.
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.members.extend(other.members.iter().cloned());
        for (step, set) in &other.children {
            let own = all.children.entry(step.clone()).or_default();
            *own = own.union(set);
        }
        all
    }

    /// Returns what is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let children = self.children.iter().filter_map(|(step, set)| {
            let both = set.intersection(other.children.get(step)?);
            (!both.is_empty()).then(|| (step.clone(), both))
        });
        Self {
            members: self.members.intersection(&other.members).cloned().collect(),
            children: children.collect(),
        }
    }

    /// Returns what is in this one alone.
    pub fn difference(&self, other: &Self) -> Self {
        let children = self.children.iter().filter_map(|(step, set)| {
            let left = match other.children.get(step) {
                Some(other) => set.difference(other),
                None => set.clone(),
            };
            (!left.is_empty()).then(|| (step.clone(), left))
        });
        Self {
            members: self.members.difference(&other.members).cloned().collect(),
            children: children.collect(),
        }
    }

    /// Returns what is in this one alone, and below nothing that the other has.
    pub fn recursive_difference(&self, other: &Self) -> Self {
        let children = self.children.iter().filter_map(|(step, set)| {
            if other.members.contains(step) {
                return None;
            }
            let left = match other.children.get(step) {
                Some(other) => set.recursive_difference(other),
                None => set.clone(),
            };
            (!left.is_empty()).then(|| (step.clone(), left))
        });
        Self {
            members: self.members.difference(&other.members).cloned().collect(),
            children: children.collect(),
        }
    }

    /// Returns the set with every field that the schema spells out and that has something below
    /// it in it as a member.
    pub fn with_named_parents(&self, schema: &Schema) -> Self {
        let mut members = self.members.clone();
        let children = self.children.iter().map(|(step, set)| {
            let inner = match step {
                Step::Field(name) => {
                    if schema.names(name) {
                        members.insert(step.clone());
                    }
                    schema.field(name)
                }
                Step::Key(_) | Step::Value(_) | Step::Index(_) => Some(schema.items().0),
            };
            let inner = inner.unwrap_or(&crate::kube::schema::ANY);
            (step.clone(), set.with_named_parents(inner))
        });
        let children = children.collect();
        Self { members, children }
    }

    /// Returns every path in it, parents first.
    pub fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect_paths("", &mut found);
        found
    }

    fn collect_paths(&self, prefix: &str, found: &mut Vec<String>) {
        found.extend(self.members.iter().map(|step| format!("{prefix}{step}")));
        for (step, set) in &self.children {
            set.collect_paths(&format!("{prefix}{step}"), found);
        }
    }

    /// Returns the set as `fieldsV1`.
    pub fn to_fields(&self) -> Value {
        let mut fields = Map::new();
        for step in &self.members {
            fields.insert(step.to_key(), Value::Object(Map::new()));
        }
        for (step, set) in &self.children {
            let mut inner = set.to_fields();
            if self.members.contains(step)
                && let Some(inner) = inner.as_object_mut()
            {
                inner.insert(".".to_owned(), Value::Object(Map::new()));
            }
            fields.insert(step.to_key(), inner);
        }
        Value::Object(fields)
    }

    /// Reads a set from `fieldsV1`.
    ///
    /// # Errors
    ///
    /// When a key is none.
    pub fn from_fields(fields: &Value) -> Result<Self, BadFields> {
        let mut set = Self::default();
        for (key, inner) in fields.as_object().into_iter().flatten() {
            if key == "." {
                continue;
            }
            let step = Step::from_key(key)?;
            let below = Self::from_fields(inner)?;
            let itself = below.is_empty() || inner.get(".").is_some();
            if itself {
                set.members.insert(step.clone());
            }
            set.graft(step, below);
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(fields: Value) -> FieldSet {
        FieldSet::from_fields(&fields).unwrap()
    }

    #[test]
    fn a_set_is_the_same_written_and_read() {
        let fields = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:finalizers": {"v:\"a/b\"": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}},
        });
        assert_eq!(set(fields.clone()).to_fields(), fields);
        // However the keys of an item are ordered, they are the same.
        let other = r#"k:{"protocol":"TCP","port":80}"#;
        let other = set(json!({"f:spec": {"f:ports": {other: {".": {}, "f:port": {}}}}}));
        assert_eq!(set(fields).intersection(&other), other);
        for bad in ["x", "g:a", "k:a", "i:a"] {
            assert!(FieldSet::from_fields(&json!({bad: {}})).is_err(), "{bad}");
        }
    }

    #[test]
    fn sets_are_added_and_taken_away() {
        let a = set(json!({"f:a": {".": {}, "f:x": {}, "f:y": {}}, "f:b": {}}));
        let b = set(json!({"f:a": {".": {}, "f:x": {}}, "f:c": {}}));
        assert_eq!(
            a.difference(&b),
            set(json!({"f:a": {"f:y": {}}, "f:b": {}}))
        );
        assert_eq!(a.recursive_difference(&b), set(json!({"f:b": {}})));
        assert_eq!(
            a.intersection(&b),
            set(json!({"f:a": {".": {}, "f:x": {}}}))
        );
        assert_eq!(a.union(&b).difference(&a), set(json!({"f:c": {}})));
        assert!(a.difference(&a).is_empty());
    }

    #[test]
    fn paths_are_told_as_the_server_does() {
        let fields = json!({"f:p": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {"f:name": {}}},
                            "f:s": {"v:\"a\"": {}}});
        let told = set(fields).paths();
        assert_eq!(told, [".p[port=80,protocol=\"TCP\"].name", ".s[=\"a\"]"]);
    }
}
