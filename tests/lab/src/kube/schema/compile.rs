//! From an OpenAPI schema, as a CRD or a generator has it, to a [`Schema`].

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};
use thiserror::Error;

use super::cel::{BadRule, Rule};
use super::logic::{self, UnknownLogic};
use super::{Checks, Identity, List, Object, Schema, Shape};

/// Why a schema cannot be used.
#[derive(Debug, Error)]
pub enum BadSchema {
    /// A reference leads nowhere.
    #[error("the schema refers to {0}, which is not there")]
    Reference(String),
    /// A schema contains itself.
    #[error("the schema {0} contains itself")]
    Recursive(String),
    /// A type is not known.
    #[error("the type {0} of a schema is not known")]
    Type(String),
    /// A pattern is no regular expression.
    #[error("a pattern of a schema cannot be read")]
    Pattern(#[from] regex::Error),
    /// A combination is not known.
    #[error(transparent)]
    Logic(#[from] UnknownLogic),
    /// A rule cannot be read.
    #[error(transparent)]
    Rule(#[from] BadRule),
}

/// Compiles a schema. `definitions` are the named schemas that it may refer to.
///
/// # Errors
///
/// When the schema says something that is not known here.
pub fn compile(schema: &Value, definitions: &Map<String, Value>) -> Result<Schema, BadSchema> {
    Compiler {
        definitions,
        open: Vec::new(),
    }
    .schema(schema)
}

struct Compiler<'a> {
    definitions: &'a Map<String, Value>,
    /// The references that are being followed.
    open: Vec<String>,
}

impl Compiler<'_> {
    fn schema(&mut self, raw: &Value) -> Result<Schema, BadSchema> {
        if let Some(reference) = raw.get("$ref").and_then(Value::as_str) {
            return self.referred(reference);
        }
        let is = |word: &str| raw.get(word).and_then(Value::as_bool).unwrap_or(false);
        let mut checks = checks(raw)?;
        let shape = if is("x-kubernetes-int-or-string") {
            // Its `anyOf` says no more than that.
            checks.logic.clear();
            Shape::IntOrString
        } else {
            self.shape(raw, is("x-kubernetes-preserve-unknown-fields"))?
        };
        Ok(Schema {
            shape,
            nullable: is("nullable"),
            default: raw.get("default").cloned(),
            checks,
        })
    }

    fn referred(&mut self, reference: &str) -> Result<Schema, BadSchema> {
        let name = reference.rsplit('/').next().unwrap_or(reference).to_owned();
        if self.open.contains(&name) {
            return Err(BadSchema::Recursive(name));
        }
        let definitions = self.definitions;
        let raw = definitions
            .get(&name)
            .ok_or_else(|| BadSchema::Reference(reference.to_owned()))?;
        self.open.push(name);
        let schema = self.schema(raw);
        self.open.pop();
        schema
    }

    fn shape(&mut self, raw: &Value, open: bool) -> Result<Shape, BadSchema> {
        Ok(match type_of(raw)? {
            "string" => Shape::String,
            "integer" => Shape::Integer,
            "number" => Shape::Number,
            "boolean" => Shape::Boolean,
            "array" => Shape::List(self.list(raw)?),
            "object" => self.object(raw, open)?,
            _ => Shape::Any,
        })
    }

    fn object(&mut self, raw: &Value, open: bool) -> Result<Shape, BadSchema> {
        let mut fields = BTreeMap::new();
        let known = raw.get("properties").and_then(Value::as_object);
        for (name, field) in known.into_iter().flatten() {
            fields.insert(name.clone(), self.schema(field)?);
        }
        let rest = match raw.get("additionalProperties") {
            Some(Value::Object(rest)) => Some(self.schema(&Value::Object(rest.clone()))?),
            Some(Value::Bool(true)) => Some(Schema::default()),
            _ if open => Some(Schema::default()),
            _ => None,
        };
        if fields.is_empty() && rest.is_none() {
            // An object of which nothing is said, as for raw extensions.
            return Ok(Shape::Object(Object {
                rest: open.then(Box::default),
                ..Object::default()
            }));
        }
        let names = raw.get("required").and_then(Value::as_array);
        let required = names.into_iter().flatten().filter_map(Value::as_str);
        Ok(Shape::Object(Object {
            fields,
            rest: rest.map(Box::new),
            required: required.map(str::to_owned).collect(),
            atomic: raw.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic"),
        }))
    }

    fn list(&mut self, raw: &Value) -> Result<List, BadSchema> {
        let items = match raw.get("items") {
            Some(items) => self.schema(items)?,
            None => Schema::default(),
        };
        let keys = raw.get("x-kubernetes-list-map-keys");
        let keys = keys.and_then(Value::as_array).into_iter().flatten();
        let identity = match raw.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("map") => {
                Identity::Keys(keys.filter_map(Value::as_str).map(str::to_owned).collect())
            }
            Some("set") => Identity::Set,
            _ => Identity::Atomic,
        };
        Ok(List {
            items: Box::new(items),
            identity,
            merge_key: None,
        })
    }
}

/// Returns the one type of a schema; empty when it says none.
fn type_of(raw: &Value) -> Result<&str, BadSchema> {
    let known = ["string", "integer", "number", "boolean", "array", "object"];
    match raw.get("type") {
        None if raw.get("properties").is_some() => Ok("object"),
        None => Ok(""),
        Some(Value::String(name)) if known.contains(&name.as_str()) => Ok(name),
        Some(other) => Err(BadSchema::Type(other.to_string())),
    }
}

fn checks(raw: &Value) -> Result<Checks, BadSchema> {
    let number = |word: &str| raw.get(word).and_then(Value::as_f64);
    let size = |words: [&str; 3]| {
        let found = words.iter().find_map(|word| raw.get(word)?.as_u64());
        found.map(|n| usize::try_from(n).unwrap_or(usize::MAX))
    };
    let text = |word: &str| raw.get(word).and_then(Value::as_str);
    let values = raw.get("enum").and_then(Value::as_array);
    let rules = raw
        .get("x-kubernetes-validations")
        .and_then(Value::as_array);
    Ok(Checks {
        one_of_values: values.cloned().unwrap_or_default(),
        pattern: text("pattern").map(Regex::new).transpose()?,
        format: text("format").map(str::to_owned),
        minimum: number("minimum"),
        maximum: number("maximum"),
        least: size(["minLength", "minItems", "minProperties"]),
        most: size(["maxLength", "maxItems", "maxProperties"]),
        logic: logic::compile(raw)?,
        rules: rules
            .into_iter()
            .flatten()
            .map(Rule::compile)
            .collect::<Result<_, _>>()?,
    })
}
