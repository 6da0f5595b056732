//! The reference of the fleet file as Markdown, from its JSON Schema. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What stands for any value, or for its lack: said once, and not for every field.
const EVERYWHERE: [&str; 2] = ["Variable", "Absent"];

/// Returns the reference of a schema: a section for the file, and one for each type with fields.
pub fn reference(schema: &Value) -> String {
    let mut text = String::from(
        "# Fleet file reference\n\nMade by `meshvm schema --markdown`. Any value may be a variable, as \
         in `\"${var.name}\"`; a field\nthat is null is as if it were not there.\n",
    );
    section("The file", schema, &mut text);
    let definitions = schema["$defs"].as_object();
    for (name, definition) in definitions.into_iter().flatten() {
        let is_blocks = definition.get("properties").is_some() || variants(definition).is_some();
        if is_blocks && !EVERYWHERE.contains(&name.as_str()) {
            section(name, definition, &mut text);
        }
    }
    text
}

fn section(name: &str, definition: &Value, text: &mut String) {
    text.push_str(&format!("\n## {name}\n\n{}\n", description(definition)));
    if let Some(variants) = variants(definition) {
        text.push_str("\nOne of:\n\n");
        for variant in variants {
            let name = match (&variant["const"], variant["properties"].as_object()) {
                (Value::String(word), _) => format!("`{word}`"),
                (_, Some(properties)) => properties
                    .iter()
                    .map(|(name, value)| format!("`{name}`: {}", kind(value)))
                    .collect::<Vec<_>>()
                    .join(", "),
                (_, None) => kind(variant),
            };
            text.push_str(&format!("- {name}. {}\n", description(variant)));
        }
        return;
    }
    let Some(properties) = definition["properties"].as_object() else {
        return;
    };
    let required = definition["required"].as_array();
    let required: BTreeSet<&str> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    text.push_str("\n| field | type | what |\n|---|---|---|\n");
    for (name, value) in properties {
        let must = if required.contains(name.as_str()) {
            " (required)"
        } else {
            ""
        };
        let what = description(value).replace('|', "\\|").replace('\n', " ");
        text.push_str(&format!("| `{name}`{must} | {} | {what} |\n", kind(value)));
    }
}

/// Returns the alternatives of a type that has nothing else.
fn variants(definition: &Value) -> Option<&Vec<Value>> {
    definition["oneOf"].as_array()
}

fn description(value: &Value) -> &str {
    value["description"].as_str().unwrap_or_default()
}

/// Returns the type of a value in words.
fn kind(value: &Value) -> String {
    if let Some(reference) = value["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        return format!("[{name}](#{})", name.to_lowercase().replace('.', ""));
    }
    for alternatives in ["anyOf", "oneOf"] {
        if let Some(all) = value[alternatives].as_array() {
            let kinds: Vec<String> = all
                .iter()
                .filter(|one| !is_everywhere(one))
                .map(kind)
                .collect();
            return kinds.join(" or ");
        }
    }
    if let Some(word) = value.get("const") {
        return format!("`{}`", word.to_string().trim_matches('"'));
    }
    if let Some(words) = value["enum"].as_array() {
        let words = words
            .iter()
            .map(|word| format!("`{}`", word.to_string().trim_matches('"')));
        return words.collect::<Vec<_>>().join(" or ");
    }
    match &value["type"] {
        Value::String(one) => named(one, value),
        Value::Array(several) => {
            let names = several
                .iter()
                .filter_map(Value::as_str)
                .filter(|name| *name != "null");
            names
                .map(|name| named(name, value))
                .collect::<Vec<_>>()
                .join(" or ")
        }
        _ => "anything".to_owned(),
    }
}

fn named(name: &str, value: &Value) -> String {
    match name {
        "array" => format!("list of {}", kind(&value["items"])),
        "object" => match value.get("additionalProperties") {
            Some(inner @ Value::Object(_)) => format!("map of {}", kind(inner)),
            Some(_) | None => block(value["properties"].as_object()),
        },
        other => other.to_owned(),
    }
}

fn block(properties: Option<&Map<String, Value>>) -> String {
    let names = properties
        .into_iter()
        .flatten()
        .map(|(name, _)| format!("`{name}`"));
    match names.collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => "map".to_owned(),
        names => format!("map with {names}"),
    }
}

fn is_everywhere(value: &Value) -> bool {
    let name = value["$ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next());
    name.is_some_and(|name| EVERYWHERE.contains(&name))
}
