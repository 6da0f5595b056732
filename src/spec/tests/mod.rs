//! Tests of the whole front end: texts in, a spec or problems out.

mod checks;
mod codes;
mod example;
mod files;
mod hostile;
mod istio;
mod kinds;
mod schemas;
mod selectors;
mod shapes;
mod syntax;
mod variables;

use meshvm_provider_api::Kind;

use super::{FleetSpec, Inputs, Source, parse};
use crate::diag::{Diagnostic, Severity};

/// The beginning of a file that lacks nothing; the text of a test follows it.
const HEAD: &str = "apiVersion: meshvm/v1\nstack: shop\n";

fn kinds() -> Vec<&'static dyn Kind> {
    vec![&kinds::Sim, &kinds::Other]
}

fn source(name: &str, text: &str) -> Source {
    Source {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn inputs(files: &[(&str, &str)]) -> Inputs {
    Inputs {
        files: files
            .iter()
            .map(|(name, text)| source(name, text))
            .collect(),
        base_dir: "/base".into(),
        ..Inputs::default()
    }
}

fn run(inputs: &Inputs) -> Result<FleetSpec, Vec<Diagnostic>> {
    parse(inputs, &kinds())
}

/// Parses one file, which must be right.
fn spec(text: &str) -> FleetSpec {
    match run(&inputs(&[("f", text)])) {
        Ok(spec) => spec,
        Err(found) => panic!("{}", shown(&found).join("\n")),
    }
}

/// Shows diagnostics, each as `file:line:column [text] summary -> hint`.
fn shown(found: &[Diagnostic]) -> Vec<String> {
    found.iter().map(show).collect()
}

fn show(found: &Diagnostic) -> String {
    let mut line = String::new();
    if found.severity == Severity::Warning {
        line.push_str("warning ");
    }
    if let Some(place) = &found.place {
        line.push_str(&format!(
            "{}:{}:{} [{}] ",
            place.file, place.line, place.column, place.text
        ));
    }
    line.push_str(&found.summary);
    if let Some(hint) = &found.hint {
        line.push_str(" -> ");
        line.push_str(hint);
    }
    line
}

/// Asserts all problems of some inputs, in order.
#[track_caller]
fn assert_found(inputs: &Inputs, expected: &[&str]) {
    let found = match run(inputs) {
        Ok(spec) => spec.warnings,
        Err(found) => found,
    };
    let found = shown(&found);
    let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    assert!(
        found == expected,
        "found:\n  {}\nexpected:\n  {}",
        found.join("\n  "),
        expected.join("\n  ")
    );
}

/// Asserts all problems of a file `f` that begins with [`HEAD`], so that `text` is at line 3.
#[track_caller]
fn assert_problems(text: &str, expected: &[&str]) {
    let text = format!("{HEAD}{text}");
    assert_found(&inputs(&[("f", &text)]), expected);
}

/// A fleet that lacks nothing: `text` follows its provider's block, at line 5, indented by 4.
#[track_caller]
fn assert_fleet_problems(text: &str, expected: &[&str]) {
    let text: String = text.lines().map(|line| format!("    {line}\n")).collect();
    assert_problems(
        &format!("fleets:\n  web:\n    sim: {{image: debian}}\n{text}"),
        expected,
    );
}

/// A membership that lacks nothing, in a file with a mesh; `text` follows at line 10.
#[track_caller]
fn assert_membership_problems(text: &str, expected: &[&str]) {
    let text: String = text.lines().map(|line| format!("      {line}\n")).collect();
    assert_problems(
        &format!(
            "mesh: {{manifests: {{path: m}}}}\nfleets:\n  web:\n    sim: {{image: x}}\n    \
             membership:\n      namespace: vm\n      serviceAccount: web\n{text}"
        ),
        expected,
    );
}
