//! Plain scalars: what a text without quotes means in the YAML 1.2 core schema.
//!
//! `yes`, `on` and `0644` with an octal meaning are YAML 1.1 and are not what they were there.

use serde_json::Number;

use super::tree::Value;

/// A number that JSON, and so a fleet file, cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither infinity, nor what is no number, nor a number beyond 1.8e308 can be used")]
pub(super) struct Unusable;

/// Returns the value of a plain scalar.
///
/// # Errors
/// [`Unusable`] for `.inf`, `.nan` and their like.
pub(super) fn resolve(text: &str) -> Result<Value, Unusable> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return Err(Unusable),
        _ => {}
    }
    if matches!(unsigned(text), ".inf" | ".Inf" | ".INF") {
        return Err(Unusable);
    }
    Ok(match number(text)? {
        Some(number) => Value::Number(number, text.to_owned()),
        None => Value::Text(text.to_owned()),
    })
}

fn number(text: &str) -> Result<Option<Number>, Unusable> {
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_digit(radix))
        {
            return match u64::from_str_radix(digits, radix) {
                Ok(number) => Ok(Some(number.into())),
                Err(_) => Err(Unusable),
            };
        }
    }
    let body = unsigned(text);
    let starts = body.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let fits = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !starts || !body.chars().all(fits) {
        return Ok(None);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Some(number.into()));
    }
    if let Ok(number) = text.parse::<u64>() {
        return Ok(Some(number.into()));
    }
    match text.parse::<f64>() {
        Ok(number) => Number::from_f64(number).map(Some).ok_or(Unusable),
        Err(_) => Ok(None),
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn json(text: &str) -> Json {
        match resolve(text).unwrap() {
            Value::Null => Json::Null,
            Value::Bool(flag) => flag.into(),
            Value::Number(number, _) => number.into(),
            Value::Text(text) => text.into(),
            Value::List(_) | Value::Map(_) => unreachable!(),
        }
    }

    #[test]
    fn core_schema() {
        let cases = [
            ("", Json::Null),
            ("~", Json::Null),
            ("nULL", json!("nULL")),
            ("True", json!(true)),
            ("yes", json!("yes")),
            ("0", json!(0)),
            ("-7", json!(-7)),
            ("+12", json!(12)),
            ("0644", json!(644)),
            ("0o17", json!(15)),
            ("0xFf", json!(255)),
            ("-0x1", json!("-0x1")),
            ("0o8", json!("0o8")),
            ("0x", json!("0x")),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("-1.5e+3", json!(-1500.0)),
            ("1e", json!("1e")),
            ("e3", json!("e3")),
            (".", json!(".")),
            ("+", json!("+")),
            ("1.30.3", json!("1.30.3")),
            ("1_000", json!("1_000")),
            ("inf", json!("inf")),
            ("NaN", json!("NaN")),
        ];
        for (text, expected) in cases {
            assert_eq!(json(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_json_cannot_hold_is_refused() {
        for text in [
            ".inf",
            "-.Inf",
            "+.INF",
            ".nan",
            "1e999",
            "0xffffffffffffffffff",
        ] {
            assert_eq!(resolve(text), Err(Unusable), "{text:?}");
        }
    }

    #[test]
    fn numbers_keep_their_writing() {
        let Ok(Value::Number(_, written)) = resolve("1.30") else {
            panic!("no number");
        };
        assert_eq!(written, "1.30");
    }
}
