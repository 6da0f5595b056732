//! What an apply does in a namespace, held against what a user may do there. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Intent;
use crate::diag::{Code, Diagnostic};
use crate::mesh::kubernetes::Rule;
use crate::mesh::objects::{self, Side};

const ISTIO: &str = "networking.istio.io";
/// Applying what does not exist yet needs `create` beside `patch`.
const WRITTEN: &[&str] = &["get", "list", "create", "patch", "delete"];
const DELETED: &[&str] = &["get", "list", "delete"];
/// Letting go is applying without labels.
const LET_GO: &[&str] = &["get", "list", "patch", "delete"];

/// What a stack may have in its namespaces: kind, group and resource. `docs/rbac.md` grants it.
const KINDS: [(&str, &str, &str); 7] = [
    ("ServiceAccount", "", "serviceaccounts"),
    ("Service", "", "services"),
    ("WorkloadGroup", ISTIO, "workloadgroups"),
    ("WorkloadEntry", ISTIO, "workloadentries"),
    ("ServiceEntry", ISTIO, "serviceentries"),
    ("DestinationRule", ISTIO, "destinationrules"),
    ("VirtualService", ISTIO, "virtualservices"),
];

/// The kind that every fleet of members has, for whom tokens are made.
const MEMBERS: &str = "WorkloadGroup";
/// The kind of which some are used and not made: those that the stack had made are let go.
const ACCOUNTS: &str = "ServiceAccount";

/// Something that is done: group, resource, verbs.
type Needed = (&'static str, &'static str, &'static [&'static str]);

/// What makes a namespace.
const TO_MAKE: Needed = ("", "namespaces", &["create"]);

/// What is done for tokens.
const FOR_TOKENS: [Needed; 2] = [
    ("", "serviceaccounts/token", &["create"]),
    ("", "secrets", &["create", "delete"]),
];

/// What ends tokens.
const TO_REVOKE: [Needed; 1] = [("", "secrets", &["delete"])];

/// Kinds of objects, by namespace.
pub type Kinds = BTreeMap<String, BTreeSet<String>>;

/// Returns the kinds of which fleets have objects.
pub fn wanted<'a>(sides: impl IntoIterator<Item = (&'a str, Side<'a>)>) -> Kinds {
    let mut wanted = Kinds::new();
    for (fleet, side) in sides {
        let kinds = wanted.entry(side.namespace().to_owned()).or_default();
        let objects = objects::of_fleet("", fleet, side).into_iter();
        kinds.extend(objects.map(|object| object.reference.kind));
        if side.has_entries() {
            kinds.insert(objects::entry_ref(side, "").kind);
        }
    }
    wanted
}

/// What a user may do in namespaces, and what a stack does there.
#[derive(Clone, Copy, Debug)]
pub struct Rights<'a> {
    /// What this user may do, in each namespace of which the cluster tells.
    pub rules: &'a BTreeMap<String, Vec<Rule>>,
    /// Those of the namespaces that are still to be made.
    pub to_make: &'a BTreeSet<String>,
    /// Of which kinds the file has objects in them.
    pub wanted: &'a Kinds,
    /// What is done.
    pub intent: Intent,
}

impl Rights<'_> {
    /// Returns the kinds that the file has not, and of which this user could not delete what the
    /// stack may still have in a namespace.
    pub fn in_doubt(&self) -> BTreeSet<&'static str> {
        let mut doubted = BTreeSet::new();
        for (namespace, rules) in self.rules {
            for (kind, group, resource) in KINDS {
                let pruned = self.pruned(namespace, kind);
                let is_lacking = || !missing(rules, (group, resource, pruned)).is_empty();
                if self.intent != Intent::Look && !self.wants(namespace, kind) && is_lacking() {
                    doubted.insert(kind);
                }
            }
        }
        doubted
    }

    /// Finds what is done and this user may not do; `own` has the kinds in doubt of which the stack
    /// has objects.
    pub fn lacking(&self, own: &Kinds) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (namespace, rules) in self.rules {
            let needed = self.needed(namespace, own).into_iter();
            let lacking: Vec<String> = needed.flat_map(|needed| missing(rules, needed)).collect();
            if lacking.is_empty() {
                continue;
            }
            let text = format!(
                "this user may not, in the namespace `{namespace}`: {}",
                lacking.join(", ")
            );
            let hint = match self.to_make.contains(namespace) {
                true => "grant the role for `createNamespaces` in docs/rbac.md",
                false => "grant the role in docs/rbac.md",
            };
            found.push(Diagnostic::error(Code::NotAllowed, text).with_hint(hint));
        }
        found
    }

    fn wants(&self, namespace: &str, kind: &str) -> bool {
        let kinds = self.wanted.get(namespace);
        kinds.is_some_and(|kinds| kinds.contains(kind))
    }

    /// Returns what is done with objects of a kind that the file has not.
    fn pruned(&self, namespace: &str, kind: &str) -> &'static [&'static str] {
        // Where there are members and no account is made, one of before may be used on.
        match kind == ACCOUNTS && self.wants(namespace, MEMBERS) {
            true => LET_GO,
            false => DELETED,
        }
    }

    /// Returns what is done in a namespace.
    fn needed(&self, namespace: &str, own: &Kinds) -> Vec<Needed> {
        let (verbs, for_tokens): (_, &[Needed]) = match self.intent {
            Intent::Look => return Vec::new(),
            Intent::Write => (WRITTEN, &[]),
            Intent::WriteAndToken => (WRITTEN, &FOR_TOKENS),
            Intent::Delete => (DELETED, &[]),
            Intent::DeleteAndRevoke => (DELETED, &TO_REVOKE),
        };
        let is_pruned = |kind: &str| own.get(namespace).is_some_and(|own| own.contains(kind));
        let mut needed = Vec::new();
        if self.to_make.contains(namespace) {
            needed.push(TO_MAKE);
        }
        for (kind, group, resource) in KINDS {
            if self.wants(namespace, kind) {
                needed.push((group, resource, verbs));
            } else if is_pruned(kind) {
                needed.push((group, resource, self.pruned(namespace, kind)));
            }
        }
        if self.wants(namespace, MEMBERS) {
            needed.extend(for_tokens);
        }
        needed
    }
}

/// Returns what is needed and not allowed, as `VERB RESOURCE`.
fn missing(rules: &[Rule], (group, resource, verbs): Needed) -> Vec<String> {
    let is_lacking = |verb: &&&str| !rules.iter().any(|rule| allows(rule, group, resource, verb));
    let lacking = verbs.iter().filter(is_lacking);
    lacking.map(|verb| format!("{verb} {resource}")).collect()
}

fn allows(rule: &Rule, group: &str, resource: &str, verb: &str) -> bool {
    let Rule {
        verbs,
        groups,
        resources,
        names: _,
    } = rule;
    let has = |all: &[String], one: &str| all.iter().any(|known| known == "*" || known == one);
    // A rule for some names may be just for those that are needed: it counts.
    has(verbs, verb) && has(groups, group) && has(resources, resource)
}
