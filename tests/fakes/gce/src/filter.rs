//! Filters of listings, as the description of the lists' `filter` says; where it is silent, as
//! API improvement proposal 160 does, which it names (<https://google.aip.dev/160>): `OR` binds
//! closer than `AND`, and expressions side by side are joined by `AND`.

use std::cmp::Ordering;

use regex::Regex;
use serde_json::Value;

use crate::refusal::Refusal;

/// Which objects a listing shows.
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Compare {
        field: String,
        by: By,
        value: String,
    },
    Has(String),
    Matches {
        field: String,
        pattern: Regex,
        is_wanted: bool,
    },
}

/// How a field is compared.
#[derive(Clone, Copy)]
pub enum By {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

/// The comparisons; those that begin as another does are before it.
const COMPARISONS: [(&str, By); 7] = [
    ("!=", By::Unequal),
    ("<=", By::LessOrEqual),
    (">=", By::GreaterOrEqual),
    ("=", By::Equal),
    ("<", By::Less),
    (">", By::Greater),
    (":", By::Contains),
];

/// A filter that is read from its beginning.
struct Reader<'a> {
    left: &'a str,
}

impl Filter {
    /// Reads a filter; an empty one shows everything.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let mut reader = Reader { left: text };
        let read = reader.all().filter(|_| reader.left.trim().is_empty());
        read.ok_or_else(|| {
            Refusal::invalid(format!(
                "Invalid value for field 'filter': '{text}'. Invalid list filter expression."
            ))
        })
    }

    /// Returns whether an object is one of those.
    pub fn fits(&self, object: &Value) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.fits(object)),
            Self::Or(parts) => parts.iter().any(|part| part.fits(object)),
            Self::Has(field) => !get(object, field).is_null(),
            Self::Compare { field, by, value } => by.holds(&text(object, field), value),
            Self::Matches {
                field,
                pattern,
                is_wanted,
            } => pattern.is_match(&text(object, field)) == *is_wanted,
        }
    }
}

impl By {
    fn holds(self, seen: &str, value: &str) -> bool {
        let order = match (seen.parse::<i128>(), value.parse::<i128>()) {
            (Ok(seen), Ok(value)) => seen.cmp(&value),
            _ => seen.cmp(value),
        };
        match self {
            Self::Equal => order == Ordering::Equal,
            Self::Unequal => order != Ordering::Equal,
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Greater => order == Ordering::Greater,
            Self::GreaterOrEqual => order != Ordering::Less,
            Self::Contains => seen.contains(value),
        }
    }
}

impl Reader<'_> {
    /// Reads what follows, up to a bracket that closes or the end.
    fn all(&mut self) -> Option<Filter> {
        let mut parts = Vec::new();
        while !matches!(self.next(), None | Some(')')) {
            if !parts.is_empty() {
                self.take("AND ");
            }
            let mut either = vec![self.one()?];
            while self.take("OR ") {
                either.push(self.one()?);
            }
            parts.push(Filter::Or(either));
        }
        Some(Filter::And(parts))
    }

    fn one(&mut self) -> Option<Filter> {
        if self.take("(") {
            let inner = self.all()?;
            let is_empty = matches!(&inner, Filter::And(parts) if parts.is_empty());
            return (self.take(")") && !is_empty).then_some(inner);
        }
        let field = self.word(|c| c.is_ascii_alphanumeric() || "._-".contains(c))?;
        for (word, is_wanted) in [("eq ", true), ("ne ", false)] {
            if self.take(word) {
                let pattern = format!("^(?:{})$", self.value()?);
                return Some(Filter::Matches {
                    field,
                    pattern: Regex::new(&pattern).ok()?,
                    is_wanted,
                });
            }
        }
        let by = COMPARISONS.iter().find(|(word, _)| self.take(word))?.1;
        let value = self.value()?;
        Some(match (by, value.as_str()) {
            (By::Contains, "*") => Filter::Has(field),
            _ => Filter::Compare { field, by, value },
        })
    }

    /// Reads a value: a word, or what is in quotes.
    fn value(&mut self) -> Option<String> {
        let quote = self.next().filter(|c| matches!(c, '"' | '\''));
        let Some(quote) = quote else {
            return self.word(|c| !c.is_whitespace() && !"()".contains(c));
        };
        let (value, left) = self.left[1..].split_once(quote)?;
        let value = value.to_owned();
        self.left = left;
        Some(value)
    }

    fn word(&mut self, is_in: impl Fn(char) -> bool) -> Option<String> {
        self.next();
        let end = self.left.find(|c| !is_in(c)).unwrap_or(self.left.len());
        let (word, left) = self.left.split_at(end);
        self.left = left;
        (!word.is_empty()).then(|| word.to_owned())
    }

    fn take(&mut self, word: &str) -> bool {
        self.next();
        let left = self.left.strip_prefix(word);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Returns what comes after blanks.
    fn next(&mut self) -> Option<char> {
        self.left = self.left.trim_start();
        self.left.chars().next()
    }
}

fn get<'a>(object: &'a Value, field: &str) -> &'a Value {
    field.split('.').fold(object, |value, part| &value[part])
}

fn text(object: &Value, field: &str) -> String {
    match get(object, field) {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn filters_mean_what_they_say() {
        let object = json!({
            "id": "70", "name": "a-1", "labels": {"team": "x"},
            "scheduling": {"automaticRestart": true},
        });
        for (text, fits) in [
            ("", true),
            ("labels.team = \"x\"", true),
            ("labels.team=y", false),
            ("labels.team:*", true),
            ("labels.other:*", false),
            ("scheduling.automaticRestart = true", true),
            ("(id = 7) OR (id = 70)", true),
            ("(name = a-1) AND (labels.team = y)", false),
            ("(name = a-1) (labels.team = x)", true),
            ("name = a-1 labels.team = y", false),
            ("name = b AND name = b OR name = a-1", false),
            ("((name = b) AND (name = b)) OR (name = a-1)", true),
            ("name != b", true),
            ("name != a-1", false),
            ("id > 8 id <= 70", true),
            ("name:-", true),
            ("name eq a.*", true),
            ("name eq a", false),
            ("(name ne \"a.*\") (id eq 70)", false),
            ("name eq 'b|a-1'", true),
        ] {
            assert_eq!(Filter::read(text).unwrap().fits(&object), fits, "{text}");
        }
        for wrong in [
            "name",
            "name =",
            "= a",
            "(name = a",
            "name = a)",
            "()",
            "name eq (",
        ] {
            assert!(Filter::read(wrong).is_err(), "{wrong}");
        }
    }
}
