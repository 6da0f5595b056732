//! What Microsoft's clients know of Azure Resource Manager: operations by path, bodies by field.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde::Deserialize;

/// The versions that `tests/fakes/arm/setup` installs.
const VERSION: &str = "39.0.0-33.1.0-26.0.0-4.0.0";

/// All of it.
#[derive(Deserialize)]
pub(crate) struct Description {
    pub operations: Vec<Operation>,
    pub models: BTreeMap<String, BTreeMap<String, Field>>,
}

/// Something that can be called.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Operation {
    pub name: String,
    pub method: String,
    pub path: String,
    pub version: String,
    pub query: Vec<String>,
    pub conditions: bool,
    pub body: Option<String>,
}

/// A field of a body.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Field {
    #[serde(rename = "type")]
    pub kind: Kind,
    pub needed: bool,
    pub read_only: bool,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    Text,
    Flag,
    Number,
    Any,
    List(Box<Kind>),
    Map(Box<Kind>),
    Model(String),
}

static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| {
    let path = folder().join("arm.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        let path = path.display();
        panic!("{path}: {error}: run `tests/fakes/arm/setup`, which writes it")
    });
    serde_json::from_str(&text).expect("the description is of this version")
});

/// Returns the Python that has Microsoft's own clients.
pub fn python() -> PathBuf {
    folder().join("venv/bin/python")
}

/// Returns where the description and the vendor's clients are.
pub(crate) fn folder() -> PathBuf {
    let cache = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => PathBuf::from("/var/cache"),
    };
    cache.join("meshvm/arm").join(VERSION)
}

impl Description {
    /// Returns it, read once.
    pub fn get() -> &'static Self {
        &DESCRIPTION
    }

    /// Returns the operations of a path, of any method, with the path's parameters.
    pub fn at(&'static self, path: &str) -> Vec<(&'static Operation, BTreeMap<String, String>)> {
        let found = self.operations.iter();
        let mut found: Vec<_> = found
            .filter_map(|operation| Some((operation, parameters(&operation.path, path)?)))
            .collect();
        // A path with fewer parameters says more.
        let least = found.iter().map(|(_, all)| all.len()).min();
        found.retain(|(_, all)| Some(all.len()) == least);
        found
    }
}

/// A parameter that stands for any number of parts, and for none.
const PARENTS: &str = "{parentResourcePath}";

/// Returns the parameters of a path that is of a pattern; paths know no case.
fn parameters(pattern: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let wanted: Vec<&str> = pattern.trim_matches('/').split('/').collect();
    let mut parts = parts.as_slice();
    let mut found = BTreeMap::new();
    for (at, wanted_part) in wanted.iter().enumerate() {
        if *wanted_part == PARENTS {
            let parents = parts.len().checked_sub(wanted.len() - at - 1)?;
            parts = &parts[parents..];
            continue;
        }
        let (part, rest) = parts.split_first()?;
        parts = rest;
        match wanted_part
            .strip_prefix('{')
            .and_then(|it| it.strip_suffix('}'))
        {
            Some(name) if !part.is_empty() => {
                found.insert(name.to_owned(), (*part).to_owned());
            }
            Some(_) => return None,
            None if wanted_part.eq_ignore_ascii_case(part) => {}
            None => return None,
        }
    }
    parts.is_empty().then_some(found)
}

impl Operation {
    /// Returns the right that the operation needs, by the rules of Azure's roles: the resource's
    /// type, and what is done to it.
    pub fn right(&self) -> String {
        let parts: Vec<&str> = self.path.trim_matches('/').split('/').collect();
        let provider = parts.iter().rposition(|part| *part == "providers");
        let mut words: Vec<&str> = match provider {
            Some(at) => parts[at + 1..].to_vec(),
            // What has no provider of its own is the resource manager's.
            None => {
                let mut words = vec!["Microsoft.Resources"];
                words.extend(&parts);
                words
            }
        };
        words.retain(|word| !word.starts_with('{'));
        let words: Vec<String> = words
            .into_iter()
            .map(|word| match word {
                "resourcegroups" => "resourceGroups".to_owned(),
                word => word.to_owned(),
            })
            .collect();
        let what = words.join("/");
        match self.method.as_str() {
            "GET" | "HEAD" => format!("{what}/read"),
            "DELETE" => format!("{what}/delete"),
            "POST" => format!("{what}/action"),
            _ => format!("{what}/write"),
        }
    }
}
