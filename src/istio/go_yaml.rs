//! YAML as istioctl writes it: the form of Go's `sigs.k8s.io/yaml`.
//!
//! Keys are in that library's natural order, lists are not indented below their key, and a text is
//! plain where it can be, in single quotes where only its characters forbid that, and in double
//! quotes where it would be read as something else than a text.
//! Lines are not folded: a text of more than 80 characters with spaces stands on one line here, and
//! on several there, which reads the same.

use std::cmp::Ordering;

use serde_json::Value;

/// Returns a value as YAML, with a line end.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut out),
        Value::Array(items) if !items.is_empty() => block(value, 0, &mut out),
        _ => {
            out.push_str(&scalar(value, 0));
            out.push('\n');
        }
    }
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by(|(a, _), (b, _)| natural(a, b));
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    pad(indent, out);
                }
                out.push_str(&text(key, indent));
                out.push(':');
                member(value, indent, indent + 2, out);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    pad(indent, out);
                }
                out.push('-');
                if is_block(item) {
                    out.push(' ');
                    block(item, indent + 2, out);
                } else {
                    member(item, indent, indent + 2, out);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Writes what stands behind a key or a dash.
fn member(value: &Value, indent: usize, deeper: usize, out: &mut String) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            pad(indent, out);
            block(value, indent, out);
        }
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            pad(deeper, out);
            block(value, deeper, out);
        }
        _ => {
            out.push(' ');
            out.push_str(&scalar(value, deeper));
            out.push('\n');
        }
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(value: &Value, indent: usize) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(string) => text(string, indent),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
    }
}

/// Returns a text in the style that it needs; `indent` is where the lines of a long one begin.
fn text(text: &str, indent: usize) -> String {
    let printable = text.chars().all(|c| !c.is_control() || c == '\n');
    if !printable {
        return double_quoted(text);
    }
    if text.contains('\n') {
        return literal(text, indent).unwrap_or_else(|| double_quoted(text));
    }
    if is_something_else(text) {
        return double_quoted(text);
    }
    if can_be_plain(text) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns a text of several lines as a literal block; `None` when only quotes keep it.
fn literal(text: &str, indent: usize) -> Option<String> {
    let trailing = text.len() - text.trim_end_matches('\n').len();
    // Spaces before line ends, and blank lines at the start, are not for literal blocks.
    if text.starts_with(['\n', ' ']) || text.contains(" \n") || text.ends_with(' ') {
        return None;
    }
    let chomping = match trailing {
        0 => "-",
        1 => "",
        _ => "+",
    };
    let mut block = format!("|{chomping}");
    let body = text.strip_suffix('\n').unwrap_or(text);
    for line in body.split('\n') {
        block.push('\n');
        if !line.is_empty() {
            pad(indent.max(2), &mut block);
            block.push_str(line);
        }
    }
    Some(block)
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\0' => quoted.push_str("\\0"),
            c if c.is_control() => quoted.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns whether a plain text would be read as a number, a truth value, a time or nothing: by
/// YAML 1.1 and 1.2 both.
fn is_something_else(text: &str) -> bool {
    const WORDS: [&str; 13] = [
        "", "~", "null", "true", "false", "y", "n", "yes", "no", "on", "off", "<<", "=",
    ];
    let lower = text.to_lowercase();
    if WORDS.contains(&lower.as_str()) || matches!(lower.as_str(), ".nan" | "nan" | "inf") {
        return true;
    }
    let unsigned = lower.strip_prefix(['-', '+']).unwrap_or(&lower);
    if matches!(unsigned, ".inf" | "inf") {
        return true;
    }
    let plain = unsigned.replace('_', "");
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    let based = [("0x", 16), ("0b", 2), ("0o", 8)]
        .iter()
        .any(|(prefix, radix)| {
            plain
                .strip_prefix(prefix)
                .is_some_and(|rest| digits(rest, *radix))
        });
    let is_number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && plain.parse::<f64>().is_ok();
    let parts: Vec<&str> = unsigned.split(':').collect();
    let base_60 = parts.len() > 1 && parts.iter().all(|part| digits(&part.replace('.', ""), 10));
    based || is_number || base_60 || is_time(text)
}

/// Returns whether a text begins as a date does.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    (0..4).all(digit) && bytes.get(4) == Some(&b'-') && digit(5)
}

/// Returns whether a text may stand without quotes in a block.
fn can_be_plain(text: &str) -> bool {
    const FIRST: &str = "#,[]{}&*!|>'\"%@`";
    let first = text.chars().next();
    let lone =
        |c: char| text.starts_with(c) && text[1..].chars().next().is_none_or(char::is_whitespace);
    !(first.is_none_or(|c| FIRST.contains(c))
        || text.starts_with("---")
        || text.starts_with("...")
        || lone('-')
        || lone('?')
        || lone(':')
        || text.starts_with(' ')
        || text.ends_with([' ', ':'])
        || text.contains(": ")
        || text.contains(" #"))
}

/// Compares keys as Go's YAML library does: letters after other characters, and numbers by value.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut after_digit = false;
    for index in 0..a.len().min(b.len()) {
        let (x, y) = (a[index], b[index]);
        if x == y {
            after_digit = x.is_numeric();
            continue;
        }
        return match (x.is_alphabetic(), y.is_alphabetic()) {
            (true, true) => x.cmp(&y),
            // A number that goes on is the larger one, a name that goes on the later.
            (true, false) if after_digit => Ordering::Less,
            (false, true) if after_digit => Ordering::Greater,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => numbers(&a, &b, index).then(x.cmp(&y)),
        };
    }
    a.len().cmp(&b.len())
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
    // Behind a digit, a zero is part of a number; at its beginning it is not.
    let goes_on = (x.starts_with('0') || y.starts_with('0'))
        && a[..index]
            .iter()
            .rev()
            .take_while(|c| c.is_ascii_digit())
            .any(|c| *c != '0');
    let value = |digits: &str| {
        let lead = if goes_on { "1" } else { "" };
        format!("{lead}{digits}").parse::<u128>().unwrap_or(0)
    };
    value(&x).cmp(&value(&y)).then(x.len().cmp(&y.len()))
}
