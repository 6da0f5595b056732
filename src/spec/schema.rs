//! The JSON Schema of a fleet file, made from the types of [`super::model`] and the blocks
//! of the providers.
//!
//! There are two. [`strict`] is what a file must be once files are merged, variables put
//! in, defaults laid under and nulls dropped. [`schema`] is for editors and the reference:
//! it accepts every single file that could become such a one.
//!
//! Invariants: both are valid draft 2020-12, need no other document, and hold only what
//! can be reached.

use std::collections::BTreeSet;

use meshvm_provider_api::{Info, Kind};
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::{Map, Value, json};

use super::interpolate::REFERENCE_PATTERN;
use super::model::FleetFile;

/// What the schema is called; it names no address, since it needs none.
const ID: &str = "urn:meshvm:fleet-file:v1";

/// Behind the name of a definition whose fields are all optional, as in `defaults`.
const PARTIAL: &str = ".partial";

type Object = Map<String, Value>;

/// Returns the JSON Schema (draft 2020-12) of a fleet file as a user writes it.
///
/// Variables and null are allowed where a file may have them. Fields of fleets that are
/// required but may come from `defaults` or another file are not required here.
pub fn schema(kinds: &[&dyn Kind]) -> Value {
    let mut root = strict(kinds);
    if let Some(fleets) = root.pointer_mut("/properties/fleets/additionalProperties") {
        *fleets = json!({"$ref": reference(&format!("FleetBody{PARTIAL}"))});
    }
    let kept: Vec<(&str, Value)> = ["apiVersion", "vars"]
        .into_iter()
        .filter_map(|name| Some((name, properties(&mut root)?.remove(name)?)))
        .collect();
    transform(&mut root, widen);
    for (name, field) in kept {
        if let Some(properties) = properties(&mut root) {
            properties.insert(name.to_owned(), field);
        }
    }
    if let Some(defs) = definitions(&mut root) {
        defs.insert(
            "Variable".to_owned(),
            json!({
                "description": "A text with a variable in it.",
                "type": "string",
                "pattern": REFERENCE_PATTERN,
            }),
        );
        defs.insert(
            "Absent".to_owned(),
            json!({
                "description": "Nothing: takes away what defaults or an earlier file say.",
                "type": "null",
            }),
        );
    }
    drop_unreachable(&mut root);
    shorten_names(&mut root);
    if let Some(root) = root.as_object_mut() {
        root.insert("$id".to_owned(), ID.into());
    }
    root
}

/// Returns the JSON Schema of the finished tree.
pub(super) fn strict(kinds: &[&dyn Kind]) -> Value {
    let mut root = SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator()
        .into_root_schema_for::<FleetFile>()
        .to_value();
    for kind in kinds {
        embed(&mut root, kind.info());
    }
    transform(&mut root, tidy);
    if let Some(Value::Object(fleets)) = root.pointer_mut("/properties/fleets") {
        let name = json!({"$ref": reference("Name")});
        fleets.insert("propertyNames".to_owned(), name);
    }
    let defaults = definitions(&mut root).map(|defs| partial(defs, "FleetBody"));
    if let (Some(name), Some(properties)) = (defaults, properties(&mut root))
        && let Some(Value::Object(defaults)) = properties.get_mut("defaults")
    {
        defaults.insert("$ref".to_owned(), reference(&name).into());
    }
    drop_unreachable(&mut root);
    root
}

/// Puts a provider's block into fleets, its definitions behind the provider's name.
fn embed(root: &mut Value, info: &Info) {
    let mut block = (info.schema)().to_value();
    let own = block
        .as_object_mut()
        .and_then(|block| block.remove("$defs"));
    let inner = |name: &str| format!("{}.{name}", info.name);
    let rename = |schema: &mut Object| {
        if let Some(Value::String(target)) = schema.get_mut("$ref") {
            *target = match target.strip_prefix("#/$defs/") {
                Some(name) => reference(&inner(name)),
                None => reference(info.name),
            };
        }
    };
    transform(&mut block, rename);
    if let Some(block) = block.as_object_mut() {
        for key in ["$schema", "$id", "title"] {
            block.remove(key);
        }
    }
    let Some(defs) = definitions(root) else {
        return;
    };
    if let Some(Value::Object(own)) = own {
        for (name, mut schema) in own {
            transform(&mut schema, rename);
            defs.insert(inner(&name), schema);
        }
    }
    defs.insert(info.name.to_owned(), block);
    let fleet = defs.get_mut("FleetBody").and_then(properties);
    if let Some(fleet) = fleet {
        let field = json!({"$ref": reference(info.name), "description": info.summary});
        fleet.insert(info.name.to_owned(), field);
    }
}

/// Takes out what only says that null is allowed, and what validators do not know.
fn tidy(schema: &mut Object) {
    if let Some(Value::Array(branches)) = schema.get_mut("anyOf") {
        branches.retain(|branch| *branch != json!({"type": "null"}));
        if let [Value::Object(only)] = branches.as_mut_slice() {
            let only = std::mem::take(only);
            schema.remove("anyOf");
            for (key, value) in only {
                schema.entry(key).or_insert(value);
            }
        }
    }
    if let Some(types @ Value::Array(_)) = schema.get_mut("type") {
        let mut names = types.as_array().cloned().unwrap_or_default();
        names.retain(|name| name != "null");
        *types = match names.as_slice() {
            [only] => only.clone(),
            _ => Value::Array(names),
        };
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(default) = schema.get_mut("default") {
        drop_nulls(default);
        let says_nothing = match default {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        };
        if says_nothing {
            schema.remove("default");
        }
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let paragraphs: Vec<String> = text.split("\n\n").map(|p| p.replace('\n', " ")).collect();
        *text = paragraphs.join("\n\n");
    }
    bound_integers(schema);
    open_keys(schema);
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(drop_nulls);
            map.retain(|_, value| match value {
                Value::Null => false,
                Value::Object(map) => !map.is_empty(),
                Value::Array(items) => !items.is_empty(),
                Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
            });
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
    }
}

/// Says in words of JSON Schema what Rust's formats of integers mean.
fn bound_integers(schema: &mut Object) {
    let Some(format) = schema.get("format").and_then(Value::as_str) else {
        return;
    };
    let (minimum, maximum) = match format {
        "uint8" => (Some(0), Some(u64::from(u8::MAX))),
        "uint16" => (Some(0), Some(u64::from(u16::MAX))),
        "uint32" => (Some(0), Some(u64::from(u32::MAX))),
        "uint" | "uint64" => (Some(0), None),
        "int8" | "int16" | "int32" | "int64" | "int" | "float" | "double" => (None, None),
        _ => return,
    };
    schema.remove("format");
    for (key, bound) in [("minimum", minimum), ("maximum", maximum)] {
        if let Some(bound) = bound {
            schema
                .entry(key)
                .or_insert_with(|| Value::Number(bound.into()));
        }
    }
}

/// Makes a map with a pattern for its keys say so itself, for better messages.
fn open_keys(schema: &mut Object) {
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let one = schema
        .get("patternProperties")
        .and_then(Value::as_object)
        .filter(|patterns| patterns.len() == 1 && closed && !schema.contains_key("properties"))
        .and_then(|patterns| patterns.iter().next());
    let Some((pattern, values)) = one.map(|(key, value)| (key.clone(), value.clone())) else {
        return;
    };
    schema.remove("patternProperties");
    schema.insert("propertyNames".to_owned(), json!({"pattern": pattern}));
    schema.insert("additionalProperties".to_owned(), values);
}

/// Makes a copy of a definition in which no field is required, and returns its name.
///
/// Only maps are followed: lists are never merged, so their items stay whole.
fn partial(defs: &mut Object, name: &str) -> String {
    let partial_name = format!("{name}{PARTIAL}");
    if defs.contains_key(&partial_name) {
        return partial_name;
    }
    let Some(mut copy) = defs.get(name).cloned() else {
        return name.to_owned();
    };
    // A definition that contains itself finds this entry and stops.
    defs.insert(partial_name.clone(), Value::Bool(true));
    loosen(&mut copy, defs);
    defs.insert(partial_name.clone(), copy);
    partial_name
}

fn loosen(schema: &mut Value, defs: &mut Object) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::String(target)) = schema.get_mut("$ref")
        && let Some(name) = target.strip_prefix("#/$defs/")
    {
        let is_map = defs.get(name).and_then(|def| def.get("type")) == Some(&json!("object"));
        if is_map {
            *target = reference(&partial(defs, name));
        }
    }
    schema.remove("required");
    schema.remove("minProperties");
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        fields.values_mut().for_each(|field| loosen(field, defs));
    }
    if let Some(values) = schema.get_mut("additionalProperties") {
        loosen(values, defs);
    }
}

/// Lets every field of a map be a variable, or null unless it is required, and every item a
/// variable.
fn widen(schema: &mut Object) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| {
        let names = required.as_array();
        names.is_some_and(|names| names.iter().any(|required| required == name))
    };
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        for (name, field) in fields {
            accept(field, !is_required(name));
        }
    }
    if let Some(values) = schema.get_mut("additionalProperties") {
        accept(values, true);
    }
    if let Some(items) = schema.get_mut("items") {
        accept(items, false);
    }
}

/// Lets a value be a variable too, and null when it may be absent.
fn accept(value: &mut Value, absent: bool) {
    let Value::Object(schema) = value else {
        return;
    };
    let mut outer = Object::new();
    for key in ["description", "default"] {
        if let Some(said) = schema.remove(key) {
            outer.insert(key.to_owned(), said);
        }
    }
    let inner = Value::Object(std::mem::take(schema));
    // Any text may have variables in it already.
    let any_text = inner == json!({"type": "string"});
    if any_text && !absent {
        outer.insert("type".to_owned(), "string".into());
    } else if any_text {
        outer.insert("type".to_owned(), json!(["string", "null"]));
    } else {
        let mut branches = vec![inner, json!({"$ref": reference("Variable")})];
        if absent {
            branches.push(json!({"$ref": reference("Absent")}));
        }
        outer.insert("anyOf".to_owned(), branches.into());
    }
    *schema = outer;
}

fn drop_unreachable(root: &mut Value) {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<String> = Vec::new();
    if let Some(root) = root.as_object() {
        for (_, value) in root.iter().filter(|(key, _)| *key != "$defs") {
            references(value, &mut waiting);
        }
    }
    while let Some(name) = waiting.pop() {
        if reached.insert(name.clone())
            && let Some(schema) = root.get("$defs").and_then(|defs| defs.get(&name))
        {
            references(schema, &mut waiting);
        }
    }
    if let Some(defs) = definitions(root) {
        defs.retain(|name, _| reached.contains(name));
    }
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let target = map.get("$ref").and_then(Value::as_str);
            if let Some(name) = target.and_then(|target| target.strip_prefix("#/$defs/")) {
                found.push(name.to_owned());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Gives a partial definition its plain name where nothing else bears it.
fn shorten_names(root: &mut Value) {
    let Some(defs) = definitions(root) else {
        return;
    };
    let free: BTreeSet<String> = defs
        .keys()
        .filter_map(|name| name.strip_suffix(PARTIAL))
        .filter(|name| !defs.contains_key(*name))
        .map(str::to_owned)
        .collect();
    for name in &free {
        if let Some(schema) = defs.remove(&format!("{name}{PARTIAL}")) {
            defs.insert(name.clone(), schema);
        }
    }
    transform(root, |schema| {
        if let Some(Value::String(target)) = schema.get_mut("$ref")
            && let Some(short) = target.strip_suffix(PARTIAL)
            && let Some(name) = short.strip_prefix("#/$defs/")
            && free.contains(name)
        {
            *target = short.to_owned();
        }
    });
}

/// Changes a schema and everything inside it, outermost first.
fn transform(root: &mut Value, mut change: impl FnMut(&mut Object)) {
    let change = |schema: &mut Schema| {
        if let Some(schema) = schema.as_object_mut() {
            change(schema);
        }
    };
    if let Ok(schema) = <&mut Schema>::try_from(root) {
        RecursiveTransform(change).transform(schema);
    }
}

fn reference(name: &str) -> String {
    format!("#/$defs/{name}")
}

fn definitions(root: &mut Value) -> Option<&mut Object> {
    root.get_mut("$defs")?.as_object_mut()
}

fn properties(schema: &mut Value) -> Option<&mut Object> {
    schema.get_mut("properties")?.as_object_mut()
}
