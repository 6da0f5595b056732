//! Findings as SARIF 2.1.0, which code hosts show beside the lines of a change
//! (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>). Pure.

use std::path::{Component, Path};

use serde_json::{Value, json};

use crate::diag::{Code, Diagnostic, Severity};

/// Returns findings as one SARIF log; files are named from the folder `base`, which is absolute.
pub fn sarif(found: &[Diagnostic], base: &Path) -> Value {
    let rules: Vec<Value> = Code::ALL
        .iter()
        .map(|code| json!({"id": code, "fullDescription": {"text": code.why()}}))
        .collect();
    let results: Vec<Value> = found.iter().map(|one| result(one, base)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "meshvm",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(found: &Diagnostic, base: &Path) -> Value {
    let level = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let text = match &found.hint {
        Some(hint) => format!("{}\n\n{hint}", found.summary),
        None => found.summary.clone(),
    };
    let mut result = json!({"ruleId": found.code, "level": level, "message": {"text": text}});
    if let Some(place) = &found.place {
        let mut location = json!({"logicalLocations": [{"fullyQualifiedName": place.field}]});
        // What comes from the standard input is no file.
        if place.file != "-" {
            location["physicalLocation"] = json!({
                "artifactLocation": {"uri": uri(Path::new(&place.file), base)},
                "region": {"startLine": place.line, "startColumn": place.column},
            });
        }
        result["locations"] = json!([location]);
    }
    result
}

/// Returns a file's name as a URI reference (RFC 3986), from `base` where the file is inside it.
fn uri(file: &Path, base: &Path) -> String {
    let inside = file.strip_prefix(base).unwrap_or(file);
    let mut steps = Vec::new();
    for component in inside.components() {
        match component {
            Component::Normal(step) => steps.push(encoded(&step.to_string_lossy())),
            Component::ParentDir => steps.push("..".to_owned()),
            Component::Prefix(drive) => {
                steps.push(drive.as_os_str().to_string_lossy().into_owned());
            }
            Component::RootDir | Component::CurDir => {}
        }
    }
    let path = steps.join("/");
    match inside.is_absolute() {
        true => format!("file:///{path}"),
        false => path,
    }
}

/// Returns a step of a path with all that is not unreserved as percents and the bytes: a colon in
/// the first would make a scheme of it.
fn encoded(step: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let bytes = step.bytes();
    bytes
        .map(|byte| match is_plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_uri_references_from_the_folder() {
        let base = Path::new("/home/my repo");
        let rules = jsonschema::options().should_validate_formats(true);
        let rules = rules.build(&json!({"format": "uri-reference"})).unwrap();
        assert!(!rules.is_valid(&json!("my fleet.yaml")));
        for (file, expected) in [
            ("meshvm.yaml", "meshvm.yaml"),
            ("./meshvm.yaml", "meshvm.yaml"),
            ("prod//eu/./a.yaml", "prod/eu/a.yaml"),
            ("../a.yaml", "../a.yaml"),
            ("my fleet.yaml", "my%20fleet.yaml"),
            ("\u{fc}.yaml", "%C3%BC.yaml"),
            ("a:b#c?d%20.yaml", "a%3Ab%23c%3Fd%2520.yaml"),
            ("/home/my repo/a b/c.yaml", "a%20b/c.yaml"),
            ("/home/other/a b.yaml", "file:///home/other/a%20b.yaml"),
        ] {
            let found = uri(Path::new(file), base);
            assert_eq!(found, expected);
            assert!(rules.is_valid(&json!(found)), "{found}");
        }
    }
}
