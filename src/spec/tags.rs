//! What a scalar means, by its quotes and its tag.
//!
//! Of tags only those of the YAML 1.2 core schema are known: the types that JSON has.

use saphyr_parser::{ScalarStyle, Tag};

use super::plain::{self, Unusable};
use super::tree::Value;

/// What is wrong with a scalar or a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mistake {
    /// The tag is none of the core schema, or none for such a value.
    #[error("the tag `{0}` is not supported here")]
    Unknown(String),
    /// The text is not what its tag says.
    #[error("{text:?} is no `!!{tag}`")]
    Contradicted {
        /// The text.
        text: String,
        /// The tag.
        tag: String,
    },
    /// JSON has no such value.
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

impl Mistake {
    /// Returns what to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unknown(_) | Self::Contradicted { .. } => "remove the tag",
            Self::Unusable(_) => "put it in quotes if it is meant as text",
        }
    }
}

/// Returns the value of a scalar; with a mistake it is the text as it stands.
pub(super) fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
) -> (Value, Option<Mistake>) {
    let as_text = || Value::Text(text.to_owned());
    let tag = match tag {
        None if style == ScalarStyle::Plain => None,
        None => return (as_text(), None),
        // The tag `!` alone says: not what the plain rules make of it.
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => return (as_text(), None),
        Some(tag) => match core(tag) {
            Some("str") => return (as_text(), None),
            Some(name @ ("int" | "float" | "bool" | "null")) => Some(name),
            Some(_) | None => return (as_text(), Some(Mistake::Unknown(shown(tag)))),
        },
    };
    match (plain::resolve(text), tag) {
        (Err(unusable), _) => (as_text(), Some(unusable.into())),
        (Ok(value), Some(tag)) if !fits(tag, &value) => {
            let (text, tag) = (text.to_owned(), tag.to_owned());
            (as_text(), Some(Mistake::Contradicted { text, tag }))
        }
        (Ok(value), _) => (value, None),
    }
}

/// Judges the tag of a map or list, whose `own` tag is `map` or `seq`.
pub(super) fn container(tag: &Tag, own: &str) -> Option<Mistake> {
    (core(tag) != Some(own)).then(|| Mistake::Unknown(shown(tag)))
}

fn core(tag: &Tag) -> Option<&str> {
    tag.is_yaml_core_schema().then_some(tag.suffix.as_str())
}

fn shown(tag: &Tag) -> String {
    match core(tag) {
        Some(name) => format!("!!{name}"),
        None => format!("{}{}", tag.handle, tag.suffix),
    }
}

fn fits(tag: &str, value: &Value) -> bool {
    match value {
        Value::Null => tag == "null",
        Value::Bool(_) => tag == "bool",
        Value::Number(number, _) => tag == "float" || (tag == "int" && !number.is_f64()),
        Value::Text(_) | Value::List(_) | Value::Map(_) => false,
    }
}
