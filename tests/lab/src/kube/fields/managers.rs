//! Who owns what of an object: `metadata.managedFields`, read and written.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{BadFields, FieldSet, Step};

/// How a manager writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// In any other way.
    Update,
}

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    /// How.
    pub operation: Operation,
    /// Its name.
    pub name: String,
    /// The version it writes in; empty for an applier, who is one over all versions.
    pub version: String,
    /// The subresource that it writes to; empty for the object itself.
    pub subresource: String,
}

impl Manager {
    /// Returns the manager as conflicts have it.
    pub fn said(&self) -> String {
        let mut said = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            said = format!("{said} with subresource {:?}", self.subresource);
        }
        match self.operation {
            Operation::Apply => said,
            Operation::Update => format!("{said} using {}", self.version),
        }
    }
}

/// What a manager owns.
#[derive(Debug, Clone, PartialEq)]
pub struct Owned {
    /// The version that the fields are of.
    pub version: String,
    /// When it last wrote.
    pub time: String,
    /// The fields.
    pub fields: FieldSet,
}

/// All managers of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Managers(pub BTreeMap<Manager, Owned>);

impl Managers {
    /// Reads the managers of an object.
    ///
    /// # Errors
    ///
    /// When a key of `fieldsV1` is none.
    pub fn of(object: &Value) -> Result<Self, BadFields> {
        let entries = object.pointer("/metadata/managedFields");
        let mut managers = BTreeMap::new();
        for entry in entries.and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            let operation = match entry["operation"].as_str() {
                Some("Apply") => Operation::Apply,
                Some("Update") => Operation::Update,
                _ => continue,
            };
            let manager = Manager {
                operation,
                name: text("manager"),
                version: match operation {
                    Operation::Apply => String::new(),
                    Operation::Update => text("apiVersion"),
                },
                subresource: text("subresource"),
            };
            let owned = Owned {
                version: text("apiVersion"),
                time: text("time"),
                fields: FieldSet::from_fields(&entry["fieldsV1"])?,
            };
            managers.insert(manager, owned);
        }
        Ok(Self(managers))
    }

    /// Returns `managedFields`, in the order of a real server: appliers first, then by time.
    pub fn to_entries(&self) -> Value {
        let mut all: Vec<(&Manager, &Owned)> = self.0.iter().collect();
        all.sort_by_key(|(manager, owned)| {
            let Manager {
                operation,
                name,
                subresource,
                ..
            } = manager;
            (*operation, &owned.time, name, &owned.version, subresource)
        });
        let entries = all.into_iter().map(|(manager, owned)| {
            let mut entry = json!({
                "manager": manager.name,
                "operation": match manager.operation {
                    Operation::Apply => "Apply",
                    Operation::Update => "Update",
                },
                "apiVersion": owned.version,
                "time": owned.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": owned.fields.to_fields(),
            });
            if !manager.subresource.is_empty() {
                entry["subresource"] = json!(manager.subresource);
            }
            entry
        });
        Value::Array(entries.collect())
    }

    /// Returns what all of them own together.
    pub fn owned(&self) -> FieldSet {
        let sets = self.0.values();
        sets.fold(FieldSet::default(), |all, one| all.union(&one.fields))
    }

    /// Returns whether the same managers own the same, whenever they wrote.
    pub fn same_but_for_times(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().all(|(manager, owned)| {
                other.0.get(manager).is_some_and(|other| {
                    other.fields == owned.fields && other.version == owned.version
                })
            })
    }

    /// Takes out what nobody owns, as it is the server's, and managers without fields.
    pub fn strip(&mut self, server: &FieldSet) {
        for owned in self.0.values_mut() {
            owned.fields = owned.fields.difference(server);
        }
        self.0.retain(|_, owned| !owned.fields.is_empty());
    }
}

/// Returns the fields that are the server's own, whoever sends them.
pub fn server_fields() -> FieldSet {
    let mut set = FieldSet::default();
    let field = |name: &str| Step::Field(name.to_owned());
    for name in ["apiVersion", "kind", "metadata"] {
        set.insert(&[field(name)]);
    }
    for name in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set.insert(&[field("metadata"), field(name)]);
    }
    set
}
