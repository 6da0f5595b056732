//! What an apply does in a namespace, held against what a user may do there. Pure.

use crate::mesh::kubernetes::Rule;

const ISTIO: &str = "networking.istio.io";
/// Applying what does not exist yet needs `create` beside `patch`.
const WRITTEN: [&str; 5] = ["get", "list", "create", "patch", "delete"];

/// What is done in every namespace of a stack: group, resource, verbs. `docs/rbac.md` grants it.
const NEEDED: [(&str, &str, &[&str]); 7] = [
    ("", "serviceaccounts", &WRITTEN),
    ("", "services", &WRITTEN),
    (ISTIO, "workloadgroups", &WRITTEN),
    (ISTIO, "workloadentries", &WRITTEN),
    (ISTIO, "serviceentries", &WRITTEN),
    (ISTIO, "destinationrules", &WRITTEN),
    (ISTIO, "virtualservices", &WRITTEN),
];

/// What is done for tokens.
const FOR_TOKENS: [(&str, &str, &[&str]); 2] = [
    ("", "serviceaccounts/token", &["create"]),
    ("", "secrets", &["create", "delete"]),
];

/// Returns what is needed and not allowed, as `VERB RESOURCE`.
pub(super) fn lacking(rules: &[Rule], tokens: bool) -> Vec<String> {
    let for_tokens: &[_] = if tokens { &FOR_TOKENS } else { &[] };
    let mut lacking = Vec::new();
    for (group, resource, verbs) in NEEDED.iter().chain(for_tokens) {
        for verb in *verbs {
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
