//! Kinds from CRDs.

use serde_json::{Map, Value, json};

use super::{BadKinds, Column, Kind, Nature, Version, builtin, texts, version};
use crate::kube::schema::compile::compile;
use crate::kube::schema::{Object, Schema, Shape};

/// The CRDs that are served when none are given: the part of Istio's that meshvm writes.
pub const SMALL: &str = include_str!("../../../schemas/istio.yaml");

/// Reads the documents of a YAML text.
///
/// # Errors
///
/// When it is no YAML.
pub fn documents(text: &str) -> Result<Vec<Value>, BadKinds> {
    let options = serde_saphyr::options! { budget: None };
    let documents = serde_saphyr::from_multiple_with_options::<Value>(text, options)
        .map_err(|error| BadKinds::Yaml(error.to_string()))?;
    Ok(documents.into_iter().filter(Value::is_object).collect())
}

/// Makes a kind of a CRD.
///
/// # Errors
///
/// When the CRD lacks something, or its schema says something that is not known here.
pub fn kind(crd: &Value) -> Result<Kind, BadKinds> {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let text = |value: &Value, what: &'static str| {
        let text = value.as_str().map(str::to_owned);
        text.ok_or(BadKinds::Incomplete(what))
    };
    let name = text(&names["kind"], "spec.names.kind")?;
    let mut versions = Vec::new();
    let mut status = false;
    let raw = spec["versions"].as_array();
    for raw in raw.ok_or(BadKinds::Incomplete("spec.versions"))? {
        if raw["served"] != json!(true) {
            continue;
        }
        status |= raw.pointer("/subresources/status").is_some();
        let made = version_of(&name, raw)?;
        if raw["storage"] == json!(true) {
            versions.insert(0, made);
        } else {
            versions.push(made);
        }
    }
    if versions.is_empty() {
        return Err(BadKinds::Incomplete("a version that is served"));
    }
    Ok(Kind {
        group: text(&spec["group"], "spec.group")?,
        versions,
        plural: text(&names["plural"], "spec.names.plural")?,
        singular: match names["singular"].as_str() {
            Some(singular) if !singular.is_empty() => singular.to_owned(),
            _ => name.to_ascii_lowercase(),
        },
        kind: name,
        short: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        nature: Nature::Custom,
        status,
    })
}

fn version_of(kind: &str, raw: &Value) -> Result<Version, BadKinds> {
    let schema = raw.pointer("/schema/openAPIV3Schema");
    let schema = schema.ok_or(BadKinds::Incomplete("a schema"))?;
    let mut schema = compile(schema, &Map::new()).map_err(|source| BadKinds::Schema {
        kind: kind.to_owned(),
        source,
    })?;
    builtin::set_metadata(&mut schema)?;
    let columns = raw["additionalPrinterColumns"].as_array();
    let columns = columns.into_iter().flatten().map(|column| {
        let text = |name: &str| column[name].as_str().unwrap_or_default().to_owned();
        Column {
            name: text("name"),
            kind: text("type"),
            path: text("jsonPath"),
            priority: column["priority"].as_i64().unwrap_or_default(),
        }
    });
    Ok(Version {
        name: raw["name"].as_str().unwrap_or_default().to_owned(),
        schema,
        columns: columns.collect(),
    })
}

/// Returns the kind of the CRDs themselves.
///
/// # Errors
///
/// When the generated schema of metadata says something that is not known here.
pub fn itself() -> Result<Kind, BadKinds> {
    let mut schema = Schema::of(Shape::Object(Object {
        rest: Some(Box::default()),
        ..Object::default()
    }));
    builtin::set_metadata(&mut schema)?;
    Ok(Kind {
        group: "apiextensions.k8s.io".to_owned(),
        versions: vec![version("v1", schema)],
        kind: "CustomResourceDefinition".to_owned(),
        plural: "customresourcedefinitions".to_owned(),
        singular: "customresourcedefinition".to_owned(),
        short: vec!["crd".to_owned(), "crds".to_owned()],
        categories: vec!["api-extensions".to_owned()],
        namespaced: false,
        nature: Nature::ReadOnly,
        status: true,
    })
}

/// Returns a CRD as the server keeps it once it serves it.
pub fn established(mut crd: Value, time: &str) -> Value {
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": time,
        })
    };
    crd["status"] = json!({
        "acceptedNames": crd["spec"]["names"],
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "storedVersions": [],
    });
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let stored = versions.filter(|version| version["storage"] == json!(true));
    crd["status"]["storedVersions"] = stored.map(|version| version["name"].clone()).collect();
    crd
}
