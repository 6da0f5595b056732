//! The front end: from the texts of fleet files to a checked, typed [`FleetSpec`].
//!
//! [`parse()`] does all of it; [`schema()`] describes what it accepts. Everything here is pure:
//! text, variables and environment come in as arguments, and the only thing that goes out
//! beside the spec is [`Diagnostic`]s. Nothing here may read a file, the environment or the
//! clock, and nothing may know a provider by more than its [`Kind`].
//!
//! Invariants:
//! 1. All problems of all files are reported at once, each at its place.
//! 2. A spec exists only when no error was found.
//! 3. No text, however hostile, makes it panic or takes memory without bound.
//!
//! [`Kind`]: meshvm_provider_api::Kind

mod check;
mod interpolate;
mod merge;
pub mod model;
mod parse;
mod phrase;
mod place;
mod plain;
mod problems;
pub mod scalars;
mod schema;
mod shape;
mod tags;
#[cfg(test)]
mod tests;
mod tree;
mod typed;
mod vars;
pub mod version;
mod words;
mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use meshvm_provider_api::Template;

use crate::diag::{Diagnostic, Place};

use model::{Budgets, FleetBody, Identity, Mesh, Sidecar};
use scalars::Name;

pub use parse::parse;
pub use schema::schema;

/// A file, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name that the user gave it; every place in it is told by this name.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// Everything that a fleet is made from.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The fleet files; later ones win.
    pub files: Vec<Source>,
    /// The files of variables (`--var-file`); later ones win.
    pub var_files: Vec<Source>,
    /// The variables set by `--var`.
    pub vars: BTreeMap<String, String>,
    /// The variables set by the environment: `MESHVM_VAR_x` is `x` here. Those that no fleet
    /// file declares are ignored.
    pub env: BTreeMap<String, String>,
    /// The folder of the first fleet file, where relative paths start.
    pub base_dir: PathBuf,
}

/// One fleet, checked.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Its name.
    pub name: Name,
    /// What the file says of it, with the defaults.
    pub body: FleetBody,
    /// The name of its provider.
    pub provider: String,
    /// What its machines are made from.
    pub template: Template,
}

/// What the fleet files ask for, checked.
#[derive(Clone, Debug)]
pub struct FleetSpec {
    /// The owner of everything made from it.
    pub stack: Name,
    /// The URL of the lock and journal, as it is written.
    pub ledger: String,
    /// Where membership is written.
    pub mesh: Option<Mesh>,
    /// The sidecar to install.
    pub sidecar: Option<Sidecar>,
    /// How machines prove who they are, where the file says it.
    pub identity: Option<Identity>,
    /// The most that one run may destroy or replace.
    pub budgets: Budgets,
    /// The fleets, by name.
    pub fleets: BTreeMap<Name, Fleet>,
    /// What the user should know, though it stops nothing.
    pub warnings: Vec<Diagnostic>,
    document: Arc<Document>,
}

impl FleetSpec {
    /// Returns where a field is written, for what later stages find out about it.
    ///
    /// The path is from the top of the file, as `["fleets", "web", "replicas"]`, with list
    /// positions as numbers. A field that no file has is at the nearest of its parents, in the
    /// last resort at the beginning of the first file; its `field` is the path all the same.
    pub fn place(&self, path: &[&str]) -> Option<Place> {
        let Document { root, files } = self.document.as_ref();
        files.place(&root.locate(path))
    }
}

/// The finished tree, with the texts that its places are in.
#[derive(Debug)]
struct Document {
    root: tree::Node,
    files: Arc<place::Files>,
}
