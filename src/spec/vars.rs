//! Variables: what is declared under `vars`, and the value that each of them has.
//!
//! Invariant: only declared variables have values; of the four sources `--var` wins over
//! `--var-file`, that over the environment, and that over the default.

use std::collections::BTreeMap;

use crate::diag::{Code, Diagnostic};

use super::interpolate::{Piece, is_name, pieces};
use super::place::{At, Mark};
use super::plain;
use super::problems::Problems;
use super::tree::{Map, Node, Value, dotted};
use super::words::{list, nearest, quoted};

/// Declared variables with their values.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// The variables, by name.
    pub by_name: BTreeMap<String, Variable>,
    /// Whether `vars` cannot be read, so that nothing is known of what is declared.
    pub unknown: bool,
}

/// A variable.
#[derive(Debug)]
pub(super) struct Variable {
    /// Its value.
    pub value: Node,
    /// What gave it the value, for people.
    pub setter: String,
    /// Whether a problem with its value was reported.
    pub broken: bool,
}

/// Values that were given beside the fleet files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    /// What `--var` says.
    pub vars: &'a BTreeMap<String, String>,
    /// The merged `--var-file`s, if there are any.
    pub files: Option<&'a Map>,
    /// What `MESHVM_VAR_NAME` says, by NAME.
    pub env: &'a BTreeMap<String, String>,
}

/// Finds the value of every variable that the tree declares.
pub(super) fn resolve(root: &Node, given: Given<'_>, problems: &mut Problems) -> Variables {
    let empty = Map::new();
    let declared = match root.get("vars").map(|entry| &entry.node) {
        None => &empty,
        Some(node) => match (&node.value, node.map()) {
            (Value::Null, _) => &empty,
            (_, Some(map)) => map,
            (_, None) => {
                return Variables {
                    unknown: true,
                    ..Variables::default()
                };
            }
        },
    };
    report_undeclared(declared, given, problems);
    let mut by_name = BTreeMap::new();
    for (name, entry) in declared {
        let key = At {
            mark: entry.key,
            field: format!("vars.{name}"),
        };
        if !is_name(name) {
            let hint = "begin with a letter or _, and go on with letters, digits, _ and -";
            problems.error(
                Code::Variable,
                &key,
                format!("`{name}` cannot be a variable's name"),
                hint,
            );
        }
        report_nested(&entry.node, &["vars", name], problems);
        let variable = value(name, &entry.node, given, &key, problems);
        by_name.insert(name.clone(), variable);
    }
    for (name, entry) in given.files.into_iter().flatten() {
        report_nested(&entry.node, &[name], problems);
    }
    let unknown = false;
    Variables { by_name, unknown }
}

fn report_undeclared(declared: &Map, given: Given<'_>, problems: &mut Problems) {
    let hint = |name: &str| match nearest(name, declared.keys().map(String::as_str)) {
        Some(name) => format!("did you mean `{name}`?"),
        None if declared.is_empty() => format!("declare it: `vars: {{{name}: null}}`"),
        None => format!("declared are {}", list(declared.keys().map(String::as_str))),
    };
    for name in given.vars.keys() {
        if !declared.contains_key(name) {
            let summary = format!("`--var {name}` sets a variable that is not declared");
            problems.add(
                None,
                Diagnostic::error(Code::Variable, summary).with_hint(hint(name)),
            );
        }
    }
    for (name, entry) in given.files.into_iter().flatten() {
        if !declared.contains_key(name) {
            let at = At {
                mark: entry.key,
                field: name.clone(),
            };
            let summary = format!("`{name}` sets a variable that is not declared");
            problems.error(Code::Variable, &at, summary, hint(name));
        }
    }
}

fn report_nested(node: &Node, path: &[&str], problems: &mut Problems) {
    each_text(node, &mut |text, mark| {
        let name = pieces(text).into_iter().find_map(|piece| match piece {
            Piece::Variable { name, .. } => Some(name.to_owned()),
            Piece::Literal(_) => None,
        });
        if let Some(name) = name {
            let at = At {
                mark,
                field: dotted(path),
            };
            let summary = format!("the value of a variable cannot use a variable (`{name}`)");
            problems.error(
                Code::Variable,
                &at,
                summary,
                "write the value out, or use both where it is used",
            );
        }
    });
}

fn each_text(node: &Node, visit: &mut impl FnMut(&str, Mark)) {
    match &node.value {
        Value::Text(text) => visit(text, node.mark),
        Value::List(items) => items.iter().for_each(|item| each_text(item, visit)),
        Value::Map(map) => map.values().for_each(|entry| each_text(&entry.node, visit)),
        Value::Null | Value::Bool(_) | Value::Number(..) => {}
    }
}

fn value(
    name: &str,
    default: &Node,
    given: Given<'_>,
    key: &At,
    problems: &mut Problems,
) -> Variable {
    let from_file = given
        .files
        .and_then(|files| files.get(name))
        .map(|entry| &entry.node)
        .filter(|node| node.value != Value::Null);
    let text = match (given.vars.get(name), from_file, given.env.get(name)) {
        (Some(text), _, _) => Some((text, format!("--var {name}"))),
        (None, None, Some(text)) => Some((text, format!("MESHVM_VAR_{name}"))),
        (None, Some(_), _) | (None, None, None) => None,
    };
    if let Some((text, setter)) = text {
        return match typed(text, &default.value) {
            Ok(value) => Variable {
                value: Node::new(value, default.mark),
                setter: format!("set by {setter}"),
                broken: false,
            },
            Err(wanted) => {
                let summary = format!("{setter}: {} is not {wanted}", quoted(text));
                let hint = "the type is that of the default, which stands here";
                problems.error(Code::Variable, key, summary, hint);
                Variable {
                    value: default.clone(),
                    setter,
                    broken: true,
                }
            }
        };
    }
    if let Some(node) = from_file {
        let setter = format!("set in {}", problems.files.file_name(node.mark.file));
        let broken = node.has_broken();
        let value = node.clone();
        return Variable {
            value,
            setter,
            broken,
        };
    }
    let unset = default.value == Value::Null && !default.broken;
    if unset {
        let summary = format!("the variable `{name}` has no value");
        let hint = format!(
            "give it one: --var {name}=…, a --var-file, or MESHVM_VAR_{name} in the environment"
        );
        problems.error(Code::Variable, key, summary, hint);
    }
    Variable {
        value: default.clone(),
        setter: "its default".to_owned(),
        broken: unset || default.has_broken(),
    }
}

/// Reads a text as what the default is; the error names what is wanted.
fn typed(text: &str, default: &Value) -> Result<Value, &'static str> {
    let as_text = || Value::Text(text.to_owned());
    match default {
        Value::Text(_) => Ok(as_text()),
        Value::Null if text.is_empty() => Ok(as_text()),
        Value::Null => plain::resolve(text).or(Err("a value that can be used")),
        Value::Number(..) => match plain::resolve(text) {
            Ok(value @ Value::Number(..)) => Ok(value),
            Ok(_) | Err(plain::Unusable) => Err("a number"),
        },
        Value::Bool(_) => match plain::resolve(text) {
            Ok(value @ Value::Bool(_)) => Ok(value),
            Ok(_) | Err(plain::Unusable) => Err("true or false"),
        },
        Value::List(_) => Err("a list, which only a file can give"),
        Value::Map(_) => Err("a map, which only a file can give"),
    }
}
