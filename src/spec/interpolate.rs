//! Puts variables into the tree: `${var.NAME}` in any value but `vars` and `apiVersion`.
//!
//! A value that is nothing but a variable takes the variable's type; inside a longer text
//! the variable is put in as it was written. `$${var.NAME}` stands for the text itself,
//! and any other `${...}` is none of our business: scripts are full of it.
//!
//! Invariants:
//! 1. What a variable brings in is never searched for variables again.
//! 2. What all uses together bring in is bounded.

use std::sync::Arc;

use crate::diag::Code;

use super::place::{At, Mark};
use super::problems::Problems;
use super::tree::{Allowance, Node, Value, dotted};
use super::vars::{Variable, Variables};
use super::words::{nearest, quoted};

/// The top-level fields that variables are not put into.
const UNTOUCHED: [&str; 2] = ["apiVersion", "vars"];

/// Puts the variables into the tree.
///
/// A value whose variable has none is marked as broken, and its variable reported.
pub(super) fn interpolate(root: &mut Node, variables: &Variables, problems: &mut Problems) {
    let mut pass = Pass {
        variables,
        problems,
        copies: Allowance::new(),
        path: Vec::new(),
    };
    for (key, entry) in root.map_mut().into_iter().flatten() {
        if !UNTOUCHED.contains(&key.as_str()) {
            pass.path.push(key.clone());
            pass.node(&mut entry.node);
            pass.path.pop();
        }
    }
}

struct Pass<'a> {
    variables: &'a Variables,
    problems: &'a mut Problems,
    copies: Allowance,
    path: Vec<String>,
}

impl<'a> Pass<'a> {
    fn node(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Null | Value::Bool(_) | Value::Number(..) => {}
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.path.push(index.to_string());
                    self.node(item);
                    self.path.pop();
                }
            }
            Value::Map(map) => {
                for (key, entry) in map {
                    self.path.push(key.clone());
                    self.key(key, entry.key);
                    self.node(&mut entry.node);
                    self.path.pop();
                }
            }
            Value::Text(text) => {
                let text = std::mem::take(text);
                self.text(node, text);
            }
        }
    }

    fn key(&mut self, key: &str, mark: Mark) {
        let uses = |piece: &Piece<'_>| matches!(piece, Piece::Variable { .. });
        if pieces(key).iter().any(uses) {
            let at = self.at(mark);
            let hint = "write the key out; variables stand in values";
            self.problems
                .error(Code::Variable, &at, "a key cannot use a variable", hint);
        }
    }

    fn text(&mut self, node: &mut Node, text: String) {
        let pieces = pieces(&text);
        if let [Piece::Variable { name, written }] = pieces.as_slice() {
            match self.value(name, written, node.mark) {
                Some(variable) => {
                    node.origin = Some(Arc::from(format!(
                        "`{written}` is {}, {}",
                        variable.value.described(),
                        variable.setter
                    )));
                    node.value = variable.value.value.clone();
                }
                None => {
                    node.broken = true;
                    node.value = Value::Text(text);
                }
            }
            return;
        }
        let mut out = String::with_capacity(text.len());
        let mut used = Vec::new();
        for piece in pieces {
            let (name, written) = match piece {
                Piece::Literal(literal) => {
                    out.push_str(literal);
                    continue;
                }
                Piece::Variable { name, written } => (name, written),
            };
            let variable = self.value(name, written, node.mark);
            let value = variable.map(|variable| match &variable.value.value {
                Value::Text(text) | Value::Number(_, text) => Ok(text.clone()),
                Value::Bool(flag) => Ok(flag.to_string()),
                Value::Null | Value::List(_) | Value::Map(_) => Err(variable.value.described()),
            });
            match value {
                Some(Ok(value)) => {
                    used.push(format!("`{written}` is {}", quoted(&value)));
                    out.push_str(&value);
                }
                Some(Err(found)) => {
                    let at = self.at(self.inside(node.mark, written));
                    let summary = format!("`{written}` is {found}, and cannot be part of a text");
                    let hint = "let the variable be the whole value";
                    self.problems.error(Code::Variable, &at, summary, hint);
                    node.broken = true;
                }
                None => node.broken = true,
            }
        }
        if !used.is_empty() {
            node.origin = Some(Arc::from(used.join(", ")));
        }
        node.value = Value::Text(out);
    }

    /// Returns a variable that has a value; otherwise the problem is reported.
    fn value(&mut self, name: &str, written: &str, mark: Mark) -> Option<&'a Variable> {
        let at = self.at(self.inside(mark, written));
        let variables = self.variables;
        let Some(variable) = variables.by_name.get(name) else {
            if !variables.unknown {
                let hint = match nearest(name, variables.by_name.keys().map(String::as_str)) {
                    Some(name) => format!("did you mean `${{var.{name}}}`?"),
                    None => format!(
                        "declare `{name}` under `vars`; for the text itself write `${written}`"
                    ),
                };
                let summary = format!("the variable `{name}` is not declared");
                self.problems.error(Code::Variable, &at, summary, hint);
            }
            return None;
        };
        if variable.broken {
            return None;
        }
        if !self.copies.take(variable.value.weight()) {
            let summary = format!(
                "variables put more than {} MiB into this file",
                Allowance::BYTES >> 20
            );
            self.problems
                .error(Code::Variable, &at, summary, "use large values less often");
            return None;
        }
        Some(variable)
    }

    /// Returns the span of a part of a scalar, as far as it can be found in its text.
    fn inside(&self, mark: Mark, written: &str) -> Mark {
        match self.problems.files.text(mark).find(written) {
            Some(offset) => Mark {
                file: mark.file,
                start: mark.start + offset,
                end: mark.start + offset + written.len(),
            },
            None => mark,
        }
    }

    fn at(&self, mark: Mark) -> At {
        At {
            mark,
            field: dotted(&self.path),
        }
    }
}

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text that stands for itself.
    Literal(&'a str),
    /// A variable, and how it is written.
    Variable { name: &'a str, written: &'a str },
}

const OPENING: &str = "${var.";

/// Takes a text apart.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut literal = 0;
    let mut searched = 0;
    while let Some(found) = text.get(searched..).and_then(|rest| rest.find(OPENING)) {
        let start = searched + found;
        let rest = text.get(start + OPENING.len()..).unwrap_or("");
        let length = rest.find(|c| !is_name_part(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at_checked(length).unwrap_or_default();
        if !is_name(name) || !behind.starts_with('}') {
            searched = start + OPENING.len();
            continue;
        }
        let end = start + OPENING.len() + name.len() + 1;
        let before = text.get(literal..start).unwrap_or("");
        let written = text.get(start..end).unwrap_or("");
        match before.strip_suffix('$') {
            Some(before) => {
                pieces.push(Piece::Literal(before));
                pieces.push(Piece::Literal(written));
            }
            None => {
                pieces.push(Piece::Literal(before));
                pieces.push(Piece::Variable { name, written });
            }
        }
        (literal, searched) = (end, end);
    }
    pieces.push(Piece::Literal(text.get(literal..).unwrap_or("")));
    pieces.retain(|piece| *piece != Piece::Literal(""));
    pieces
}

/// What [`is_name`] accepts, as the JSON Schema says it.
pub(super) const REFERENCE_PATTERN: &str = r"\$\{var\.[A-Za-z_][-A-Za-z0-9_]*\}";

/// Returns whether a variable can have this name.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(is_name_part)
}

fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let show = |piece: &Piece<'_>| match piece {
            Piece::Literal(text) => (*text).to_owned(),
            Piece::Variable { name, .. } => format!("<{name}>"),
        };
        pieces(text).iter().map(show).collect()
    }

    #[test]
    fn only_variables_are_taken_out() {
        let cases = [
            ("${var.a}", "<a>"),
            ("x${var.a-b}y${var._1}", "x<a-b>y<_1>"),
            ("$${var.a}", "${var.a}"),
            ("$$${var.a}", "$${var.a}"),
            ("$${HOME} ${HOME} $$", "$${HOME} ${HOME} $$"),
            ("${var.}${var.1}${var.a b}", "${var.}${var.1}${var.a b}"),
            ("${var.${var.a}}", "${var.<a>}"),
            ("${var.a", "${var.a"),
            ("ü${var.a}ü", "ü<a>ü"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }
}
