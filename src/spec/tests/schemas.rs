//! The published JSON Schema.

use serde_json::{Value, json};

use super::super::schema::{schema, strict};
use super::kinds;

#[test]
fn both_are_valid_draft_2020_12() {
    for schema in [schema(&kinds()), strict(&kinds()), schema(&[])] {
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        if let Err(error) = jsonschema::draft202012::meta::validate(&schema) {
            panic!("{error} at {}", error.instance_path());
        }
    }
}

#[test]
fn every_reference_leads_to_a_definition_and_back() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(target)) = map.get("$ref") {
                    found.push(target.clone());
                }
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    for schema in [schema(&kinds()), strict(&kinds())] {
        let mut found = Vec::new();
        references(&schema, &mut found);
        for target in &found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(schema.pointer(pointer).is_some(), "{target} leads nowhere");
        }
        for name in schema["$defs"].as_object().unwrap().keys() {
            let target = format!("#/$defs/{name}");
            assert!(found.contains(&target), "{name} is used nowhere");
        }
    }
}

#[test]
fn it_is_named_and_described() {
    let schema = schema(&kinds());
    assert_eq!(schema["title"], "meshvm fleet file");
    assert_eq!(schema["$id"], "urn:meshvm:fleet-file:v1");
    let fleet = &schema["$defs"]["FleetBody"]["properties"];
    for (name, field) in fleet.as_object().unwrap() {
        let description = field["description"].as_str().unwrap_or_default();
        assert!(!description.is_empty(), "{name} is not described");
        assert!(!description.contains('\n'), "{name}: {description}");
    }
    assert!(fleet["sim"].is_object() && fleet["other"].is_object());
    assert!(schema["$defs"]["sim.Disk"]["properties"]["size"].is_object());
}

fn accepts(file: &Value) -> bool {
    let schema = schema(&kinds());
    jsonschema::options()
        .offline()
        .build(&schema)
        .unwrap()
        .is_valid(file)
}

fn file(fleet: Value) -> Value {
    json!({
        "apiVersion": "meshvm/v1",
        "stack": "shop",
        "fleets": {"web": fleet},
    })
}

#[test]
fn it_accepts_what_a_file_may_say() {
    let fine = [
        json!({"sim": {"image": "x"}, "replicas": 3}),
        json!({"sim": {"image": "x"}, "replicas": "${var.n}"}),
        json!({"sim": {}, "membership": {"namespace": "${var.env}-vm"}}),
        json!({"sim": null, "probe": null, "membership": {"probe": null}}),
        json!({"sim": "${var.block}", "bootstrap": {"run": ["${var.a}", "b"]}}),
        json!({"sim": {"disk": {"size": "${var.size}"}, "from": {"store": {"url": "x"}}}}),
    ];
    for fleet in fine {
        let accepted = accepts(&file(fleet.clone()));
        // `probe` is a field of `membership`.
        assert_eq!(accepted, fleet.get("probe").is_none(), "{fleet}");
    }
}

#[test]
fn it_refuses_mistakes() {
    let wrong = [
        json!({"sim": {"image": "x"}, "replicas": "three"}),
        json!({"sim": {"image": "x"}, "replcas": 3}),
        json!({"sim": {"image": "x", "disk": {"kind": "tape"}}}),
        json!({"membership": {"ports": {"http": 70000}}}),
        json!({"bootstrap": {"files": [{"path": "/a"}]}}),
        json!({"aws": {}}),
    ];
    for fleet in wrong {
        assert!(!accepts(&file(fleet.clone())), "{fleet}");
    }
    let mut named = file(json!({}));
    named["fleets"] = json!({"Web": {}});
    assert!(!accepts(&named));
    let mut version = file(json!({}));
    version["apiVersion"] = json!("${var.v}");
    assert!(!accepts(&version));
}
