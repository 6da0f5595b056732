//! Filters of listings: comparisons joined by `AND` and `OR`, as far as clients here write them.

use serde_json::Value;

use crate::refusal::Refusal;

/// Which objects a listing shows.
pub enum Filter {
    All,
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Is {
        field: String,
        value: String,
        is_equal: bool,
    },
    Has(String),
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::All);
        }
        for (word, join) in [
            (" OR ", Self::Or as fn(Vec<Self>) -> Self),
            (" AND ", Self::And),
        ] {
            let parts = split(text, word);
            if parts.len() > 1 {
                let parts = parts.into_iter().map(Self::read);
                return parts.collect::<Result<_, _>>().map(join);
            }
        }
        if let Some(inner) = text.strip_prefix('(').and_then(|it| it.strip_suffix(')')) {
            return Self::read(inner);
        }
        Self::comparison(text)
    }

    fn comparison(text: &str) -> Result<Self, Refusal> {
        let wrong = || {
            let message = format!(
                "Invalid value for field 'filter': '{text}'. Invalid list filter expression."
            );
            Refusal::invalid(message)
        };
        let (field, value, is_equal) = if let Some((field, value)) = text.split_once("!=") {
            (field, value, false)
        } else if let Some((field, "*")) = text.split_once(':') {
            return Ok(Self::Has(field.trim().to_owned()));
        } else {
            let (field, value) = text.split_once('=').ok_or_else(wrong)?;
            (field, value, true)
        };
        let (field, value) = (field.trim(), value.trim().trim_matches('"'));
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_';
        if field.is_empty() || !field.chars().all(is_name) {
            return Err(wrong());
        }
        Ok(Self::Is {
            field: field.to_owned(),
            value: value.to_owned(),
            is_equal,
        })
    }

    /// Returns whether an object is one of those.
    pub fn fits(&self, object: &Value) -> bool {
        match self {
            Self::All => true,
            Self::And(parts) => parts.iter().all(|part| part.fits(object)),
            Self::Or(parts) => parts.iter().any(|part| part.fits(object)),
            Self::Has(field) => !get(object, field).is_null(),
            Self::Is {
                field,
                value,
                is_equal,
            } => {
                let seen = match get(object, field) {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                (seen == *value) == *is_equal
            }
        }
    }
}

fn get<'a>(object: &'a Value, field: &str) -> &'a Value {
    field.split('.').fold(object, |value, part| &value[part])
}

/// Splits outside of brackets.
fn split<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ' ' if depth == 0 && text[at..].starts_with(word) => {
                parts.push(&text[begin..at]);
                begin = at + word.len();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn filters_mean_what_they_say() {
        let object = json!({"id": "7", "name": "a-1", "labels": {"team": "x"}});
        for (text, fits) in [
            ("", true),
            ("labels.team = \"x\"", true),
            ("labels.team=y", false),
            ("labels.other:*", false),
            ("(id = 7) OR (id = 8)", true),
            ("(name = a-1) AND (labels.team = y)", false),
            ("name != b", true),
        ] {
            assert_eq!(Filter::read(text).unwrap().fits(&object), fits, "{text}");
        }
        assert!(Filter::read("name").is_err());
    }
}
