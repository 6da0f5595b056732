//! Role-based access, as the server has it
//! (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/>). Pure.

use serde_json::Value;

use super::{MASTERS, User};
use crate::kube::kinds::Kinds;
use crate::kube::store::Store;

/// What somebody wants to do.
#[derive(Debug, Clone)]
pub enum Wish<'a> {
    /// To do something with objects.
    Resource {
        /// The verb, such as `create`.
        verb: &'a str,
        /// The API group.
        group: &'a str,
        /// The resource, with a subresource after a slash.
        resource: &'a str,
        /// The namespace; empty for all, or for none.
        namespace: &'a str,
        /// The name; empty for all.
        name: &'a str,
    },
    /// To read something that is no object.
    Path {
        /// The verb, such as `get`.
        verb: &'a str,
        /// The path.
        path: &'a str,
    },
}

/// Returns whether a user may.
pub fn allows(kinds: &Kinds, store: &Store, user: &User, wish: &Wish<'_>) -> bool {
    if user.groups.iter().any(|group| group == MASTERS) {
        return true;
    }
    let namespace = match wish {
        Wish::Resource { namespace, .. } => namespace,
        Wish::Path { .. } => "",
    };
    rules(kinds, store, user, namespace)
        .iter()
        .any(|rule| grants(rule, wish))
}

/// Returns the rules that a user has in a namespace, with those that hold everywhere.
pub fn rules(kinds: &Kinds, store: &Store, user: &User, namespace: &str) -> Vec<Value> {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let find = |plural: &str| kinds.find(GROUP, plural);
    let mut found = Vec::new();
    let mut follow = |binding: &Value, home: &str| {
        let plural = match binding["roleRef"]["kind"].as_str() {
            Some("Role") if !home.is_empty() => "roles",
            Some("ClusterRole") => "clusterroles",
            _ => return,
        };
        let home = if plural == "roles" { home } else { "" };
        let name = binding["roleRef"]["name"].as_str().unwrap_or_default();
        let role = find(plural).and_then(|k| store.get(k, &(home.to_owned(), name.to_owned())));
        if let Some(role) = role {
            found.extend(role["rules"].as_array().into_iter().flatten().cloned());
        }
    };
    if let Some(kind) = find("clusterrolebindings") {
        for (_, binding) in store.list(kind, None, None) {
            if names(binding, user, "") {
                follow(binding, "");
            }
        }
    }
    if let Some(kind) = find("rolebindings").filter(|_| !namespace.is_empty()) {
        for (_, binding) in store.list(kind, Some(namespace), None) {
            if names(binding, user, namespace) {
                follow(binding, namespace);
            }
        }
    }
    found
}

/// Returns whether a binding is for a user.
fn names(binding: &Value, user: &User, namespace: &str) -> bool {
    let subjects = binding["subjects"].as_array().into_iter().flatten();
    subjects.into_iter().any(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["kind"].as_str() {
            Some("User") => user.name == name,
            Some("Group") => user.groups.iter().any(|group| group == name),
            Some("ServiceAccount") => {
                let namespace = subject["namespace"].as_str().unwrap_or(namespace);
                user.name == format!("system:serviceaccount:{namespace}:{name}")
            }
            _ => false,
        }
    })
}

fn has(rule: &Value, list: &str, fits: impl Fn(&str) -> bool) -> bool {
    let items = rule[list].as_array().into_iter().flatten();
    items.filter_map(Value::as_str).any(fits)
}

/// Returns whether a rule grants a wish.
fn grants(rule: &Value, wish: &Wish<'_>) -> bool {
    match wish {
        Wish::Resource {
            verb,
            group,
            resource,
            namespace: _,
            name,
        } => {
            let subresource = resource.split_once('/').map(|(_, sub)| sub);
            let named = rule["resourceNames"].as_array();
            has(rule, "verbs", |v| v == "*" || v == *verb)
                && has(rule, "apiGroups", |g| g == "*" || g == *group)
                && has(rule, "resources", |r| {
                    r == "*"
                        || r == *resource
                        || subresource.is_some_and(|sub| r.strip_prefix("*/") == Some(sub))
                })
                && (named.is_none_or(Vec::is_empty)
                    || has(rule, "resourceNames", |n| !name.is_empty() && n == *name))
        }
        Wish::Path { verb, path } => {
            has(rule, "verbs", |v| v == "*" || v == *verb)
                && has(rule, "nonResourceURLs", |url| match url.strip_suffix('*') {
                    Some(prefix) => path.starts_with(prefix),
                    None => url == *path,
                })
        }
    }
}

/// Returns why a user may not, as the server says it.
pub fn refusal(user: &User, wish: &Wish<'_>) -> String {
    let name = &user.name;
    match wish {
        Wish::Resource {
            verb,
            group,
            resource,
            namespace,
            ..
        } => {
            let place = match *namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {namespace:?}"),
            };
            format!(
                "User {name:?} cannot {verb} resource {resource:?} in API group {group:?} {place}"
            )
        }
        Wish::Path { verb, path } => format!("User {name:?} cannot {verb} path {path:?}"),
    }
}

/// The roles and bindings that a real server makes at its start, as far as its double needs them.
pub const BOOTSTRAP: &str = include_str!("../../../schemas/rbac.yaml");
