//! Findings as SARIF 2.1.0, which code hosts show beside the lines of a change
//! (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>). Pure.

use serde_json::{Value, json};

use crate::diag::{Code, Diagnostic, Severity};

/// Returns findings as one SARIF log.
pub fn sarif(found: &[Diagnostic]) -> Value {
    let rules: Vec<Value> = Code::ALL
        .iter()
        .map(|code| json!({"id": code, "fullDescription": {"text": code.why()}}))
        .collect();
    let results: Vec<Value> = found.iter().map(result).collect();
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

fn result(found: &Diagnostic) -> Value {
    let level = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let text = match &found.hint {
        Some(hint) => format!("{}\n\n{hint}", found.summary),
        None => found.summary.clone(),
    };
    let mut result = json!({"level": level, "message": {"text": text}});
    if let Some(code) = found.code {
        result["ruleId"] = json!(code);
    }
    if let Some(place) = &found.place {
        result["locations"] = json!([{
            "physicalLocation": {
                "artifactLocation": {"uri": place.file},
                "region": {"startLine": place.line, "startColumn": place.column},
            },
            "logicalLocations": [{"fullyQualifiedName": place.field}],
        }]);
    }
    result
}
