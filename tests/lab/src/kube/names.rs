//! Names, labels and the rest of an object's metadata, as the server checks them
//! (<https://github.com/kubernetes/apimachinery/blob/master/pkg/util/validation/validation.go>).

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use super::kinds::Kind;
use super::status::FieldFault;

fn regex(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|error| unreachable!("{text} is a regular expression: {error}"))
}

static LABEL: LazyLock<Regex> = LazyLock::new(|| regex("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"));
static SUBDOMAIN: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"));
static SERVICE: LazyLock<Regex> = LazyLock::new(|| regex("^[a-z]([-a-z0-9]*[a-z0-9])?$"));
static WORD: LazyLock<Regex> =
    LazyLock::new(|| regex("^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$"));

const LABEL_SAID: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
    characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
    '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_SAID: &str = "a lowercase RFC 1123 subdomain must consist of lower case \
    alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character \
    (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const SERVICE_SAID: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or \
    '-', start with an alphabetic character, and end with an alphanumeric character (e.g. \
    'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const VALUE_SAID: &str = "a valid label must be an empty string or consist of alphanumeric \
    characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
    'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const KEY_SAID: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
    '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// Returns everything that is wrong with an object's metadata.
pub fn faults(kind: &Kind, object: &Value) -> Vec<FieldFault> {
    let metadata = &object["metadata"];
    let mut found = Vec::new();
    let name = &metadata["name"];
    if let Some(why) = name.as_str().and_then(|text| of_object(kind, text)) {
        found.push(FieldFault::invalid("metadata.name", name, &why));
    }
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        if let Some(why) = of_key(key) {
            found.push(FieldFault::invalid("metadata.labels", &json!(key), &why));
        }
        if let Some(why) = value.as_str().and_then(of_value) {
            found.push(FieldFault::invalid("metadata.labels", value, &why));
        }
    }
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        if let Some(why) = of_key(&key.to_ascii_lowercase()) {
            let fault = FieldFault::invalid("metadata.annotations", &json!(key), &why);
            found.push(fault);
        }
    }
    if size > 262_144 {
        found.push(FieldFault {
            field: "metadata.annotations".to_owned(),
            text: "Too long: may not be more than 262144 bytes".to_owned(),
            cause: "FieldValueTooLong",
        });
    }
    for finalizer in metadata["finalizers"].as_array().into_iter().flatten() {
        let text = finalizer.as_str().unwrap_or_default();
        let known = ["foregroundDeletion", "orphan", "kubernetes"].contains(&text);
        if of_key(text).is_some() || !text.contains('/') && !known {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            found.push(FieldFault::invalid("metadata.finalizers", finalizer, why));
        }
    }
    owners(metadata, &mut found);
    found
}

fn owners(metadata: &Value, found: &mut Vec<FieldFault>) {
    let owners = metadata["ownerReferences"].as_array();
    for (at, owner) in owners.into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().is_none_or(str::is_empty) {
                let path = format!("metadata.ownerReferences[{at}].{field}");
                found.push(FieldFault {
                    field: path,
                    text: format!("Invalid value: \"\": {field} must not be empty"),
                    cause: "FieldValueInvalid",
                });
            }
        }
    }
}

fn of_object(kind: &Kind, name: &str) -> Option<String> {
    let (limit, form, said) = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => (63, &LABEL, LABEL_SAID),
        ("", "Service") => (63, &SERVICE, SERVICE_SAID),
        ("rbac.authorization.k8s.io", _) => {
            let bad = name == "." || name == ".." || name.contains(['/', '%']);
            return bad.then(|| "may not contain '/' or '%'".to_owned());
        }
        _ => (253, &SUBDOMAIN, SUBDOMAIN_SAID),
    };
    if name.len() > limit {
        return Some(format!("must be no more than {limit} bytes"));
    }
    (!form.is_match(name)).then(|| said.to_owned())
}

/// Returns why a text cannot be the key of a label.
pub fn of_key(key: &str) -> Option<String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_some_and(|prefix| prefix.len() > 253 || !SUBDOMAIN.is_match(prefix)) {
        return Some(format!("prefix part {SUBDOMAIN_SAID}"));
    }
    if name.len() > 63 {
        return Some("name part must be no more than 63 bytes".to_owned());
    }
    (!WORD.is_match(name)).then(|| KEY_SAID.to_owned())
}

/// Returns why a text cannot be the value of a label.
pub fn of_value(value: &str) -> Option<String> {
    if value.len() > 63 {
        return Some("must be no more than 63 bytes".to_owned());
    }
    (!value.is_empty() && !WORD.is_match(value)).then(|| VALUE_SAID.to_owned())
}

/// Returns whether a text can be the name of a port.
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && LABEL.is_match(text)
}

/// Returns whether a text can be a key of a ConfigMap or Secret.
pub fn is_data_key(key: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !key.is_empty() && key.len() <= 253 && key.chars().all(fine) && key != "." && key != ".."
}
