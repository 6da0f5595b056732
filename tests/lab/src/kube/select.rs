//! Label and field selectors
//! (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>).

use serde_json::Value;

use super::status::Refusal;

/// Which objects are meant.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, String, bool)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Selector {
    /// Reads selectors as a query has them.
    ///
    /// # Errors
    ///
    /// 400 when one cannot be read, or names a field that cannot be selected by.
    pub fn parse(labels: &str, fields: &str, custom: bool) -> Result<Self, Refusal> {
        let unreadable = |what: &str, text: &str| {
            Refusal::bad_request(format!("unable to parse {what} selector {text:?}"))
        };
        let labels = requirements(labels).ok_or_else(|| unreadable("label", labels))?;
        let mut wanted = Vec::new();
        for part in fields.split(',').filter(|part| !part.is_empty()) {
            let (path, value, equal) = if let Some((path, value)) = part.split_once("!=") {
                (path, value, false)
            } else {
                let (path, value) = part
                    .split_once("==")
                    .or_else(|| part.split_once('='))
                    .ok_or_else(|| unreadable("field", fields))?;
                (path, value, true)
            };
            let known = matches!(path, "metadata.name" | "metadata.namespace")
                || !custom
                    && matches!(
                        path,
                        "type"
                            | "status.phase"
                            | "involvedObject.name"
                            | "involvedObject.uid"
                            | "involvedObject.kind"
                            | "involvedObject.namespace"
                            | "reason"
                    );
            if !known {
                let text = format!("field label not supported: {path}");
                return Err(Refusal::bad_request(text));
            }
            wanted.push((path.to_owned(), value.to_owned(), equal));
        }
        Ok(Self {
            labels,
            fields: wanted,
        })
    }

    /// Returns whether every object is meant.
    pub fn is_all(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Returns the one name that can be meant.
    pub fn name(&self) -> Option<&str> {
        self.fields.iter().find_map(|(path, value, equal)| {
            (path == "metadata.name" && *equal).then_some(value.as_str())
        })
    }

    /// Returns whether an object is meant.
    pub fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| {
            object["metadata"]["labels"]
                .get(key)
                .and_then(Value::as_str)
        };
        let labels = self.labels.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => {
                label(key).is_some_and(|have| values.iter().any(|v| v == have))
            }
            Requirement::NotIn(key, values) => {
                !label(key).is_some_and(|have| values.iter().any(|v| v == have))
            }
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
        });
        labels
            && self.fields.iter().all(|(path, value, equal)| {
                let found = path.split('.').try_fold(object, |at, name| at.get(name));
                let have = found.and_then(Value::as_str).unwrap_or_default();
                (have == value) == *equal
            })
    }
}

/// Splits at the commas that are not in parentheses.
fn parts(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let parts = text.split(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    });
    parts
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

fn requirements(text: &str) -> Option<Vec<Requirement>> {
    parts(text).into_iter().map(requirement).collect()
}

fn requirement(part: &str) -> Option<Requirement> {
    let key = |text: &str| {
        let text = text.trim();
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        (!text.is_empty() && text.chars().all(fine)).then(|| text.to_owned())
    };
    let one = |text: &str| vec![text.trim().to_owned()];
    if let Some(rest) = part.strip_prefix('!').filter(|rest| !rest.contains('=')) {
        return Some(Requirement::Absent(key(rest)?));
    }
    if let Some((before, values)) = part.split_once('(') {
        let values = values.strip_suffix(')')?;
        let values = values.split(',').map(|v| v.trim().to_owned()).collect();
        let before = before.trim();
        return if let Some(name) = before.strip_suffix(" notin") {
            Some(Requirement::NotIn(key(name)?, values))
        } else {
            Some(Requirement::In(key(before.strip_suffix(" in")?)?, values))
        };
    }
    if let Some((name, value)) = part.split_once("!=") {
        return Some(Requirement::NotIn(key(name)?, one(value)));
    }
    if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Requirement::In(key(name)?, one(value)));
    }
    Some(Requirement::Exists(key(part)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_selected_in_every_way() {
        let object = json!({"metadata": {"name": "a", "labels": {"app": "x", "a/b": ""}}});
        for (text, meant) in [
            ("", true),
            ("app=x", true),
            ("app==y", false),
            ("app!=y,a/b", true),
            ("zone!=a", true),
            ("app in (x,z),!q", true),
            ("app notin (x, z)", false),
            ("q", false),
            ("a/b=", true),
        ] {
            let selector = Selector::parse(text, "", true).unwrap();
            assert_eq!(selector.matches(&object), meant, "{text}");
        }
        assert!(Selector::parse("a b", "", true).is_err());
    }

    #[test]
    fn only_some_fields_can_be_selected_by() {
        let object = json!({"metadata": {"name": "a"}});
        let by = |fields| Selector::parse("", fields, true);
        assert!(by("metadata.name=a").unwrap().matches(&object));
        assert!(!by("metadata.name!=a").unwrap().matches(&object));
        assert_eq!(by("spec.address=1").unwrap_err().code, 400);
    }
}
