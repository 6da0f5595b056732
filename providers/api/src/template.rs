//! What a fleet's machines are made from, and how a machine differs from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scope::Scope;

/// What a machine is, by attribute, in the words of its provider's block.
pub type Attributes = BTreeMap<String, Value>;

/// The recipe of a fleet's machines: a provider's block, checked and with its defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Template {
    /// Where the machines are made.
    pub scope: Scope,
    /// The zones to spread over; never empty.
    pub zones: Vec<String>,
    /// The block itself, with defaults; what `create` works from.
    pub settings: Value,
    /// What a machine is compared with; a subset of the settings.
    pub attributes: Attributes,
}

/// What it takes to change an attribute of an existing machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mutability {
    /// Changes while the machine runs.
    InPlace,
    /// Changes on the same machine, which restarts for it.
    Restart,
    /// Only a new machine has it.
    Replace,
}

/// One attribute in which a machine is not what its template asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Difference {
    /// The attribute, as a dotted path.
    pub attribute: String,
    /// What the machine has, as JSON text; absent when it lacks the attribute.
    pub before: Option<String>,
    /// What the template asks for, as JSON text; absent when it must go.
    pub after: Option<String>,
    /// What it takes to change it.
    pub mutability: Mutability,
}

/// A problem in a provider's block, found by the provider itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The place in the block: keys and list positions from its top.
    pub path: Vec<String>,
    /// What is wrong, as a lowercase fragment.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Finding {
    /// Makes a finding at a dotted path.
    pub fn at(path: &str, message: impl Into<String>) -> Self {
        Self {
            path: path
                .split('.')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to write instead.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Template {
    /// Compares a machine attribute by attribute, for equality.
    ///
    /// `mutability` is asked only for attributes that differ. Attributes of the
    /// machine that the template does not mention are none of its business.
    pub fn differences(
        &self,
        machine: &Attributes,
        mutability: impl Fn(&str) -> Mutability,
    ) -> Vec<Difference> {
        self.attributes
            .iter()
            .filter(|(key, wanted)| machine.get(*key) != Some(wanted))
            .map(|(key, wanted)| Difference {
                attribute: key.clone(),
                before: machine.get(key).map(Value::to_string),
                after: Some(wanted.to_string()),
                mutability: mutability(key),
            })
            .collect()
    }
}

/// Flattens a JSON object into dotted leaf attributes; lists stay whole, nulls are left out.
pub fn flatten(settings: &Value) -> Attributes {
    fn walk(prefix: &str, value: &Value, out: &mut Attributes) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if prefix.is_empty() {
                        key.clone()
                    } else {
                        format!("{prefix}.{key}")
                    };
                    walk(&path, value, out);
                }
            }
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                out.insert(prefix.to_owned(), value.clone());
            }
        }
    }
    let mut out = Attributes::new();
    walk("", settings, &mut out);
    out
}
