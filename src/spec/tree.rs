//! The fleet file as a tree that remembers where every value came from.
//!
//! All stages before the typed model work on it: merging, variables, defaults, checks of
//! shape. Maps are kept by key, since nothing in a fleet file depends on their order.
//!
//! Invariant: every node has the span of the text that it was read from, in its own file,
//! also after merging. A node made by a variable has the span where the variable is used.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Number;

use super::place::{At, Mark};
use super::words::quoted;

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The value.
    pub value: Value,
    /// Where it is written.
    pub mark: Mark,
    /// How the value came to be, when the text at the span does not say it.
    pub origin: Option<Arc<str>>,
    /// Whether a problem was reported here, so that the value means nothing.
    pub broken: bool,
}

/// A value of the YAML 1.2 core schema that JSON has too.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, and how it was written: `1.30` is not `1.3` when it becomes part of a text.
    Number(Number, String),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map.
    Map(Map),
}

/// The entries of a map, by key.
pub(super) type Map = BTreeMap<String, Entry>;

/// A value of a map, with its key's span.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key is written.
    pub key: Mark,
    /// The value.
    pub node: Node,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

impl Node {
    /// Makes a node as it was read.
    pub fn new(value: Value, mark: Mark) -> Self {
        Self {
            value,
            mark,
            origin: None,
            broken: false,
        }
    }

    /// Returns the entries, when it is a map.
    pub fn map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            Value::Null | Value::Bool(_) | Value::Number(..) | Value::Text(_) | Value::List(_) => {
                None
            }
        }
    }

    /// Returns the entries, when it is a map.
    pub fn map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            Value::Null | Value::Bool(_) | Value::Number(..) | Value::Text(_) | Value::List(_) => {
                None
            }
        }
    }

    /// Returns an entry, when it is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.map()?.get(key)
    }

    /// Returns the node at a path of keys and list positions.
    pub fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| {
            node.child(step.as_ref()).map(|(_, child)| child)
        })
    }

    fn child(&self, step: &str) -> Option<(Option<Mark>, &Self)> {
        match &self.value {
            Value::Map(map) => map.get(step).map(|entry| (Some(entry.key), &entry.node)),
            Value::List(items) => {
                let index: usize = step.parse().ok()?;
                items.get(index).map(|item| (None, item))
            }
            Value::Null | Value::Bool(_) | Value::Number(..) | Value::Text(_) => None,
        }
    }

    /// Returns whether this value is a map or a list.
    pub fn is_container(&self) -> bool {
        match self.value {
            Value::Map(_) | Value::List(_) => true,
            Value::Null | Value::Bool(_) | Value::Number(..) | Value::Text(_) => false,
        }
    }

    /// Returns whether a problem was reported at this value or inside it.
    pub fn has_broken(&self) -> bool {
        self.broken
            || match &self.value {
                Value::Map(map) => map.values().any(|entry| entry.node.has_broken()),
                Value::List(items) => items.iter().any(Self::has_broken),
                Value::Null | Value::Bool(_) | Value::Number(..) | Value::Text(_) => false,
            }
    }

    /// Returns the value as JSON.
    pub fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Number(number, _) => serde_json::Value::Number(number.clone()),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::json).collect(),
            Value::Map(map) => map
                .iter()
                .map(|(key, entry)| (key.clone(), entry.node.json()))
                .collect(),
        }
    }

    /// Returns what a person would call the value, such as `string "three"`.
    pub fn described(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(flag) => format!("boolean {flag}"),
            Value::Number(number, written) if number.is_f64() => format!("number {written}"),
            Value::Number(_, written) => format!("integer {written}"),
            Value::Text(text) => format!("string {}", quoted(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// Returns about how many bytes of memory a copy takes.
    pub fn weight(&self) -> usize {
        const NODE: usize = 64;
        NODE + match &self.value {
            Value::Null | Value::Bool(_) => 0,
            Value::Number(_, text) | Value::Text(text) => text.len(),
            Value::List(items) => items.iter().map(Self::weight).sum(),
            Value::Map(map) => map
                .iter()
                .map(|(key, entry)| key.len() + entry.node.weight())
                .sum(),
        }
    }

    /// Returns how many levels of maps and lists it has.
    pub fn depth(&self) -> usize {
        match &self.value {
            Value::Null | Value::Bool(_) | Value::Number(..) | Value::Text(_) => 0,
            Value::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Map(map) => {
                let depths = map.values().map(|entry| entry.node.depth());
                1 + depths.max().unwrap_or(0)
            }
        }
    }

    /// Removes what is null from all maps: null means absent.
    pub fn drop_nulls(&mut self) {
        match &mut self.value {
            Value::Map(map) => {
                map.retain(|_, entry| entry.node.value != Value::Null);
                for entry in map.values_mut() {
                    entry.node.drop_nulls();
                }
            }
            Value::List(items) => items.iter_mut().for_each(Self::drop_nulls),
            Value::Null | Value::Bool(_) | Value::Number(..) | Value::Text(_) => {}
        }
    }

    /// Returns where the value at a path is, or else the nearest of its parents.
    ///
    /// A map or list is shown by its key, a scalar by itself.
    pub fn locate<S: AsRef<str>>(&self, path: &[S]) -> At {
        let mut node = self;
        let mut key = None;
        let mut at_root = true;
        for step in path {
            let Some((child_key, child)) = node.child(step.as_ref()) else {
                break;
            };
            (node, key, at_root) = (child, child_key, false);
        }
        let mark = match key {
            _ if at_root => self.mark.begin(),
            Some(key) if node.is_container() || node.mark.is_empty() => key,
            Some(_) | None => node.mark,
        };
        At {
            mark,
            field: dotted(path),
        }
    }

    /// Returns where the last key of a path is, or else the nearest of its parents.
    pub fn locate_key<S: AsRef<str>>(&self, path: &[S]) -> At {
        let parent = path
            .split_last()
            .and_then(|(last, parents)| Some((last, self.at(parents)?)));
        match parent.and_then(|(last, parent)| parent.get(last.as_ref())) {
            Some(entry) => At {
                mark: entry.key,
                field: dotted(path),
            },
            None => self.locate(path),
        }
    }
}

/// Joins a path for people.
pub(super) fn dotted<S: AsRef<str>>(path: &[S]) -> String {
    let steps: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
    steps.join(".")
}

/// Counts down how much may be copied by a file's own instructions, so that a short file
/// cannot ask for all memory there is.
#[derive(Debug)]
pub(super) struct Allowance(usize);

impl Allowance {
    /// Copies that a fleet file of any honest size stays far below, in bytes.
    pub const BYTES: usize = 64 << 20;

    /// Starts with everything allowed.
    pub fn new() -> Self {
        Self(Self::BYTES)
    }

    /// Takes a copy of this weight; false when it is more than what is left.
    pub fn take(&mut self, weight: usize) -> bool {
        let left = self.0.checked_sub(weight);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::Files;
    use super::super::problems::Problems;
    use super::super::{Source, yaml};
    use super::*;

    fn read(text: &str) -> Node {
        let name = "f".to_owned();
        let text = text.to_owned();
        let source = Source { name, text };
        let files = Arc::new(Files::new([&source]));
        yaml::read(0, &source.text, &mut Problems::new(files)).unwrap()
    }

    #[test]
    fn a_missing_path_falls_back_to_its_parent() {
        let root = read("a:\n  b: [x, {c: 1}]\n");
        assert_eq!(root.locate(&["a", "b", "1", "c"]).mark.start, 16);
        assert_eq!(root.locate(&["a", "b", "1", "d"]).mark.start, 12);
        assert_eq!(root.locate(&["a", "b", "7"]).mark.start, 5);
        assert_eq!(root.locate(&["a", "z"]).mark.start, 0);
        let top = root.locate(&["z"]);
        assert!(top.mark.is_empty() && top.field == "z");
    }

    #[test]
    fn null_means_absent() {
        let mut root = read("a: {b: null, c: [{d: ~}]}\n");
        root.drop_nulls();
        assert_eq!(root.json(), serde_json::json!({"a": {"c": [{}]}}));
    }

    #[test]
    fn an_allowance_ends() {
        let mut allowance = Allowance::new();
        assert!(allowance.take(Allowance::BYTES));
        assert!(!allowance.take(1));
    }
}
