//! From the finished tree to types, and the checks that need types.
//!
//! Invariant: a part whose shape is wrong is left out, and everything else is read and
//! checked all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use meshvm_provider_api::{Kind, Template};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::diag::{Code, Diagnostic};

use super::check::{self, Checker};
use super::model::{Budgets, FleetBody, Identity, Mesh, Sidecar, default_ledger};
use super::problems::Problems;
use super::scalars::Name;
use super::shape::Broken;
use super::tree::{Map, Node};
use super::{Document, Fleet, FleetSpec};

/// The finished tree, and what is known of it.
pub(super) struct Work<'a> {
    /// The tree.
    pub root: &'a Node,
    /// The same as JSON.
    pub json: Json,
    /// The providers of this build.
    pub kinds: &'a [&'a dyn Kind],
    /// The providers that this build lacks.
    pub missing: Vec<&'a str>,
    /// What does not fit the schema.
    pub broken: Broken,
    /// The folder of the first fleet file.
    pub base_dir: &'a Path,
}

/// The typed parts of a file.
pub(super) struct Parts {
    stack: Name,
    ledger: String,
    mesh: Option<Mesh>,
    sidecar: Option<Sidecar>,
    identity: Option<Identity>,
    budgets: Budgets,
    fleets: BTreeMap<Name, Fleet>,
}

impl Parts {
    /// Puts the parts together.
    pub fn spec(self, document: Document, warnings: Vec<Diagnostic>) -> FleetSpec {
        let Self {
            stack,
            ledger,
            mesh,
            sidecar,
            identity,
            budgets,
            fleets,
        } = self;
        FleetSpec {
            stack,
            ledger,
            mesh,
            sidecar,
            identity,
            budgets,
            fleets,
            warnings,
            document: Arc::new(document),
        }
    }
}

impl Work<'_> {
    /// Reads everything that is sound, and checks it; `None` when something is not.
    pub fn types(&self, problems: &mut Problems) -> Option<Parts> {
        let stack: Option<Name> = self.field("stack", problems).flatten();
        let ledger = self.field("ledger", problems);
        let ledger = ledger.map(|ledger| ledger.unwrap_or_else(default_ledger));
        let mesh: Option<Option<Mesh>> = self.field("mesh", problems);
        let sidecar: Option<Option<Sidecar>> = self.field("sidecar", problems);
        let identity: Option<Option<Identity>> = self.field("identity", problems);
        let budgets: Option<Option<Budgets>> = self.field("budgets", problems);
        let mut checker = Checker::new(self.root, problems);
        if let Some(ledger) = &ledger {
            check::ledger(ledger, &mut checker);
        }
        if let Some(Some(mesh)) = &mesh {
            check::mesh(mesh, &mut checker);
        }
        if let Some(Some(sidecar)) = &sidecar {
            check::sidecar(sidecar, &mut checker);
        }
        if let (Some(Some(identity)), Some(mesh)) = (&identity, &mesh) {
            check::identity(identity, mesh.as_ref(), &mut checker);
        }
        let settings = (mesh.as_ref(), sidecar.as_ref());
        let fleets = self.fleets(settings, problems);
        Some(Parts {
            stack: stack?,
            ledger: ledger?,
            mesh: mesh?,
            sidecar: sidecar?,
            identity: identity?,
            budgets: budgets?.unwrap_or_default(),
            fleets: fleets?,
        })
    }

    fn fleets(
        &self,
        (mesh, sidecar): (Option<&Option<Mesh>>, Option<&Option<Sidecar>>),
        problems: &mut Problems,
    ) -> Option<BTreeMap<Name, Fleet>> {
        let mut bodies = BTreeMap::new();
        let mut fleets = BTreeMap::new();
        let mut all = true;
        let entries = self.root.get("fleets").and_then(|entry| entry.node.map());
        for (fleet, entry) in entries.into_iter().flatten() {
            let Some(block) = entry.node.map() else {
                all = false;
                continue;
            };
            let kind = self.kind(fleet, block, problems);
            let template = kind.and_then(|kind| self.template(fleet, kind, problems));
            let body = self.body(fleet, problems);
            let name = Name::try_from(fleet.clone()).ok();
            let (Some(name), Some((body, whole))) = (name, body) else {
                all = false;
                continue;
            };
            bodies.insert(name.clone(), body.clone());
            match (kind, template) {
                (Some(kind), Some(template)) if whole => {
                    let provider = kind.info().name.to_owned();
                    let fleet = Fleet {
                        name: name.clone(),
                        body,
                        provider,
                        template,
                    };
                    fleets.insert(name, fleet);
                }
                (Some(_) | None, _) => all = false,
            }
        }
        let has_mesh = self.root.get("mesh").is_some();
        let mut checker = Checker::new(self.root, problems);
        for (name, body) in &bodies {
            check::fleet(name.as_str(), body, has_mesh, &mut checker);
        }
        check::together(&bodies, &mut checker);
        // What is wrong in itself says nothing of what is missing.
        if let (Some(mesh), Some(sidecar)) = (mesh, sidecar) {
            check::with_sidecar(&bodies, mesh.as_ref(), sidecar.as_ref(), &mut checker);
        }
        all.then_some(fleets)
    }

    /// Finds a fleet's provider, and reports when it is not exactly one.
    fn kind(&self, fleet: &str, block: &Map, problems: &mut Problems) -> Option<&dyn Kind> {
        let found: Vec<&dyn Kind> = self
            .kinds
            .iter()
            .copied()
            .filter(|kind| block.contains_key(kind.info().name))
            .collect();
        // The shape check says that this build lacks the provider that the fleet has.
        if found.is_empty() && self.missing.iter().any(|name| block.contains_key(*name)) {
            return None;
        }
        let name = |kind: &&dyn Kind| kind.info().name;
        let names: Vec<&str> = found.iter().map(name).collect();
        let known: Vec<&str> = self.kinds.iter().map(name).collect();
        let mut checker = Checker::new(self.root, problems);
        check::provider(fleet, &names, &known, &mut checker);
        match found.as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }

    fn template(&self, fleet: &str, kind: &dyn Kind, problems: &mut Problems) -> Option<Template> {
        let provider = kind.info().name;
        let path = ["fleets", fleet, provider];
        if !self.is_sound(&path) {
            return None;
        }
        let mut settings = self.root.at(&path)?.json();
        if let Some(pointer) = kind.member_ports() {
            let membership = self.json.pointer("/fleets").and_then(|all| all.get(fleet));
            let ports = membership.and_then(|fleet| fleet.pointer("/membership/ports"));
            fill_ports(&mut settings, pointer, ports);
        }
        match kind.template(&settings, self.base_dir) {
            Ok(template) => Some(template),
            Err(findings) => {
                for finding in findings {
                    let at = check::finding_place(self.root, fleet, provider, &finding.path);
                    let found = Diagnostic::error(Code::Provider, finding.message);
                    let found = match finding.hint {
                        Some(hint) => found.with_hint(hint),
                        None => found,
                    };
                    problems.add(Some(&at), found);
                }
                None
            }
        }
    }

    /// Reads what is sound of a fleet's own fields, and says whether that is all of them.
    ///
    /// Every field has a default, so that one mistake does not hide those of other fields.
    fn body(&self, fleet: &str, problems: &mut Problems) -> Option<(FleetBody, bool)> {
        let mut json = self.json.get("fleets")?.get(fleet)?.clone();
        let fields = json.as_object_mut()?;
        for kind in self.kinds {
            fields.remove(kind.info().name);
        }
        let given = fields.len();
        fields.retain(|field, _| self.is_sound(&["fleets", fleet, field]));
        let whole = fields.len() == given && !self.broken.is_at(&["fleets", fleet]);
        let body = self.typed(&["fleets", fleet], json, problems)?;
        Some((body, whole))
    }

    /// Reads a top-level field: `None` when it is not sound, `Some(None)` when it is absent.
    fn field<T: DeserializeOwned>(&self, name: &str, problems: &mut Problems) -> Option<Option<T>> {
        if !self.is_sound(&[name]) {
            return None;
        }
        match self.json.get(name) {
            None => Some(None),
            Some(json) => self.typed(&[name], json.clone(), problems).map(Some),
        }
    }

    fn is_sound(&self, path: &[&str]) -> bool {
        let broken = self.root.at(path).is_some_and(Node::has_broken);
        !broken && !self.broken.touches(path)
    }

    /// Reads a type; what the schema let pass and the type does not is still given its place.
    fn typed<T: DeserializeOwned>(
        &self,
        path: &[&str],
        json: Json,
        problems: &mut Problems,
    ) -> Option<T> {
        match serde_path_to_error::deserialize(json) {
            Ok(value) => Some(value),
            Err(error) => {
                use serde_path_to_error::Segment;
                let inner = error.path().iter().map(|segment| match segment {
                    Segment::Seq { index } => index.to_string(),
                    Segment::Map { key } => key.clone(),
                    Segment::Enum { variant } => variant.clone(),
                    Segment::Unknown => String::new(),
                });
                let path: Vec<String> = path.iter().map(ToString::to_string).chain(inner).collect();
                let at = self.root.locate(&path);
                let message = error.inner().to_string();
                problems.add(Some(&at), Diagnostic::error(Code::Value, message));
                None
            }
        }
    }
}

/// Puts members' ports, each once, to where a provider wants them; nothing where the block says
/// itself which, or has not even what they would be part of.
fn fill_ports(settings: &mut Json, pointer: &str, ports: Option<&Json>) {
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        return;
    };
    let parent = settings.pointer_mut(parent).and_then(Json::as_object_mut);
    let ports = ports.and_then(Json::as_object);
    if let (Some(parent), Some(ports)) = (parent, ports)
        && !parent.contains_key(name)
    {
        let numbers: BTreeSet<u64> = ports.values().filter_map(Json::as_u64).collect();
        parent.insert(name.to_owned(), numbers.into_iter().collect());
    }
}
