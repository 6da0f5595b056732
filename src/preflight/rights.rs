//! What an apply does in a namespace, held against what a user may do there. Pure.

use super::Intent;
use crate::mesh::kubernetes::Rule;

const ISTIO: &str = "networking.istio.io";
/// Applying what does not exist yet needs `create` beside `patch`.
const WRITTEN: [&str; 5] = ["get", "list", "create", "patch", "delete"];
const DELETED: [&str; 3] = ["get", "list", "delete"];

/// What a stack has in each of its namespaces, group and resource. `docs/rbac.md` grants it.
const KINDS: [(&str, &str); 7] = [
    ("", "serviceaccounts"),
    ("", "services"),
    (ISTIO, "workloadgroups"),
    (ISTIO, "workloadentries"),
    (ISTIO, "serviceentries"),
    (ISTIO, "destinationrules"),
    (ISTIO, "virtualservices"),
];

/// Something that is done: group, resource, verbs.
type Needed = (&'static str, &'static str, &'static [&'static str]);

/// What is done for tokens.
const FOR_TOKENS: [Needed; 2] = [
    ("", "serviceaccounts/token", &["create"]),
    ("", "secrets", &["create", "delete"]),
];

/// What ends tokens.
const TO_REVOKE: [Needed; 1] = [("", "secrets", &["delete"])];

/// Returns what is needed and not allowed, as `VERB RESOURCE`.
pub(super) fn lacking(rules: &[Rule], intent: Intent) -> Vec<String> {
    let (verbs, for_tokens): (&[&str], &[Needed]) = match intent {
        Intent::Look => (&[], &[]),
        Intent::Write => (&WRITTEN, &[]),
        Intent::WriteAndToken => (&WRITTEN, &FOR_TOKENS),
        Intent::Delete => (&DELETED, &[]),
        Intent::DeleteAndRevoke => (&DELETED, &TO_REVOKE),
    };
    let of_kinds = KINDS
        .iter()
        .map(|(group, resource)| (group, resource, verbs));
    let of_tokens = for_tokens
        .iter()
        .map(|(group, resource, verbs)| (group, resource, *verbs));
    let mut lacking = Vec::new();
    for (group, resource, verbs) in of_kinds.chain(of_tokens) {
        for verb in verbs {
            if !rules.iter().any(|rule| allows(rule, group, resource, verb)) {
                lacking.push(format!("{verb} {resource}"));
            }
        }
    }
    lacking
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
