//! Holds the finished tree against its JSON Schema, and says in words what does not fit.
//!
//! The validator finds the mistakes; this module finds their places, chooses among the
//! branches of a choice the one that was meant, and leaves the wording of single values
//! to [`super::phrase`].
//!
//! Invariant: every mistake that the validator finds is reported, unless something was
//! reported at the same value before.

use std::borrow::Cow;
use std::collections::BTreeSet;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::paths::LocationSegment;
use serde_json::{Map, Value};

use crate::diag::{Code, Diagnostic};

use super::phrase;
use super::problems::Problems;
use super::tree::{self, Node, dotted};
use super::words::{list, nearest};

/// The paths of what does not fit the schema.
#[derive(Debug, Default)]
pub(super) struct Broken(BTreeSet<Vec<String>>);

impl Broken {
    /// Returns whether the value at a path itself does not fit the schema.
    pub fn is_at(&self, path: &[&str]) -> bool {
        self.0.contains(&owned(path))
    }

    /// Returns whether something at a path, or inside it, does not fit the schema.
    pub fn touches(&self, path: &[&str]) -> bool {
        let path = owned(path);
        // Paths are sorted, so that those inside of a path follow right behind it.
        let next = self.0.range(path.clone()..).next();
        next.is_some_and(|broken| broken.starts_with(&path))
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(ToString::to_string).collect()
}

/// Reports everything in which the tree does not fit the schema.
///
/// `missing_features` are the providers that meshvm knows and this build lacks.
pub(super) fn check(
    root: &Node,
    schema: &Value,
    missing_features: &[&str],
    problems: &mut Problems,
) -> Broken {
    let options = jsonschema::options().offline();
    let validator = match options.build(schema) {
        Ok(validator) => validator,
        Err(error) => {
            let summary = format!("the schema of this build of meshvm is not valid: {error}");
            let hint = "a provider's block has a mistake in its schema; this is a bug in meshvm";
            problems.add(
                None,
                Diagnostic::error(Code::Shape, summary).with_hint(hint),
            );
            return Broken(BTreeSet::from([Vec::new()]));
        }
    };
    let json = root.json();
    let mut shape = Shape {
        root,
        schema,
        missing_features,
        problems,
        broken: Broken::default(),
    };
    let errors: Vec<ValidationError<'_>> = validator.iter_errors(&json).collect();
    // What is wrong in `defaults` is told there, not in the first fleet that has it from there.
    let in_defaults =
        |error: &ValidationError<'_>| error.instance_path().as_str().starts_with("/defaults");
    for error in errors.iter().filter(|error| in_defaults(error)) {
        shape.explain(error);
    }
    for error in errors.iter().filter(|error| !in_defaults(error)) {
        shape.explain(error);
    }
    shape.broken
}

struct Shape<'a> {
    root: &'a Node,
    schema: &'a Value,
    missing_features: &'a [&'a str],
    problems: &'a mut Problems,
    broken: Broken,
}

impl Shape<'_> {
    fn explain(&mut self, error: &ValidationError<'_>) {
        let path = instance_path(error);
        if self.was_reported(&path) {
            self.broken.0.insert(path);
            return;
        }
        match error.kind() {
            Kind::AdditionalProperties { unexpected }
            | Kind::UnevaluatedProperties { unexpected } => {
                for name in unexpected {
                    self.unknown_field(error, &path, name);
                }
            }
            Kind::Required { property } => {
                self.missing_field(error, &path, property.as_str().unwrap_or_default());
            }
            Kind::PropertyNames { error: inner } => {
                let name = match inner.instance().as_ref() {
                    Value::String(name) => name.as_str(),
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::Array(_)
                    | Value::Object(_) => "",
                };
                let path: Vec<String> = path.into_iter().chain([name.to_owned()]).collect();
                let at = self.root.locate_key(&path);
                let key = Node::new(tree::Value::Text(name.to_owned()), at.mark);
                let diagnostic = phrase::value(inner, &key, self.holder(inner));
                self.problems.add(Some(&at), diagnostic);
                self.broken.0.insert(path);
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                self.choice(error, path, context);
            }
            _ => {
                let nothing = Node::new(tree::Value::Null, self.root.mark);
                let node = self.root.at(&path).unwrap_or(&nothing);
                let diagnostic = phrase::value(error, node, self.holder(error));
                let at = self.root.locate(&path);
                self.problems.add(Some(&at), diagnostic);
                self.broken.0.insert(path);
            }
        }
    }

    fn unknown_field(&mut self, error: &ValidationError<'_>, parent: &[String], name: &str) {
        let path: Vec<String> = parent.iter().cloned().chain([name.to_owned()]).collect();
        let at = self.root.locate_key(&path);
        let in_fleet = match parent {
            [section] => section == "defaults",
            [section, _] => section == "fleets",
            _ => false,
        };
        let diagnostic = if in_fleet && self.missing_features.contains(&name) {
            Diagnostic::error(
                Code::Provider,
                format!("this build has no provider `{name}`"),
            )
            .with_hint(format!("build meshvm with `--features {name}`"))
        } else {
            let found = Diagnostic::error(
                Code::Shape,
                format!("unknown field `{name}`{}", inside(parent)),
            );
            let fields = self.holder(error).and_then(field_names);
            let known = fields.unwrap_or_default();
            match nearest(name, known.iter().copied()) {
                Some(name) => found.with_hint(format!("did you mean `{name}`?")),
                None if known.is_empty() => found,
                None => found.with_hint(format!("known are {}", list(known))),
            }
        };
        let key = format!("unknown {name}");
        self.problems.add_keyed(Some(&at), key, diagnostic);
        self.broken.0.insert(path);
    }

    fn missing_field(&mut self, error: &ValidationError<'_>, parent: &[String], name: &str) {
        let mut at = self.root.locate(parent);
        let path: Vec<String> = parent.iter().cloned().chain([name.to_owned()]).collect();
        at.field = dotted(&path);
        let summary = format!("missing field `{name}`{}", inside(parent));
        let described = self
            .holder(error)
            .and_then(|schema| schema.get("properties")?.get(name))
            .and_then(|field| self.description(field));
        let hint = match described {
            Some(text) => format!("add `{name}`: {text}"),
            None => format!("add `{name}`"),
        };
        let diagnostic = Diagnostic::error(Code::Shape, summary).with_hint(hint);
        self.problems
            .add_keyed(Some(&at), format!("missing {name}"), diagnostic);
        self.broken.0.insert(parent.to_vec());
    }

    /// Explains a value that fits none of several branches by the branch that was meant.
    fn choice(
        &mut self,
        error: &ValidationError<'_>,
        path: Vec<String>,
        context: &[Vec<ValidationError<'static>>],
    ) {
        let here = error.instance_path().as_str();
        let differs_here = |inner: &ValidationError<'_>| {
            inner.instance_path().as_str() == here && decides(inner.kind())
        };
        let meant = context
            .iter()
            .filter(|branch| !branch.iter().any(differs_here))
            .min_by_key(|branch| branch.len());
        if let Some(branch) = meant {
            return branch.iter().for_each(|inner| self.explain(inner));
        }
        let branches: Vec<&Value> = self
            .schema
            .pointer(error.schema_path().as_str())
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|branch| self.resolved(branch))
            .collect();
        let tags: Vec<Option<&str>> = branches.iter().map(|branch| tag(branch)).collect();
        let node = self.root.at(&path);
        let has = |name: &str| node.is_some_and(|node| node.get(name).is_some());
        let present: Vec<usize> = (0..tags.len())
            .filter(|index| tags.get(*index).copied().flatten().is_some_and(has))
            .collect();
        if let [only] = present.as_slice()
            && let Some(branch) = context.get(*only)
        {
            return branch.iter().for_each(|inner| self.explain(inner));
        }
        let is_map = node.is_some_and(|node| node.map().is_some());
        let known: Vec<&str> = tags.into_iter().flatten().collect();
        let at = self.root.locate(&path);
        let field = path.last().map_or("this", String::as_str);
        let diagnostic = if is_map && !known.is_empty() {
            let names = list(known.iter().copied());
            let summary = match known.as_slice() {
                [only] => format!("`{field}` must have the field `{only}`"),
                _ => format!("`{field}` must have exactly one of {names}"),
            };
            let wrong = node.and_then(Node::map).and_then(|map| map.keys().next());
            let found = Diagnostic::error(Code::Shape, summary);
            let wrong = wrong.filter(|_| present.is_empty());
            match wrong.and_then(|name| nearest(name, known.iter().copied())) {
                Some(name) => found.with_hint(format!("did you mean `{name}`?")),
                None => match self.description(self.schema_of(error)) {
                    Some(text) => found.with_hint(text),
                    None => found,
                },
            }
        } else {
            let options: Vec<String> = branches.iter().flat_map(|b| phrase::options(b)).collect();
            let nothing = Node::new(tree::Value::Null, at.mark);
            phrase::none_of(&options, node.unwrap_or(&nothing))
        };
        self.problems.add(Some(&at), diagnostic);
        self.broken.0.insert(path);
    }

    fn was_reported(&self, path: &[String]) -> bool {
        (0..=path.len()).any(|length| {
            let parents = path.get(..length).unwrap_or_default();
            self.root.at(parents).is_some_and(|node| node.broken)
        })
    }

    fn schema_of(&self, error: &ValidationError<'_>) -> &Value {
        let pointer = error.schema_path().as_str();
        let holder = pointer.rsplit_once('/').map_or("", |(holder, _)| holder);
        self.schema.pointer(holder).unwrap_or(&Value::Null)
    }

    /// Returns the schema object whose keyword failed.
    fn holder(&self, error: &ValidationError<'_>) -> Option<&Map<String, Value>> {
        self.schema_of(error).as_object()
    }

    fn description(&self, schema: &Value) -> Option<String> {
        let own = schema.get("description");
        own.or_else(|| self.resolved(schema).get("description"))
            .and_then(Value::as_str)
            .map(phrase::summary)
    }

    /// Follows a reference.
    fn resolved<'v>(&'v self, schema: &'v Value) -> &'v Value {
        let target = schema.get("$ref").and_then(Value::as_str);
        target
            .and_then(|target| self.schema.pointer(target.strip_prefix('#')?))
            .unwrap_or(schema)
    }
}

/// Returns whether a mistake says that the value is of another kind than a branch wants.
fn decides(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Type { .. }
            | Kind::Constant { .. }
            | Kind::Enum { .. }
            | Kind::Required { .. }
            | Kind::AdditionalProperties { .. }
            | Kind::FalseSchema
            | Kind::AnyOf { .. }
            | Kind::OneOfNotValid { .. }
    )
}

/// Returns the one field by which a branch is told from the others.
fn tag(branch: &Value) -> Option<&str> {
    match branch.get("required")?.as_array()?.as_slice() {
        [Value::String(only)] => Some(only),
        _ => None,
    }
}

fn field_names(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    let fields = schema.get("properties")?.as_object()?;
    let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
    names.sort_unstable();
    Some(names)
}

fn inside(parent: &[String]) -> Cow<'static, str> {
    match parent.is_empty() {
        true => Cow::Borrowed(" at the top of the file"),
        false => Cow::Owned(format!(" in {}", dotted(parent))),
    }
}

fn instance_path(error: &ValidationError<'_>) -> Vec<String> {
    error
        .instance_path()
        .segments()
        .map(|segment| match segment {
            LocationSegment::Property(name) => name.into_owned(),
            LocationSegment::Index(index) => index.to_string(),
        })
        .collect()
}
