//! The kinds that the double serves.
//!
//! Compiled once, when a cluster starts. What is not here is 404.

pub mod builtin;
pub mod crd;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use thiserror::Error;

use crate::kube::schema::Schema;
use crate::kube::schema::compile::BadSchema;

/// The place of a kind in [`Kinds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindId(pub usize);

/// A kind.
#[derive(Debug)]
pub struct Kind {
    /// Its API group; empty for the core.
    pub group: String,
    /// Its versions, the best first.
    pub versions: Vec<Version>,
    /// Its name.
    pub kind: String,
    /// Its name in paths.
    pub plural: String,
    /// Its name for one, in small letters.
    pub singular: String,
    /// Its short names.
    pub short: Vec<String>,
    /// The groups of kinds that it is in.
    pub categories: Vec<String>,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// What it is to the server.
    pub nature: Nature,
    /// Whether its status is written apart.
    pub status: bool,
}

/// What a kind is to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// The server's own.
    Builtin,
    /// From a CRD.
    Custom,
    /// The CRDs themselves, which are given at the start and cannot be written.
    ReadOnly,
    /// Never kept: a question that is answered when it is created.
    Review(Review),
}

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// Whether a token is good.
    Token,
    /// Whether the asker may do something.
    SelfAccess,
    /// Whether somebody may do something.
    Access,
    /// What the asker may do.
    SelfRules,
}

/// A version of a kind.
#[derive(Debug)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// What its objects hold.
    pub schema: Schema,
    /// The columns that a table of its objects has beside the name.
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Debug, Clone)]
pub struct Column {
    /// What is written above it.
    pub name: String,
    /// The type of what is in it.
    pub kind: String,
    /// Where it is taken from, such as `.spec.address`.
    pub path: String,
    /// How important it is: only 0 is always shown.
    pub priority: i64,
}

/// Why kinds cannot be served.
#[derive(Debug, Error)]
pub enum BadKinds {
    /// A file cannot be read.
    #[error("cannot read the CRDs in {path}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no YAML.
    #[error("the CRDs are no YAML: {0}")]
    Yaml(String),
    /// A document is no CRD.
    #[error("a CRD lacks {0}")]
    Incomplete(&'static str),
    /// A schema cannot be used.
    #[error("the schema of {kind} cannot be used")]
    Schema {
        /// The kind.
        kind: String,
        /// Why.
        source: BadSchema,
    },
}

impl Kind {
    /// Returns the version of this name.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// Returns the version that objects are kept in.
    pub fn storage(&self) -> &Version {
        &self.versions[0]
    }

    /// Returns a version with the group, as `apiVersion` has it.
    pub fn api_version(&self, version: &str) -> String {
        match self.group.as_str() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// Returns the verbs that it has.
    pub fn verbs(&self) -> &'static [&'static str] {
        match self.nature {
            Nature::Review(_) => &["create"],
            Nature::ReadOnly => &["get", "list", "watch"],
            Nature::Builtin | Nature::Custom => &[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ],
        }
    }

    /// Returns whether its objects count their changes in `metadata.generation`.
    pub fn counts_generations(&self) -> bool {
        self.nature == Nature::Custom
    }
}

/// All kinds.
#[derive(Debug, Default)]
pub struct Kinds {
    all: Vec<Kind>,
    by_path: BTreeMap<(String, String), KindId>,
}

impl Kinds {
    /// Puts kinds together.
    pub fn new(all: Vec<Kind>) -> Self {
        let by_path = all
            .iter()
            .enumerate()
            .map(|(at, kind)| ((kind.group.clone(), kind.plural.clone()), KindId(at)));
        Self {
            by_path: by_path.collect(),
            all,
        }
    }

    /// Returns a kind.
    pub fn get(&self, id: KindId) -> &Kind {
        &self.all[id.0]
    }

    /// Finds a kind by its group and its name in paths.
    pub fn find(&self, group: &str, plural: &str) -> Option<KindId> {
        let key = (group.to_owned(), plural.to_owned());
        self.by_path.get(&key).copied()
    }

    /// Finds a kind by `apiVersion` and `kind` of an object.
    pub fn of_object(&self, api_version: &str, kind: &str) -> Option<KindId> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        self.iter()
            .find(|(_, k)| k.group == group && k.kind == kind && k.version(version).is_some())
            .map(|(id, _)| id)
    }

    /// Returns all kinds.
    pub fn iter(&self) -> impl Iterator<Item = (KindId, &Kind)> {
        self.all.iter().enumerate().map(|(at, k)| (KindId(at), k))
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Returns the groups with their versions, the best first; the core is not among them.
    pub fn groups(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for kind in self.all.iter().filter(|kind| !kind.group.is_empty()) {
            let versions = groups.entry(&kind.group).or_default();
            versions.extend(kind.versions.iter().map(|v| v.name.as_str()));
        }
        groups
            .into_iter()
            .map(|(group, versions)| {
                let mut versions: Vec<&str> = versions.into_iter().collect();
                versions.sort_by_key(|version| rank(version));
                (group, versions)
            })
            .collect()
    }
}

/// Orders versions as Kubernetes does: stable before beta before alpha
/// (<https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#version-priority>).
fn rank(version: &str) -> (u8, std::cmp::Reverse<u32>, std::cmp::Reverse<u32>) {
    let digits = |text: &str| text.trim_start_matches('v').parse().unwrap_or(0);
    let (stage, major, minor) = if let Some((major, minor)) = version.split_once("beta") {
        (1, digits(major), digits(minor))
    } else if let Some((major, minor)) = version.split_once("alpha") {
        (2, digits(major), digits(minor))
    } else {
        (0, digits(version), 0)
    };
    (stage, std::cmp::Reverse(major), std::cmp::Reverse(minor))
}

/// Returns a version without columns.
fn version(name: &str, schema: Schema) -> Version {
    Version {
        name: name.to_owned(),
        schema,
        columns: Vec::new(),
    }
}

/// Returns the texts of a list.
fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
