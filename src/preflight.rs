//! Preflight: what of a mesh would keep a fleet file from coming true. Pure.
//!
//! Everything is found at once, each thing with a code, its place in the file, why it matters and
//! what to do. What the file alone can tell is found when it is read, and not here.

mod networks;
mod rights;
pub mod sarif;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use meshvm_provider_api::labels;

use crate::desired::Desired;
use crate::diag::{Code, Diagnostic};
use crate::mesh::ObjectRef;
use crate::mesh::kubernetes::{Foreign, Live, LiveEntry, LiveNamespace, MeshRead};
use crate::mesh::objects::{self, Side};
use crate::spec::model::{Membership, Mesh};
use crate::spec::{Fleet, FleetSpec, version};

pub use rights::{Kinds, Rights, wanted};

/// Checks a fleet file against what was read of its mesh.
pub fn check(spec: &FleetSpec, read: &MeshRead, live: &Live) -> Vec<Diagnostic> {
    let mut checker = Checker {
        spec,
        found: Vec::new(),
    };
    checker.found.extend(skew(spec, read));
    for fleet in spec.fleets.values() {
        let name = fleet.name.as_str();
        if let Some(membership) = &fleet.body.membership {
            checker.membership(fleet, membership, live);
        } else if let Some(external) = &fleet.body.external {
            let path = ["fleets", name, "external", "namespace"];
            checker.namespace(&path, external.namespace.as_str(), live);
        }
    }
    checker.networks(read, live);
    checker.addresses(live);
    checker.found
}

/// Returns what the fleets of a file are to the mesh, by name.
pub fn sides(spec: &FleetSpec) -> impl Iterator<Item = (&str, Side<'_>)> {
    spec.fleets.values().filter_map(|fleet| {
        let side = match (&fleet.body.membership, &fleet.body.external) {
            (Some(membership), _) => Side::Member {
                membership,
                reports: false,
            },
            (None, Some(external)) => Side::External(external),
            (None, None) => return None,
        };
        Some((fleet.name.as_str(), side))
    })
}

/// Returns whether versions are supported together: the control plane may be one minor version
/// ahead (<https://istio.io/latest/docs/releases/supported-releases/>). Versions that are not of
/// the form MAJOR.MINOR fit: nothing is known of them.
fn fit(sidecar: &str, control_plane: &str) -> bool {
    match (version::minor(sidecar), version::minor(control_plane)) {
        (Some((major, minor)), Some((of_major, of_minor))) => {
            major == of_major && (minor == of_minor || minor + 1 == of_minor)
        }
        (None, _) | (_, None) => true,
    }
}

/// Checks a fleet file against what was read of its mesh, where nothing more is asked.
pub fn at_a_glance(spec: &FleetSpec, read: &MeshRead) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = skew(spec, read).into_iter().collect();
    for fleet in spec.fleets.values() {
        let namespace = fleet.body.membership.as_ref().map(|m| m.namespace.as_str());
        if let Some(namespace) = namespace.filter(|namespace| read.absent.contains(*namespace)) {
            let path = ["fleets", fleet.name.as_str(), "membership", "namespace"];
            found.push(no_namespace(spec, &path, namespace));
        }
    }
    found
}

/// Returns that a namespace does not exist; `path` is that of the field that names it.
fn no_namespace(spec: &FleetSpec, path: &[&str], namespace: &str) -> Diagnostic {
    let text = format!("the namespace `{namespace}` does not exist");
    let hint = format!(
        "`kubectl create namespace {namespace}`, or set `mesh.kubernetes.createNamespaces`"
    );
    let found = Diagnostic::error(Code::NoNamespace, text).with_hint(hint);
    let of = path.get(1).unwrap_or(&"the mesh");
    let mut found = found.about(format!("`{namespace}` of {of}"));
    found.place = spec.place(path);
    found
}

/// Returns that machines' sidecars are of another version than the control plane; `None` where they
/// fit.
fn skew(spec: &FleetSpec, read: &MeshRead) -> Option<Diagnostic> {
    let sidecar = spec.sidecar.as_ref()?.version.as_str();
    let control_plane = read.version.as_deref()?;
    if fit(sidecar, control_plane) {
        return None;
    }
    let text =
        format!("the sidecar is of version {sidecar}, and the control plane of {control_plane}");
    let hint = format!("use a sidecar of version {control_plane}");
    let mut found = Diagnostic::warning(Code::VersionSkew, text).with_hint(hint);
    found.place = spec.place(&["sidecar", "version"]);
    Some(found)
}

struct Checker<'a> {
    spec: &'a FleetSpec,
    found: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn add(&mut self, diagnostic: Diagnostic, path: &[&str], hint: String) {
        let mut diagnostic = diagnostic.with_hint(hint);
        diagnostic.place = self.spec.place(path);
        self.found.push(diagnostic);
    }

    fn namespace<'l>(
        &mut self,
        path: &[&str],
        namespace: &str,
        live: &'l Live,
    ) -> Option<&'l LiveNamespace> {
        let found = live.namespaces.get(namespace);
        let is_made = match &self.spec.mesh {
            Some(Mesh::Kubernetes(mesh)) => mesh.create_namespaces,
            Some(Mesh::Manifests(_)) | None => false,
        };
        let about = || format!("`{namespace}` of {}", path.get(1).unwrap_or(&"the mesh"));
        if found.is_none() && !is_made {
            self.found.push(no_namespace(self.spec, path, namespace));
        }
        if found.is_some_and(|found| found.is_ending) {
            let text = format!("the namespace `{namespace}` is being deleted");
            let hint = format!(
                "wait until it is gone, and make it anew; `kubectl describe namespace {namespace}` \
                 tells what keeps it"
            );
            let found = Diagnostic::error(Code::NamespaceEnds, text).about(about());
            self.add(found, path, hint);
        }
        found
    }

    fn membership(&mut self, fleet: &Fleet, membership: &Membership, live: &Live) {
        let name = fleet.name.as_str();
        let path = ["fleets", name, "membership", "namespace"];
        let Some(namespace) = self.namespace(&path, membership.namespace.as_str(), live) else {
            return;
        };
        self.ports(name, membership, namespace);
    }

    /// Finds Services of others that select the machines and want a port that they do not have.
    ///
    /// A warning: they may be meant for pods with the same labels, and the mesh leaves machines out
    /// of that one port only.
    fn ports(&mut self, fleet: &str, membership: &Membership, namespace: &LiveNamespace) {
        for service in &namespace.services {
            let selects = !service.selector.is_empty()
                && service
                    .selector
                    .iter()
                    .all(|(key, value)| membership.labels.get(key) == Some(value));
            if !selects || service.stack.as_deref() == Some(self.spec.stack.as_str()) {
                continue;
            }
            for port in &service.target_ports {
                if membership.ports.contains_key(port) {
                    continue;
                }
                let text = format!(
                    "the Service `{}` selects the machines and wants their port `{port}`",
                    service.name
                );
                let hint = format!("add `{port}` with its number to the membership's `ports`");
                let path = ["fleets", fleet, "membership", "ports"];
                let about = format!("`{port}` of {fleet} for `{}`", service.name);
                let found = Diagnostic::warning(Code::PortLost, text).about(about);
                self.add(found, &path, hint);
            }
        }
    }

    /// Finds entries that have one address in one network.
    fn addresses(&mut self, live: &Live) {
        let mut first: BTreeMap<(&str, &str), (&str, &LiveEntry)> = BTreeMap::new();
        let entries = live.namespaces.iter().flat_map(|(name, namespace)| {
            let entries = namespace.entries.iter();
            entries.map(move |entry| (name.as_str(), entry))
        });
        for (name, entry) in entries.filter(|(_, entry)| !entry.address.is_empty()) {
            let key = (entry.network.as_str(), entry.address.as_str());
            let Some((of, other)) = first.insert(key, (name, entry)) else {
                continue;
            };
            let text = format!(
                "the WorkloadEntries {of}/{} and {name}/{} both have the address {}",
                other.name, entry.name, entry.address
            );
            let hint = "delete the one whose machine is gone".to_owned();
            let found = Diagnostic::warning(Code::SameAddress, text)
                .about(format!("{name}/{}", entry.name));
            self.add(found, &["fleets"], hint);
        }
    }
}

/// Names the service accounts that fleets of a file use, and that none of them makes.
pub fn used_accounts(spec: &FleetSpec) -> BTreeSet<ObjectRef> {
    let made = objects::made_accounts(sides(spec).map(|(_, side)| side));
    let used = sides(spec).filter_map(|(_, side)| objects::used_account(side));
    used.filter(|account| !made.contains(account)).collect()
}

/// Tells of service accounts that fleets use, and that do not exist, by fleet. In a namespace that is
/// not there nobody could have made one.
pub fn no_account(
    spec: &FleetSpec,
    read: &MeshRead,
    absent: &BTreeSet<ObjectRef>,
) -> BTreeMap<String, Diagnostic> {
    let told = sides(spec).filter_map(|(fleet, side)| {
        let account = objects::used_account(side).filter(|account| absent.contains(account))?;
        let ObjectRef {
            namespace, name, ..
        } = &account;
        if read.absent.contains(namespace) {
            return None;
        }
        let text = format!("the service account `{namespace}/{name}` does not exist");
        let hint = format!(
            "`kubectl create serviceaccount {name} -n {namespace}`, or leave `create: false` out to \
             have it made"
        );
        let mut found = Diagnostic::error(Code::NoAccount, text)
            .about(format!("{account} of {fleet}"))
            .with_hint(hint);
        found.place = spec.place(&["fleets", fleet, "membership", "serviceAccount", "name"]);
        Some((fleet.to_owned(), found))
    });
    told.collect()
}

/// Tells of objects of others where the stack's own would be.
pub fn foreign(spec: &FleetSpec, desired: &Desired, found: &[Foreign]) -> Vec<Diagnostic> {
    let stack = desired.stack.as_str();
    let fleets = desired.fleets.iter();
    let wanted: BTreeMap<ObjectRef, &str> = fleets
        .filter_map(|(fleet, desired)| Some((fleet.as_str(), desired.side()?)))
        .flat_map(|(fleet, side)| {
            let objects = objects::of_fleet(stack, fleet, side).into_iter();
            objects.map(move |object| (object.reference, fleet))
        })
        .collect();
    let told = found.iter().filter_map(|(reference, owner)| {
        let fleet = wanted.get(reference)?;
        let is_external = desired.fleets.get(*fleet)?.membership.is_none();
        let ObjectRef {
            namespace,
            kind,
            name,
        } = reference;
        let path: &[&str] = match kind.as_str() {
            _ if is_external => &["fleets", fleet, "external"],
            "Service" => &["fleets", fleet, "membership", "service"],
            "ServiceEntry" => &["fleets", fleet, "membership", "serviceEntry"],
            "ServiceAccount" => &["fleets", fleet, "membership", "serviceAccount"],
            "DestinationRule" | "VirtualService" => &["fleets", fleet, "membership", "traffic"],
            _ => &["fleets", fleet, "membership"],
        };
        let rename = match kind.as_str() {
            "Service" => "name another with `service.name`".to_owned(),
            "ServiceAccount" => format!("name another, or {}", objects::use_account(name)),
            _ => "rename the fleet".to_owned(),
        };
        let mut text =
            format!("the {kind} {namespace}/{name} exists and does not belong to the stack");
        let label = labels::STACK;
        let hint = match owner {
            // What another stack has is not to be taken from it by a label.
            Some(owner) => {
                text += &format!(", but to the stack `{owner}`");
                rename
            }
            None => format!(
                "{rename}, or hand it over: `kubectl label {} {name} -n {namespace} {label}={stack}`",
                kind.to_lowercase(),
            ),
        };
        let mut found = Diagnostic::error(Code::Foreign, text)
            .about(reference.to_string())
            .with_hint(hint);
        found.place = spec.place(path);
        Some(found)
    });
    told.collect()
}

/// What this user wants to do in a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Look: somebody else may apply.
    Look,
    /// Write objects.
    Write,
    /// Write objects, and make tokens.
    WriteAndToken,
    /// Delete objects.
    Delete,
    /// Delete objects, and what tokens are bound to.
    DeleteAndRevoke,
}
