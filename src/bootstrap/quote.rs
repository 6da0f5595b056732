//! Quoting: how a value is written in the language that it lands in.
//!
//! Each function gives a text that its language reads back as exactly the value,
//! whatever that holds, or refuses the value. In templates they are the helpers
//! `{{sh value}}`, `{{json value}}`, `{{yaml value}}` and `{{base64 value}}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderErrorReason,
};
use serde_json::Value;
use thiserror::Error;

/// Why a value cannot be quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QuoteError {
    /// No shell can hold a NUL byte, and nothing here needs one.
    #[error("the value holds a NUL byte")]
    Nul,
    /// The language has no way to write such a value.
    #[error("the value is {0}, not text")]
    NotText(&'static str),
}

/// The helpers of all templates, and what each does.
pub(super) const HELPERS: [(&str, Quote); 4] = [
    ("sh", sh),
    ("json", json),
    ("yaml", yaml),
    ("base64", base64),
];

type Quote = fn(&Value) -> Result<String, QuoteError>;

/// Quotes for POSIX shells and bash, as one word; a list becomes one word for each item.
///
/// # Errors
/// A NUL byte, or a value that is no text, number, boolean or list of them.
pub fn sh(value: &Value) -> Result<String, QuoteError> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    let words: Result<Vec<_>, _> = items
        .iter()
        // Nothing is special within single quotes but the quote that ends them.
        .map(|item| Ok(format!("'{}'", text(item)?.replace('\'', r"'\''"))))
        .collect();
    Ok(words?.join(" "))
}

/// Quotes as JSON, on one line.
///
/// # Errors
/// A NUL byte.
pub fn json(value: &Value) -> Result<String, QuoteError> {
    refuse_nul(value)?;
    Ok(value.to_string())
}

/// Quotes as YAML, on one line: the value's JSON, which is YAML too once the
/// characters are escaped that YAML breaks lines at or does not allow.
///
/// # Errors
/// A NUL byte.
pub fn yaml(value: &Value) -> Result<String, QuoteError> {
    let mut out = String::new();
    for c in json(value)?.chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    Ok(out)
}

/// Encodes text in base64, on one line.
///
/// # Errors
/// A NUL byte, or a value that is no text, number or boolean.
pub fn base64(value: &Value) -> Result<String, QuoteError> {
    Ok(STANDARD.encode(text(value)?))
}

/// Inserts text as it is.
pub(super) fn unquoted(value: &Value) -> Result<String, QuoteError> {
    text(value)
}

fn text(value: &Value) -> Result<String, QuoteError> {
    refuse_nul(value)?;
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(yes) => Ok(yes.to_string()),
        Value::Null => Err(QuoteError::NotText("null")),
        Value::Array(_) => Err(QuoteError::NotText("a list")),
        Value::Object(_) => Err(QuoteError::NotText("an object")),
    }
}

fn refuse_nul(value: &Value) -> Result<(), QuoteError> {
    match find_nul(value) {
        None => Ok(()),
        Some(_) => Err(QuoteError::Nul),
    }
}

/// Returns the place of a text with a NUL byte, as keys and list positions from the top.
pub(super) fn find_nul(value: &Value) -> Option<Vec<String>> {
    let inside = |key: String, value: &Value| {
        find_nul(value).map(|mut path| {
            path.insert(0, key);
            path
        })
    };
    match value {
        Value::String(text) => text.contains('\0').then(Vec::new),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| inside(index.to_string(), item))
        }
        Value::Object(fields) => fields
            .iter()
            .find_map(|(key, field)| match key.contains('\0') {
                true => Some(vec![key.clone()]),
                false => inside(key.clone(), field),
            }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// A quoting function as a helper of templates.
pub(super) struct QuoteHelper {
    /// The helper's name.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) quote: Quote,
}

impl HelperDef for QuoteHelper {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let param = helper
            .param(0)
            .ok_or(RenderErrorReason::ParamNotFoundForIndex(self.name, 0))?;
        if param.is_value_missing() {
            let path = param.relative_path().cloned();
            return Err(RenderErrorReason::MissingVariable(path).into());
        }
        let quoted = (self.quote)(param.value())
            .map_err(|error| RenderErrorReason::NestedError(Box::new(error)))?;
        out.write(&quoted)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_one_word_of_the_shell() {
        assert_eq!(sh(&json!("it's $(x)")).unwrap(), r"'it'\''s $(x)'");
        assert_eq!(sh(&json!("")).unwrap(), "''");
        assert_eq!(sh(&json!(["a b", 3])).unwrap(), "'a b' '3'");
        assert_eq!(sh(&json!(null)), Err(QuoteError::NotText("null")));
        assert_eq!(sh(&json!({"a": 1})), Err(QuoteError::NotText("an object")));
    }

    #[test]
    fn yaml_escapes_what_yaml_would_not_read() {
        let quoted = yaml(&json!("a\u{85}\u{2028}\u{feff}\u{7f}\t\"é😀")).unwrap();
        assert_eq!(quoted, r#""a\u0085\u2028\ufeff\u007f\t\"é😀""#);
    }

    #[test]
    fn nul_is_refused_wherever_it_hides() {
        for quote in [sh, json, yaml, base64] {
            assert_eq!(quote(&json!("a\0b")), Err(QuoteError::Nul));
        }
        let deep = json!({"files": [{"content": "fine"}, {"content": "\0"}]});
        assert_eq!(yaml(&deep), Err(QuoteError::Nul));
        assert_eq!(find_nul(&deep).unwrap().join("."), "files.1.content");
    }
}
