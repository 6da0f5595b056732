//! Words for a single value that does not fit its schema.
//!
//! Pure text: places and structure are the business of [`super::shape`].

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, JsonTypeSet};
use serde_json::{Map, Value, json};

use crate::diag::{Code, Diagnostic};

use super::plain;
use super::tree::{Node, Value as Tree};
use super::words::{nearest, quoted};

/// Says why `node` does not fit the schema object `holder`.
pub(super) fn value(
    error: &ValidationError<'_>,
    node: &Node,
    holder: Option<&Map<String, Value>>,
) -> Diagnostic {
    let found = node.described();
    let described = holder
        .and_then(|schema| schema.get("description"))
        .and_then(Value::as_str)
        .map(summary);
    let (summary, hint) = match error.kind() {
        Kind::Type { kind } => {
            let types = match kind {
                TypeKind::Single(only) => JsonTypeSet::from(*only),
                TypeKind::Multiple(types) => *types,
            };
            let names: Vec<&str> = types.iter().map(type_name).collect();
            let summary = format!("expected {}, found {found}", names.join(" or "));
            (summary, rewritten(types, node, holder).or(described))
        }
        Kind::Enum { options } => {
            let options: Vec<String> = options
                .as_array()
                .into_iter()
                .flatten()
                .map(literal)
                .collect();
            return none_of(&options, node);
        }
        Kind::Constant { expected_value } => return none_of(&[literal(expected_value)], node),
        Kind::Pattern { pattern } => (format!("{found} does not match {pattern}"), described),
        Kind::Minimum { limit } => (
            format!("expected at least {limit}, found {found}"),
            described,
        ),
        Kind::Maximum { limit } => (
            format!("expected at most {limit}, found {found}"),
            described,
        ),
        Kind::ExclusiveMinimum { limit } => (
            format!("expected more than {limit}, found {found}"),
            described,
        ),
        Kind::ExclusiveMaximum { limit } => (
            format!("expected less than {limit}, found {found}"),
            described,
        ),
        Kind::MultipleOf { multiple_of } => {
            let summary = format!("expected a multiple of {multiple_of}, found {found}");
            (summary, described)
        }
        Kind::MinLength { limit } => {
            let summary = format!(
                "expected at least {}, found {found}",
                many(*limit, "character")
            );
            (summary, described)
        }
        Kind::MaxLength { limit } => {
            let summary = format!(
                "expected at most {}, found {found}",
                many(*limit, "character")
            );
            (summary, described)
        }
        Kind::MinItems { limit } => {
            let summary = format!("expected at least {} in the list", many(*limit, "item"));
            (summary, described)
        }
        Kind::MaxItems { limit } => {
            let summary = format!("expected at most {} in the list", many(*limit, "item"));
            (summary, described)
        }
        Kind::MinProperties { limit } => {
            let summary = format!("expected at least {} in the map", many(*limit, "field"));
            (summary, described)
        }
        Kind::MaxProperties { limit } => {
            let summary = format!("expected at most {} in the map", many(*limit, "field"));
            (summary, described)
        }
        Kind::UniqueItems => {
            let summary = "an item of the list is there twice".to_owned();
            (summary, described)
        }
        Kind::Format { format } => (format!("{found} is no {format}"), described),
        Kind::FalseSchema => ("nothing may stand here".to_owned(), described),
        // No schema of meshvm uses these keywords, but a provider's may; the validator's own
        // words are for programmers, and better than none.
        Kind::AdditionalItems { .. }
        | Kind::AdditionalProperties { .. }
        | Kind::AnyOf { .. }
        | Kind::BacktrackLimitExceeded { .. }
        | Kind::RegexEngineFailure { .. }
        | Kind::Contains
        | Kind::ContentEncoding { .. }
        | Kind::ContentMediaType { .. }
        | Kind::Custom { .. }
        | Kind::FromUtf8 { .. }
        | Kind::Not { .. }
        | Kind::OneOfMultipleValid { .. }
        | Kind::OneOfNotValid { .. }
        | Kind::PropertyNames { .. }
        | Kind::Required { .. }
        | Kind::UnevaluatedItems { .. }
        | Kind::UnevaluatedProperties { .. }
        | Kind::Referencing(_) => (error.masked_with("the value").to_string(), described),
    };
    let code = match matches!(error.kind(), Kind::Type { .. }) {
        true => Code::Shape,
        false => Code::Value,
    };
    with_origin(code, summary, hint, node)
}

/// Says that a value is none of what is allowed.
pub(super) fn none_of(options: &[String], node: &Node) -> Diagnostic {
    let found = node.described();
    let summary = match options {
        [only] => format!("expected {only}, found {found}"),
        _ => format!("expected one of {}, found {found}", options.join(", ")),
    };
    let meant = match &node.value {
        Tree::Text(text) => nearest(text, options.iter().map(|name| name.trim_matches('`'))),
        Tree::Null | Tree::Bool(_) | Tree::Number(..) | Tree::List(_) | Tree::Map(_) => None,
    };
    let hint = meant.map(|name| format!("did you mean `{name}`?"));
    with_origin(Code::Value, summary, hint, node)
}

/// Says what a branch of a choice allows.
pub(super) fn options(branch: &Value) -> Vec<String> {
    if let Some(value) = branch.get("const") {
        return vec![literal(value)];
    }
    if let Some(values) = branch.get("enum").and_then(Value::as_array) {
        return values.iter().map(literal).collect();
    }
    if let Some([Value::String(field)]) = branch
        .get("required")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        return vec![format!("a map with `{field}`")];
    }
    let types = match branch.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            Vec::new()
        }
    };
    types
        .into_iter()
        .filter_map(|name| name.parse().ok())
        .map(|kind: JsonType| type_name(kind).to_owned())
        .collect()
}

fn with_origin(code: Code, summary: String, hint: Option<String>, node: &Node) -> Diagnostic {
    let found = Diagnostic::error(code, summary);
    let origin = node.origin.as_deref().map(str::to_owned);
    match (origin, hint) {
        (Some(origin), Some(hint)) => found.with_hint(format!("{origin}; {hint}")),
        (Some(only), None) | (None, Some(only)) => found.with_hint(only),
        (None, None) => found,
    }
}

/// Says how to write the value so that it has the type that was expected.
fn rewritten(
    types: JsonTypeSet,
    node: &Node,
    holder: Option<&Map<String, Value>>,
) -> Option<String> {
    let from_variable = node.origin.is_some();
    match &node.value {
        Tree::Number(_, written) if types.contains(JsonType::String) => {
            quotes(written, holder, from_variable)
        }
        Tree::Bool(flag) if types.contains(JsonType::String) => {
            quotes(&flag.to_string(), holder, from_variable)
        }
        Tree::Text(text) if !from_variable => match plain::resolve(text) {
            Ok(Tree::Number(..))
                if types.contains(JsonType::Integer) || types.contains(JsonType::Number) =>
            {
                Some(format!("write it without quotes: {text}"))
            }
            Ok(Tree::Bool(flag)) if types.contains(JsonType::Boolean) => {
                Some(format!("write it without quotes: {flag}"))
            }
            Ok(_) | Err(plain::Unusable) => match text.as_str() {
                "yes" | "on" if types.contains(JsonType::Boolean) => {
                    Some("write true: YAML 1.2 knows no other word for it".to_owned())
                }
                "no" | "off" if types.contains(JsonType::Boolean) => {
                    Some("write false: YAML 1.2 knows no other word for it".to_owned())
                }
                _ if types.contains(JsonType::Array) => {
                    Some(format!("write a list: [{}]", quoted(text)))
                }
                _ => None,
            },
        },
        Tree::Null | Tree::Bool(_) | Tree::Number(..) | Tree::Text(_) => None,
        Tree::List(_) | Tree::Map(_) => None,
    }
}

fn quotes(
    written: &str,
    holder: Option<&Map<String, Value>>,
    from_variable: bool,
) -> Option<String> {
    let pattern = holder.and_then(|schema| schema.get("pattern"));
    let fits = pattern.is_none_or(|pattern| {
        jsonschema::validator_for(&json!({"pattern": pattern}))
            .is_ok_and(|validator| validator.is_valid(&Value::from(written)))
    });
    match (fits, from_variable) {
        (false, _) => None,
        (true, false) => Some(format!("put it in quotes: \"{written}\"")),
        (true, true) => Some("put the variable's value in quotes where it is set".to_owned()),
    }
}

/// Returns the first paragraph of a description.
pub(super) fn summary(description: &str) -> String {
    let first = description.split("\n\n").next();
    first.unwrap_or(description).to_owned()
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            format!("`{value}`")
        }
    }
}

fn type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Null => "nothing",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "an integer",
        JsonType::Number => "a number",
        JsonType::String => "a string",
        JsonType::Array => "a list",
        JsonType::Object => "a map",
    }
}

fn many(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
