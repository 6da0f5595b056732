//! YAML as istioctl writes it: the form of Go's `sigs.k8s.io/yaml`, which is that of `yaml.v2`.
//!
//! Keys are in that library's natural order, and lists are not indented below their key. A text is
//! plain where it can be, and stands in single quotes, in double quotes or as a block where it has
//! to.
//!
//! What is written is always read back as what was meant, by readers of YAML 1.1 and 1.2 both. Where
//! the library has no such form, this one has: line ends of YAML 1.1 that 1.2 does not know are
//! escaped, keys stand on one line however long they are, and the key `<<` is quoted.

mod number;
mod plain;
mod scalar;

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// How much further in a block stands than the one around it.
const INDENT: usize = 2;

/// Returns a value as YAML, with a line end.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match collection(value) {
        Some(block) => block.write(0, &mut out),
        None => line(value, INDENT, &mut out),
    }
    out
}

/// What stands on lines of its own.
enum Block<'a> {
    Map(&'a Map<String, Value>),
    List(&'a [Value]),
}

/// Returns what is not empty in a map or list.
fn collection(value: &Value) -> Option<Block<'_>> {
    match value {
        Value::Object(map) => (!map.is_empty()).then_some(Block::Map(map)),
        Value::Array(items) => (!items.is_empty()).then_some(Block::List(items)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

impl Block<'_> {
    /// Writes it where its first line has begun and the others are indented.
    fn write(&self, indent: usize, out: &mut String) {
        match self {
            Self::Map(map) => {
                for (index, (key, value)) in in_order(map).into_iter().enumerate() {
                    if index > 0 {
                        pad(indent, out);
                    }
                    scalar::key(key, out);
                    out.push(':');
                    match collection(value) {
                        // A list stands right below its key.
                        Some(list @ Self::List(_)) => list.begin(indent, out),
                        Some(map @ Self::Map(_)) => map.begin(indent + INDENT, out),
                        None => end(value, indent, out),
                    }
                }
            }
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        pad(indent, out);
                    }
                    out.push('-');
                    match collection(item) {
                        Some(block) => {
                            out.push(' ');
                            block.write(indent + INDENT, out);
                        }
                        None => end(item, indent, out),
                    }
                }
            }
        }
    }

    /// Writes it on the next line.
    fn begin(&self, indent: usize, out: &mut String) {
        out.push('\n');
        pad(indent, out);
        self.write(indent, out);
    }
}

/// Writes what stands behind a key or a dash.
fn end(value: &Value, indent: usize, out: &mut String) {
    out.push(' ');
    line(value, indent + INDENT, out);
}

/// Writes the rest of a line, and the lines of a text whose others are indented.
fn line(value: &Value, indent: usize, out: &mut String) {
    leaf(value, indent, out);
    // What ends with the last line of a text has its line end already.
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

fn leaf(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number::to_string(number)),
        Value::String(text) => scalar::text(text, indent, out),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Returns the entries of a map in the library's order.
fn in_order(map: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let mut entries: Vec<(&str, &Value)> = map.iter().map(|(k, v)| (k.as_str(), v)).collect();
    entries.sort_by_key(|(key, _)| *key);
    // That order is none in some corners: `1` < `01` < `0a` < `1`. Sorting by it could panic.
    let mut sorted: Vec<(&str, &Value)> = Vec::with_capacity(entries.len());
    for entry in entries {
        let before = sorted
            .iter()
            .rposition(|known| natural(known.0, entry.0) == Ordering::Less);
        sorted.insert(before.map_or(0, |index| index + 1), entry);
    }
    sorted
}

/// Compares keys as the library does: letters after other characters, and numbers by value.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(index) = a.iter().zip(&b).position(|(x, y)| x != y) else {
        return a.len().cmp(&b.len());
    };
    let (x, y) = (a[index], b[index]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => x.cmp(&y),
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => numbers(&a, &b, index).then(x.cmp(&y)),
    }
}

/// Compares the numbers that begin at a place, if any.
fn numbers(a: &[char], b: &[char], index: usize) -> Ordering {
    let digits = |text: &[char]| -> String {
        text[index..]
            .iter()
            .take_while(|c| c.is_ascii_digit())
            .collect()
    };
    let (x, y) = (digits(a), digits(b));
    // Behind other digits a zero counts, at the beginning of a number it does not.
    let goes_on = (x.starts_with('0') || y.starts_with('0'))
        && a[..index]
            .iter()
            .rev()
            .take_while(|c| c.is_ascii_digit())
            .any(|c| *c != '0');
    let (value, other) = match goes_on {
        true => (format!("1{x}"), format!("1{y}")),
        false => (significant(&x), significant(&y)),
    };
    let by_value = value.len().cmp(&other.len()).then(value.cmp(&other));
    by_value.then(x.len().cmp(&y.len()))
}

fn significant(digits: &str) -> String {
    digits.trim_start_matches('0').to_owned()
}
