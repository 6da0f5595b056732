//! As much of `/openapi/v3` as kubectl asks before it applies: which query parameters a PATCH
//! of a kind takes. Schemas are not told: kubectl lets the server check fields. Pure.

use serde_json::{Map, Value, json};

use crate::kube::kinds::{Kind, Kinds};

/// Returns `/openapi/v3`.
pub fn index(kinds: &Kinds) -> Value {
    let mut paths = Map::new();
    let mut add = |path: String| {
        let url = format!("/openapi/v3/{path}");
        paths.insert(path, json!({"serverRelativeURL": url}));
    };
    add("api/v1".to_owned());
    for (group, versions) in kinds.groups() {
        for version in versions {
            add(format!("apis/{group}/{version}"));
        }
    }
    json!({"paths": paths})
}

/// Returns `/openapi/v3/…` of a version of a group.
pub fn document(kinds: &Kinds, group: &str, version: &str) -> Value {
    let mut paths = Map::new();
    for (_, kind) in kinds.iter() {
        let patched = kind.verbs().contains(&"patch");
        if kind.group == group && kind.version(version).is_some() && patched {
            paths.insert(path(kind, version), operations(kind, version));
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": super::discovery::VERSION},
        "paths": paths,
        "components": {"schemas": {}},
    })
}

fn path(kind: &Kind, version: &str) -> String {
    let root = match kind.group.as_str() {
        "" => format!("/api/{version}"),
        group => format!("/apis/{group}/{version}"),
    };
    match kind.namespaced {
        true => format!("{root}/namespaces/{{namespace}}/{}/{{name}}", kind.plural),
        false => format!("{root}/{}/{{name}}", kind.plural),
    }
}

fn operations(kind: &Kind, version: &str) -> Value {
    let parameters = ["dryRun", "fieldManager", "fieldValidation", "force"];
    let parameters =
        parameters.map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}));
    json!({"patch": {
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": {
            "group": kind.group, "version": version, "kind": kind.kind,
        },
    }})
}
