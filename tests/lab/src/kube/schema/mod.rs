//! What an object of a kind may hold, compiled once from its OpenAPI schema.
//!
//! One tree serves validation, pruning, defaults and server-side apply. Pure: it knows no
//! object and no request. What a schema says that this tree has no place for is refused when
//! it is compiled, never passed over at a write.

pub mod cel;
pub mod compile;
pub mod logic;
pub mod typed;
pub mod unknown;
pub mod validate;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use self::cel::Rule;
use self::logic::Logic;

/// What a value may be.
#[derive(Debug, Default)]
pub struct Schema {
    /// Its form.
    pub shape: Shape,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it is when it is left out.
    pub default: Option<Value>,
    /// What else it has to be.
    pub checks: Checks,
}

/// The form of a value.
#[derive(Debug, Default)]
pub enum Shape {
    /// Anything: nothing is known of it.
    #[default]
    Any,
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A whole number or a text.
    IntOrString,
    /// A map with known names, any names, or both.
    Object(Object),
    /// A list.
    List(List),
}

/// A map.
#[derive(Debug, Default)]
pub struct Object {
    /// The names that are known.
    pub fields: BTreeMap<String, Schema>,
    /// What values under other names are; `None` when there may be no other names.
    pub rest: Option<Box<Schema>>,
    /// The names that have to be there.
    pub required: Vec<String>,
    /// Whether it is owned as a whole.
    pub atomic: bool,
}

/// A list.
#[derive(Debug)]
pub struct List {
    /// What its items are.
    pub items: Box<Schema>,
    /// How items are told apart.
    pub identity: Identity,
    /// The one key by which a strategic merge patch tells items apart, when it may.
    pub merge_key: Option<String>,
}

/// How the items of a list are told apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Identity {
    /// Not at all: the list is one value.
    Atomic,
    /// By their value.
    Set,
    /// By these of their fields.
    Keys(Vec<String>),
}

/// What a value has to be beside its form.
#[derive(Debug, Default)]
pub struct Checks {
    /// The values that may be; empty for all.
    pub one_of_values: Vec<Value>,
    /// What a text has to match, as written.
    pub pattern: Option<Regex>,
    /// The meaning of a text, such as `date-time`.
    pub format: Option<String>,
    /// The smallest number.
    pub minimum: Option<f64>,
    /// The greatest number.
    pub maximum: Option<f64>,
    /// The least of characters, items or names.
    pub least: Option<usize>,
    /// The most of characters, items or names.
    pub most: Option<usize>,
    /// Combinations of fields.
    pub logic: Vec<Logic>,
    /// Rules in CEL.
    pub rules: Vec<Rule>,
}

impl Schema {
    /// Returns a schema that says nothing but a form.
    pub fn of(shape: Shape) -> Self {
        Self {
            shape,
            ..Self::default()
        }
    }

    /// Returns what the value under a name is; `None` when there may be none.
    pub fn field(&self, name: &str) -> Option<&Schema> {
        match &self.shape {
            Shape::Object(object) => object.fields.get(name).or(object.rest.as_deref()),
            Shape::Any => Some(&ANY),
            Shape::String
            | Shape::Integer
            | Shape::Number
            | Shape::Boolean
            | Shape::IntOrString
            | Shape::List(_) => None,
        }
    }

    /// Returns whether a name is one of those that the schema spells out.
    pub fn names(&self, name: &str) -> bool {
        matches!(&self.shape, Shape::Object(object) if object.fields.contains_key(name))
    }

    /// Returns what the items of a list are, and how they are told apart.
    pub fn items(&self) -> (&Schema, &Identity) {
        match &self.shape {
            Shape::List(list) => (&list.items, &list.identity),
            Shape::Any
            | Shape::String
            | Shape::Integer
            | Shape::Number
            | Shape::Boolean
            | Shape::IntOrString
            | Shape::Object(_) => (&ANY, &Identity::Atomic),
        }
    }

    /// Returns the schema at a path of names, to be changed. Lists are passed through to their
    /// items, maps of any names to their values.
    pub fn at_mut(&mut self, path: &str) -> Option<&mut Schema> {
        path.split('.').try_fold(self, |schema, name| {
            let mut shape = &mut schema.shape;
            while let Shape::List(list) = shape {
                shape = &mut list.items.shape;
            }
            match shape {
                Shape::Object(object) => match object.fields.get_mut(name) {
                    Some(field) => Some(field),
                    None => object.rest.as_deref_mut(),
                },
                Shape::Any
                | Shape::String
                | Shape::Integer
                | Shape::Number
                | Shape::Boolean
                | Shape::IntOrString
                | Shape::List(_) => None,
            }
        })
    }

    /// Returns whether rules in CEL are anywhere in the schema.
    pub fn has_rules(&self) -> bool {
        !self.checks.rules.is_empty()
            || match &self.shape {
                Shape::Object(object) => {
                    object.fields.values().any(Schema::has_rules)
                        || object.rest.as_deref().is_some_and(Schema::has_rules)
                }
                Shape::List(list) => list.items.has_rules(),
                Shape::Any
                | Shape::String
                | Shape::Integer
                | Shape::Number
                | Shape::Boolean
                | Shape::IntOrString => false,
            }
    }
}

/// The schema of what nothing is known of.
pub static ANY: Schema = Schema {
    shape: Shape::Any,
    nullable: true,
    default: None,
    checks: Checks {
        one_of_values: Vec::new(),
        pattern: None,
        format: None,
        minimum: None,
        maximum: None,
        least: None,
        most: None,
        logic: Vec::new(),
        rules: Vec::new(),
    },
};
