//! Whether an object is what its schema asks, in the words of the API server.

use serde_json::Value;

use super::cel::value_of;
use super::logic::{Logic, hold};
use super::{Identity, Schema, Shape};
use crate::kube::status::FieldFault;

/// Returns everything that is wrong with an object. Rules in CEL are only asked about an object
/// that is right otherwise, and their being left out is a fault of its own, as on a real server.
pub fn faults(schema: &Schema, value: &Value) -> Vec<FieldFault> {
    let mut found = Vec::new();
    walk(schema, value, "", &mut found);
    if found.is_empty() {
        rules(schema, value, "", &mut found);
    } else if schema.has_rules() {
        found.push(FieldFault {
            field: "<nil>".to_owned(),
            text: "Invalid value: \"null\": some validation rules were not checked because the \
                   object was invalid; correct the existing errors to complete validation"
                .to_owned(),
            cause: "FieldValueInvalid",
        });
    }
    found
}

fn below(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

fn walk(schema: &Schema, value: &Value, path: &str, found: &mut Vec<FieldFault>) {
    if value.is_null() && schema.nullable {
        return;
    }
    match (&schema.shape, value) {
        (Shape::Any, _)
        | (Shape::String, Value::String(_))
        | (Shape::Number, Value::Number(_))
        | (Shape::Boolean, Value::Bool(_))
        | (Shape::IntOrString, Value::String(_)) => {}
        (Shape::Integer | Shape::IntOrString, Value::Number(n)) if !n.is_f64() => {}
        (Shape::Object(object), Value::Object(fields)) => {
            for name in &object.required {
                if !fields.contains_key(name) {
                    found.push(FieldFault::required(&below(path, name), ""));
                }
            }
            for (name, value) in fields {
                let Some(field) = schema.field(name) else {
                    continue;
                };
                walk(field, value, &below(path, name), found);
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            let mut seen = std::collections::BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                if list.identity != Identity::Atomic {
                    let step = super::typed::step_of(&list.identity, &list.items, item, index);
                    if step.is_ok_and(|step| !seen.insert(step)) {
                        found.push(FieldFault {
                            field: path.clone(),
                            text: format!("Duplicate value: {item}"),
                            cause: "FieldValueDuplicate",
                        });
                    }
                }
                walk(&list.items, item, &path, found);
            }
        }
        (shape, got) => {
            found.push(FieldFault {
                field: path.to_owned(),
                text: format!(
                    "Invalid value: {:?}: {path} in body must be of type {}: {:?}",
                    type_name(got),
                    wanted(shape),
                    type_name(got)
                ),
                cause: "FieldValueTypeInvalid",
            });
            return;
        }
    }
    sizes(schema, value, path, found);
    values(schema, value, path, found);
    for logic in &schema.checks.logic {
        combinations(logic, value, path, found);
    }
}

fn sizes(schema: &Schema, value: &Value, path: &str, found: &mut Vec<FieldFault>) {
    let (size, what) = match value {
        Value::String(text) => (text.chars().count(), "chars long"),
        Value::Array(items) => (items.len(), "items"),
        Value::Object(fields) => (fields.len(), "properties"),
        Value::Null | Value::Bool(_) | Value::Number(_) => return,
    };
    if let Some(least) = schema.checks.least.filter(|least| size < *least) {
        let at_least = match value {
            Value::String(_) => format!("be at least {least} chars long"),
            _ => format!("have at least {least} {what}"),
        };
        let detail = format!("{path} in body should {at_least}");
        found.push(FieldFault::invalid(path, value, &detail));
    }
    if let Some(most) = schema.checks.most.filter(|most| size > *most) {
        let (text, cause) = match value {
            Value::String(_) => (
                format!("Too long: may not be more than {most} bytes"),
                "FieldValueTooLong",
            ),
            _ => (
                format!("Too many: {size}: must have at most {most} items"),
                "FieldValueTooMany",
            ),
        };
        found.push(FieldFault {
            field: path.to_owned(),
            text,
            cause,
        });
    }
}

fn values(schema: &Schema, value: &Value, path: &str, found: &mut Vec<FieldFault>) {
    let checks = &schema.checks;
    if !checks.one_of_values.is_empty() && !checks.one_of_values.contains(value) {
        let known = checks.one_of_values.iter().map(|v| match v {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        found.push(FieldFault::unsupported(
            path,
            value,
            &known.collect::<Vec<_>>(),
        ));
    }
    if let Some(number) = value.as_f64() {
        let format = checks.format.as_deref();
        if format == Some("int32") && value.as_i64().is_none_or(|n| i32::try_from(n).is_err()) {
            let detail = format!("{path} in body must be of type int32: \"{value}\"");
            found.push(FieldFault::invalid(path, value, &detail));
        }
        if let Some(least) = checks.minimum.filter(|least| number < *least) {
            let detail = format!("{path} in body should be greater than or equal to {least}");
            found.push(FieldFault::invalid(path, value, &detail));
        }
        if let Some(most) = checks.maximum.filter(|most| number > *most) {
            let detail = format!("{path} in body should be less than or equal to {most}");
            found.push(FieldFault::invalid(path, value, &detail));
        }
    }
    if let Some(text) = value.as_str() {
        if let Some(pattern) = checks.pattern.as_ref().filter(|p| !p.is_match(text)) {
            let detail = format!("{path} in body should match '{pattern}'");
            found.push(FieldFault::invalid(path, value, &detail));
        }
        if let Some(format) = checks.format.as_deref().filter(|f| !is_so(f, text)) {
            let detail = format!("{path} in body must be of type {format}: {text:?}");
            found.push(FieldFault::invalid(path, value, &detail));
        }
    }
}

/// Returns whether a text is of a format. Other formats than these are not looked at by a real
/// server either, as far as the kinds here have them.
fn is_so(format: &str, text: &str) -> bool {
    use base64::Engine;
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "byte" => base64::engine::general_purpose::STANDARD
            .decode(text)
            .is_ok(),
        _ => true,
    }
}

fn combinations(logic: &Logic, value: &Value, path: &str, found: &mut Vec<FieldFault>) {
    if logic.holds(value) {
        return;
    }
    let why = match logic {
        Logic::OneOf(these) => match Logic::holding(these, value) {
            0 => "must validate one and only one schema (oneOf). Found none valid".to_owned(),
            n => format!(
                "must validate one and only one schema (oneOf). Found {n} valid alternatives"
            ),
        },
        Logic::AnyOf(_) => "must validate at least one schema (anyOf)".to_owned(),
        Logic::Not(_) => "must not validate the schema (not)".to_owned(),
        Logic::AllOf(these) => {
            for part in these.iter().filter(|one| !hold(one, value)).flatten() {
                combinations(part, value, path, found);
            }
            "must validate all the schemas (allOf)".to_owned()
        }
        Logic::Required(_)
        | Logic::Properties(_)
        | Logic::Values(_)
        | Logic::Type(_)
        | Logic::MaxLength(_)
        | Logic::Maximum(_)
        | Logic::Minimum(_) => "does not fit the schema".to_owned(),
    };
    found.push(FieldFault {
        field: path.to_owned(),
        text: format!("Invalid value: \"\": {path:?} {why}"),
        cause: "FieldValueInvalid",
    });
}

fn rules(schema: &Schema, value: &Value, path: &str, found: &mut Vec<FieldFault>) {
    if !schema.checks.rules.is_empty() {
        let bound = value_of(value);
        for rule in &schema.checks.rules {
            if let Some(why) = rule.broken_by(&bound) {
                let got = match value {
                    Value::Object(_) => Value::from("object"),
                    Value::Array(_) => Value::from("array"),
                    scalar => scalar.clone(),
                };
                let field = format!("{path}{}", rule.field);
                found.push(FieldFault::invalid(&field, &got, &why));
            }
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(field) = schema.field(name) {
                    rules(field, value, &below(path, name), found);
                }
            }
        }
        Value::Array(items) => {
            let (of, _) = schema.items();
            for (index, item) in items.iter().enumerate() {
                rules(of, item, &format!("{path}[{index}]"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn wanted(shape: &Shape) -> &'static str {
    match shape {
        Shape::Any => "any",
        Shape::String => "string",
        Shape::Integer => "integer",
        Shape::Number => "number",
        Shape::Boolean => "boolean",
        Shape::IntOrString => "integer,string",
        Shape::Object(_) => "object",
        Shape::List(_) => "array",
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
