//! What the server says of itself: versions, groups and resources. Pure.

use serde_json::{Value, json};

use crate::kube::kinds::{Kind, Kinds, Nature};

/// The version that the double says it is: the one whose behaviour it has.
pub const VERSION: &str = "v1.36.2";

/// Returns `/version`.
pub fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "gitVersion": VERSION, "gitCommit": "", "buildDate": "",
        "gitTreeState": "", "goVersion": "", "compiler": "", "platform": "linux/amd64",
    })
}

/// Returns `/api`.
pub fn core() -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    })
}

/// Returns `/apis`.
pub fn groups(kinds: &Kinds) -> Value {
    let groups = kinds.groups();
    let groups = groups.iter().map(|(name, versions)| group(name, versions));
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.collect::<Vec<_>>()})
}

/// Returns `/apis/GROUP`; `None` when there is no such group.
pub fn one_group(kinds: &Kinds, name: &str) -> Option<Value> {
    let groups = kinds.groups();
    let mut found = group(name, groups.get(name)?);
    found["kind"] = json!("APIGroup");
    found["apiVersion"] = json!("v1");
    Some(found)
}

fn group(name: &str, versions: &[&str]) -> Value {
    let each =
        |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let versions: Vec<Value> = versions.iter().map(each).collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions[0]})
}

/// Returns the resources of a version of a group; `None` when there is none of it.
pub fn resources(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for (_, kind) in kinds.iter() {
        if kind.group == group && kind.version(version).is_some() {
            resources.push(resource(kind));
            resources.extend(subresources(kind));
        }
    }
    if resources.is_empty() {
        return None;
    }
    let name = match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": name, "resources": resources,
    }))
}

fn resource(kind: &Kind) -> Value {
    let mut resource = json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
        "kind": kind.kind, "verbs": kind.verbs(),
    });
    if !kind.short.is_empty() {
        resource["shortNames"] = json!(kind.short);
    }
    if !kind.categories.is_empty() {
        resource["categories"] = json!(kind.categories);
    }
    resource
}

fn subresources(kind: &Kind) -> Vec<Value> {
    let mut found = Vec::new();
    if kind.status && kind.nature != Nature::ReadOnly {
        found.push(json!({
            "name": format!("{}/status", kind.plural), "singularName": "",
            "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": ["get", "patch", "update"],
        }));
    }
    if kind.group.is_empty() && kind.plural == "serviceaccounts" {
        found.push(json!({
            "name": "serviceaccounts/token", "singularName": "", "namespaced": true,
            "group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest",
            "verbs": ["create"],
        }));
    }
    found
}

/// Returns `/.well-known/openid-configuration`.
pub fn openid(issuer: &str, url: &str) -> Value {
    json!({
        "issuer": issuer, "jwks_uri": format!("{url}/openid/v1/jwks"),
        "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}
