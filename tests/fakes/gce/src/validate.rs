//! Checks requests by the API's description of itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::description::{Api, Call};
use crate::refusal::Refusal;

/// Parameters that Google's own clients send and the description does not hold: the first two are
/// google-cloud-rust's, the last is that of gcloud's lists.
const SYSTEM: [&str; 3] = ["$alt", "$apiVersion", "returnPartialSuccess"];

/// Checks a call: its path, its parameters and its body.
///
/// # Errors
/// What the cloud would say of the first thing that is wrong.
pub fn call(
    api: &Api,
    call: &Call,
    query: &BTreeMap<String, String>,
    body: Option<&Value>,
) -> Result<(), Refusal> {
    for (name, value) in &call.path {
        parameter(name, value, &call.method.parameters[name])?;
    }
    for (name, value) in query {
        let known = call.method.parameters.get(name).or(api.common.get(name));
        match known {
            Some(schema) => parameter(name, value, schema)?,
            None if SYSTEM.contains(&name.as_str()) => {}
            None => return Err(Refusal::invalid(format!("Unknown name \"{name}\""))),
        }
    }
    for (name, schema) in &call.method.parameters {
        let is_given = call.path.contains_key(name) || query.contains_key(name);
        if schema["required"] == true && !is_given {
            let message = format!("Required parameter: [{name}]");
            return Err(Refusal::new(400, "required", message));
        }
    }
    match (&call.method.body, body) {
        (Some(schema), Some(body)) => {
            let id = format!("{}.{}", api.name, call.method.name);
            of_schema(api, schema, body, "resource", How::Sent(&id))
        }
        (None, None) => Ok(()),
        // google-cloud-rust sends an empty object where there is nothing to send.
        (None, Some(Value::Object(fields))) if fields.is_empty() => Ok(()),
        (Some(_), None) => Err(Refusal::new(
            400,
            "required",
            "Required field 'resource' not specified",
        )),
        // google-cloud-rust sends an empty object with every POST.
        (None, Some(body)) if body.as_object().is_some_and(Map::is_empty) => Ok(()),
        (None, Some(_)) => Err(Refusal::invalid("This call takes no body")),
    }
}

/// Reads a parameter that is a boolean.
pub fn boolean(text: &str) -> Option<bool> {
    text.to_ascii_lowercase().parse().ok()
}

fn parameter(name: &str, text: &str, schema: &Value) -> Result<(), Refusal> {
    let wrong = |why: &str| {
        Err(Refusal::invalid(format!(
            "Invalid value for field '{name}': '{text}'. {why}"
        )))
    };
    match schema["type"].as_str() {
        Some("integer") => {
            let Ok(number) = text.parse::<i64>() else {
                return wrong("It is not an integer.");
            };
            let bound = |name: &str| schema[name].as_str().and_then(|it| it.parse::<i64>().ok());
            let is_low = bound("minimum").is_some_and(|least| number < least);
            let is_high = bound("maximum").is_some_and(|most| number > most);
            if is_low || is_high {
                return wrong("It is out of range.");
            }
        }
        // Google's own command line writes them large.
        Some("boolean") if boolean(text).is_none() => return wrong("It is not a boolean."),
        _ => {}
    }
    if name == "requestId" {
        match uuid::Uuid::try_parse(text) {
            Ok(id) if !id.is_nil() => {}
            _ => return wrong("It is not a UUID."),
        }
    }
    strings(text, schema, name)
}

/// Patterns that were read: the same few are asked for at every call.
static READ: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);

/// Makes a pattern of the description one of a whole text. As at Google, classes are of ASCII.
fn whole(pattern: &str) -> Regex {
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let read = read.entry(pattern.to_owned()).or_insert_with(|| {
        let mut whole = RegexBuilder::new(&format!("^(?:{pattern})$"));
        let whole = whole.unicode(false).build();
        whole.expect("a pattern of the description")
    });
    read.clone()
}

/// Checks a string's pattern and whether it is one of those that are allowed.
fn strings(text: &str, schema: &Value, place: &str) -> Result<(), Refusal> {
    if let Some(pattern) = schema["pattern"].as_str()
        && !whole(pattern).is_match(text.as_bytes())
    {
        return Err(Refusal::invalid(format!(
            "Invalid value for field '{place}': '{text}'. Must be a match of regex '{pattern}'"
        )));
    }
    match schema["enum"].as_array() {
        Some(allowed) if allowed.iter().all(|it| it != text) => Err(Refusal::invalid(format!(
            "Invalid value for field '{place}': '{text}'. It is none of those allowed"
        ))),
        _ => Ok(()),
    }
}

/// Checks an answer: one that is not as described is a defect of the double.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn answer(api: &Api, call: &Call, answer: &Value) -> Result<(), Refusal> {
    match &call.method.answer {
        Some(schema) => of_schema(api, schema, answer, "answer", How::Told),
        None => Ok(()),
    }
}

/// What a value is checked as.
#[derive(Clone, Copy)]
enum How<'a> {
    /// What a client sends, to a call of this id.
    Sent(&'a str),
    /// What the double answers: it writes what clients may not, and leaves out what they must not.
    Told,
}

fn of_schema(
    api: &Api,
    name: &str,
    value: &Value,
    place: &str,
    how: How<'_>,
) -> Result<(), Refusal> {
    let schema = &api.schemas[name];
    let Some(fields) = value.as_object() else {
        return Err(kind(place, "an object"));
    };
    let empty = Map::new();
    let known = schema["properties"].as_object().unwrap_or(&empty);
    for (field, value) in fields {
        let place = format!("{place}.{field}");
        let Some(schema) = known.get(field) else {
            return Err(Refusal::invalid(format!(
                "Invalid JSON payload received. Unknown name \"{field}\" at '{place}'"
            )));
        };
        if matches!(how, How::Sent(_)) && schema["readOnly"] == true {
            return Err(Refusal::invalid(format!(
                "Invalid value for field '{place}': it is output only"
            )));
        }
        self::value(api, schema, value, &place, how)?;
    }
    let How::Sent(id) = how else {
        return Ok(());
    };
    for (field, schema) in known {
        let by = schema["annotations"]["required"].as_array();
        let is_required = by.is_some_and(|by| by.iter().any(|it| it == id));
        if is_required && !fields.contains_key(field) {
            let message = format!("Required field '{place}.{field}' not specified");
            return Err(Refusal::new(400, "required", message));
        }
    }
    Ok(())
}

fn value(
    api: &Api,
    schema: &Value,
    value: &Value,
    place: &str,
    how: How<'_>,
) -> Result<(), Refusal> {
    if let Some(name) = schema["$ref"].as_str() {
        return of_schema(api, name, value, place, how);
    }
    match schema["type"].as_str().unwrap_or_default() {
        "string" => {
            let format = schema["format"].as_str().unwrap_or_default();
            let text = match (value, format) {
                (Value::String(text), _) => text.clone(),
                (Value::Number(number), "int64" | "uint64") if matches!(how, How::Sent(_)) => {
                    number.to_string()
                }
                _ => return Err(kind(place, "a string")),
            };
            let is_right = match format {
                "int64" => text.parse::<i64>().is_ok(),
                "uint64" => text.parse::<u64>().is_ok(),
                "byte" => STANDARD.decode(&text).is_ok() || URL_SAFE.decode(&text).is_ok(),
                _ => true,
            };
            match is_right {
                true => strings(&text, schema, place),
                false => Err(kind(place, format)),
            }
        }
        "boolean" if !value.is_boolean() => Err(kind(place, "a boolean")),
        "integer" if value.as_i64().is_none() => Err(kind(place, "an integer")),
        "number" if !value.is_number() => Err(kind(place, "a number")),
        "array" => {
            let Some(items) = value.as_array() else {
                return Err(kind(place, "a list"));
            };
            for (index, item) in items.iter().enumerate() {
                let place = format!("{place}[{index}]");
                self::value(api, &schema["items"], item, &place, how)?;
                // Patterns of lists are those of their items.
                if let Some(text) = item.as_str() {
                    strings(text, schema, &place)?;
                }
            }
            Ok(())
        }
        "object" => {
            let Some(fields) = value.as_object() else {
                return Err(kind(place, "an object"));
            };
            let each = &schema["additionalProperties"];
            if each.is_object() {
                for (name, item) in fields {
                    self::value(api, each, item, &format!("{place}.{name}"), how)?;
                }
                return Ok(());
            }
            for (name, item) in fields {
                let place = format!("{place}.{name}");
                let Some(schema) = schema["properties"].get(name) else {
                    let message = format!("Unknown name \"{name}\" at '{place}'");
                    return Err(Refusal::invalid(message));
                };
                self::value(api, schema, item, &place, how)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn kind(place: &str, what: &str) -> Refusal {
    Refusal::invalid(format!("Invalid value at '{place}': it is not {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &Value) -> usize {
        let below: usize = match value {
            Value::Object(fields) => fields.values().map(check).sum(),
            Value::Array(items) => items.iter().map(check).sum(),
            _ => 0,
        };
        let pattern = value["pattern"].as_str();
        pattern.map_or(below, |pattern| {
            whole(pattern);
            below + 1
        })
    }

    #[test]
    fn every_pattern_of_the_description_can_be_checked() {
        let text = std::fs::read_to_string(crate::description()).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        assert!(check(&document) > 1000);
    }
}
