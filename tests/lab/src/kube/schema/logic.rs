//! The combinations of fields that a schema allows: `oneOf`, `anyOf`, `allOf` and `not`.
//!
//! Inside these a structural schema may only ask which fields there are and what values they
//! have, so that is all there is here
//! (<https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>).

use std::collections::BTreeMap;

use serde_json::Value;

/// One demand on a value.
#[derive(Debug)]
pub enum Logic {
    /// Exactly one of these holds.
    OneOf(Vec<Vec<Logic>>),
    /// At least one of these holds.
    AnyOf(Vec<Vec<Logic>>),
    /// All of these hold.
    AllOf(Vec<Vec<Logic>>),
    /// These do not all hold.
    Not(Vec<Logic>),
    /// These fields are there.
    Required(Vec<String>),
    /// These fields, where they are there, are so.
    Properties(BTreeMap<String, Vec<Logic>>),
    /// The value is one of these.
    Values(Vec<Value>),
    /// The value is of this type.
    Type(String),
    /// A text has at most so many characters.
    MaxLength(usize),
    /// A number is at most this.
    Maximum(f64),
    /// A number is at least this.
    Minimum(f64),
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the combination {0} of a schema is not known")]
pub struct UnknownLogic(String);

/// Reads the combinations of a schema.
///
/// # Errors
///
/// When a word inside a combination is not known.
pub fn compile(schema: &Value) -> Result<Vec<Logic>, UnknownLogic> {
    let mut logic = Vec::new();
    for word in ["oneOf", "anyOf", "allOf", "not"] {
        if let Some(found) = schema.get(word) {
            logic.push(combination(word, found)?);
        }
    }
    Ok(logic)
}

fn combination(word: &str, found: &Value) -> Result<Logic, UnknownLogic> {
    let each = || {
        let parts = found.as_array().into_iter().flatten();
        parts.map(inner).collect::<Result<Vec<_>, _>>()
    };
    Ok(match word {
        "oneOf" => Logic::OneOf(each()?),
        "anyOf" => Logic::AnyOf(each()?),
        "allOf" => Logic::AllOf(each()?),
        "not" => Logic::Not(inner(found)?),
        other => return Err(UnknownLogic(other.to_owned())),
    })
}

fn inner(schema: &Value) -> Result<Vec<Logic>, UnknownLogic> {
    let unknown = || UnknownLogic(schema.to_string());
    let words = schema.as_object().ok_or_else(unknown)?;
    let texts = |value: &Value| -> Option<Vec<String>> {
        let texts = value.as_array()?.iter();
        texts.map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let mut logic = Vec::new();
    for (word, value) in words {
        logic.push(match word.as_str() {
            "oneOf" | "anyOf" | "allOf" | "not" => combination(word, value)?,
            "required" => Logic::Required(texts(value).ok_or_else(unknown)?),
            "enum" => Logic::Values(value.as_array().ok_or_else(unknown)?.clone()),
            "type" => Logic::Type(value.as_str().ok_or_else(unknown)?.to_owned()),
            "maxLength" => Logic::MaxLength(value.as_u64().ok_or_else(unknown)? as usize),
            "maximum" => Logic::Maximum(value.as_f64().ok_or_else(unknown)?),
            "minimum" => Logic::Minimum(value.as_f64().ok_or_else(unknown)?),
            "properties" => {
                let fields = value.as_object().ok_or_else(unknown)?;
                let fields = fields.iter().map(|(k, v)| Ok((k.clone(), inner(v)?)));
                Logic::Properties(fields.collect::<Result<_, UnknownLogic>>()?)
            }
            _ => return Err(unknown()),
        });
    }
    Ok(logic)
}

/// Returns whether demands all hold of a value.
pub fn hold(logic: &[Logic], value: &Value) -> bool {
    logic.iter().all(|part| part.holds(value))
}

impl Logic {
    /// Returns how many of the alternatives hold.
    pub fn holding(alternatives: &[Vec<Logic>], value: &Value) -> usize {
        alternatives.iter().filter(|one| hold(one, value)).count()
    }

    /// Returns whether a demand holds of a value. What is of another type is not its business.
    pub fn holds(&self, value: &Value) -> bool {
        match self {
            Self::OneOf(these) => Self::holding(these, value) == 1,
            Self::AnyOf(these) => Self::holding(these, value) > 0,
            Self::AllOf(these) => these.iter().all(|one| hold(one, value)),
            Self::Not(these) => !hold(these, value),
            Self::Required(names) => value
                .as_object()
                .is_none_or(|map| names.iter().all(|name| map.contains_key(name))),
            Self::Properties(fields) => fields
                .iter()
                .all(|(name, logic)| value.get(name).is_none_or(|value| hold(logic, value))),
            Self::Values(values) => values.contains(value),
            Self::Type(name) => is_of(name, value),
            Self::MaxLength(most) => value.as_str().is_none_or(|t| t.chars().count() <= *most),
            Self::Maximum(most) => value.as_f64().is_none_or(|n| n <= *most),
            Self::Minimum(least) => value.as_f64().is_none_or(|n| n >= *least),
        }
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Number(n) => name == "number" || name == "integer" && !n.is_f64(),
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    }
}
