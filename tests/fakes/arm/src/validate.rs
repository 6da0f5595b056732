//! Looks whether a body is one that the service takes.

use serde_json::Value;

use crate::description::{Description, Kind};

/// Returns what is wrong with a body, as a code and a message.
///
/// `is_whole` is whether everything that is needed must be there, which is not so for a change.
pub(crate) fn body(model: &str, body: &Value, is_whole: bool) -> Result<(), (String, String)> {
    value(&Kind::Model(model.to_owned()), body, "", is_whole)
}

fn value(kind: &Kind, value: &Value, at: &str, is_whole: bool) -> Result<(), (String, String)> {
    let wrong = |what: &str| {
        let message = format!("The value of `{at}` is not {what}: {value}");
        Err(("InvalidRequestContent".to_owned(), message))
    };
    match (kind, value) {
        (Kind::Any, _) | (Kind::Text, Value::String(_)) | (Kind::Flag, Value::Bool(_)) => Ok(()),
        (Kind::Number, Value::Number(_)) => Ok(()),
        (Kind::Text, _) => wrong("a text"),
        (Kind::Flag, _) => wrong("true or false"),
        (Kind::Number, _) => wrong("a number"),
        (Kind::List(of), Value::Array(items)) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| {
                self::value(of, item, &format!("{at}[{index}]"), is_whole)
            })
        }
        (Kind::List(_), _) => wrong("a list"),
        (Kind::Map(of), Value::Object(items)) => {
            let mut items = items.iter();
            // Absence of a value takes an entry away.
            items.try_for_each(|(key, item)| match item {
                Value::Null => Ok(()),
                item => self::value(of, item, &format!("{at}.{key}"), is_whole),
            })
        }
        (Kind::Map(_), _) => wrong("a map"),
        (Kind::Model(name), Value::Object(object)) => {
            let fields = Description::get().models.get(name);
            let fields = fields.unwrap_or_else(|| panic!("no model {name}"));
            for (key, item) in object {
                let path = match at {
                    "" => key.clone(),
                    at => format!("{at}.{key}"),
                };
                let Some(field) = fields.get(key) else {
                    let message = format!(
                        "Could not find member '{key}' on object of type '{name}'. Path '{path}'."
                    );
                    return Err(("InvalidRequestContent".to_owned(), message));
                };
                if field.read_only {
                    let message = format!("The property '{path}' is read-only.");
                    return Err(("InvalidParameter".to_owned(), message));
                }
                if !item.is_null() {
                    value_of(&field.kind, item, &path, is_whole)?;
                }
            }
            let missing = fields.iter().find(|(key, field)| {
                is_whole && field.needed && object.get(*key).is_none_or(Value::is_null)
            });
            match missing {
                None => Ok(()),
                Some((key, _)) => {
                    let message = format!("Required parameter '{at}.{key}' is missing (null).");
                    Err(("InvalidParameter".to_owned(), message))
                }
            }
        }
        (Kind::Model(_), _) => wrong("an object"),
    }
}

fn value_of(kind: &Kind, item: &Value, at: &str, is_whole: bool) -> Result<(), (String, String)> {
    value(kind, item, at, is_whole)
}

/// Returns what is wrong with tags
/// (<https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources>).
pub(crate) fn tags(body: &Value) -> Result<(), (String, String)> {
    let Some(tags) = body.get("tags").and_then(Value::as_object) else {
        return Ok(());
    };
    let wrong = |code: &str, message: String| Err((code.to_owned(), message));
    if tags.len() > 50 {
        return wrong("TooManyTags", format!("{} tags, at most 50", tags.len()));
    }
    for (key, value) in tags {
        let length = value.as_str().map_or(0, |value| value.chars().count());
        if key.chars().count() > 512 || length > 256 {
            return wrong("InvalidTag", format!("The tag '{key}' is too long."));
        }
        if key.contains(['<', '>', '%', '&', '\\', '?', '/']) {
            return wrong("InvalidTagNameCharacters", format!("The tag '{key}'"));
        }
    }
    Ok(())
}

/// Returns whether a name of a machine is one that Azure takes
/// (<https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>).
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=64).contains(&name.len())
        && name.chars().all(fits)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.ends_with(['.', '-'])
}
