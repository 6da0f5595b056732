//! Texts that mean harm, and texts that mean nothing.

use std::time::Instant;

use proptest::prelude::*;

use super::{HEAD, assert_found, inputs, run, shown};
use crate::diag::Diagnostic;
use crate::spec::{FleetSpec, Inputs};

#[test]
fn aliases_of_aliases() {
    let mut text = String::from("apiVersion: meshvm/v1\nstack: shop\nvars:\n  a0: &a0 [lol]\n");
    for level in 1..30 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("  a{level}: &a{level} [{aliases}]\n"));
    }
    let start = Instant::now();
    let Err(found) = run(&inputs(&[("f", &text)])) else {
        panic!("accepted");
    };
    let found = shown(&found);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("the aliases of this file make more than 64 MiB of it"),
        "{found:?}"
    );
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn large_texts_by_alias() {
    let aliases = vec!["*big"; 1000].join(", ");
    let text = format!("a: &big {}\nb: [{aliases}]\n", "x".repeat(1 << 20));
    let Err(found) = run(&inputs(&[("f", &text)])) else {
        panic!("accepted");
    };
    assert!(shown(&found)[0].contains("more than 64 MiB"));
}

#[test]
fn deep_nesting() {
    let deep = "[".repeat(100_000);
    assert_found(
        &inputs(&[("f", &format!("a: {deep}"))]),
        &[
            "f:1:259 [[] not valid YAML: recursion limit exceeded -> no field of a fleet file is so \
           deep",
        ],
    );
    let deep = "[".repeat(100) + &"]".repeat(100);
    assert_found(
        &inputs(&[("f", &format!("a: {deep}"))]),
        &["f:1:67 [[] nested more than 64 levels deep -> no field of a fleet file is so deep"],
    );
    let mut chain = String::from("a0: &a0 []\n");
    for level in 1..100 {
        chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert_found(
        &inputs(&[("f", &chain)]),
        &["f:64:12 [*a62] nested more than 64 levels deep -> no field of a fleet file is so deep"],
    );
}

#[test]
fn large_variables_used_often() {
    let uses: String = (0..1000).map(|_| "    - ${var.big}\n").collect();
    let text = format!(
        "{HEAD}vars: {{big: {}}}\nfleets:\n  web:\n    sim: {{image: x}}\n    bootstrap:\n      run:\n{}",
        "x".repeat(1 << 20),
        uses.replace("    -", "        -")
    );
    let Err(found) = run(&inputs(&[("f", &text)])) else {
        panic!("accepted");
    };
    let found = shown(&found);
    assert!(found[0].contains("variables put more than 64 MiB into this file"));
}

#[test]
fn large_defaults_in_many_fleets() {
    let fleets: String = (0..200)
        .map(|index| format!("  f{index}: {{sim: {{}}}}\n"))
        .collect();
    let text = format!(
        "{HEAD}defaults:\n  sim: {{image: {}}}\nfleets:\n{fleets}",
        "x".repeat(1 << 20)
    );
    let Err(found) = run(&inputs(&[("f", &text)])) else {
        panic!("accepted");
    };
    let found = shown(&found);
    assert!(found.iter().any(|line| {
        line.contains("f:3:1 [defaults] the defaults of all fleets together are more than 64 MiB")
    }));
}

/// Asserts what holds for every input: no panic, and places that can be looked up.
fn assert_sound(inputs: &Inputs) {
    let found: Vec<Diagnostic> = match run(inputs) {
        Ok(spec) => {
            assert_places(&spec, inputs);
            spec.warnings
        }
        Err(found) => {
            assert!(!found.is_empty(), "refused without a reason");
            found
        }
    };
    for problem in &found {
        assert!(!problem.summary.is_empty());
        let Some(place) = &problem.place else {
            continue;
        };
        let all = inputs.files.iter().chain(&inputs.var_files);
        let text = &all
            .into_iter()
            .find(|file| file.name == place.file)
            .unwrap()
            .text;
        assert_eq!(text.get(place.span.clone()), Some(&*place.text));
        let before = &text[..place.span.start];
        assert_eq!(place.line, before.matches('\n').count() + 1, "{problem:?}");
        let line = before.rsplit('\n').next().unwrap();
        let mark = line.strip_prefix('\u{feff}').filter(|_| place.line == 1);
        let line = mark.unwrap_or(line);
        assert_eq!(place.column, line.chars().count() + 1, "{problem:?}");
    }
}

fn assert_places(spec: &FleetSpec, inputs: &Inputs) {
    for name in spec.fleets.keys() {
        let place = spec.place(&["fleets", name.as_str(), "membership", "ports"]);
        let place = place.unwrap();
        assert!(inputs.files.iter().any(|file| file.name == place.file));
    }
}

const WHOLE: &str = r#"apiVersion: meshvm/v1
stack: shop
vars: {n: 3, image: &i debian, list: [z1]}
mesh: {manifests: {path: ./mesh}}
sidecar:
  version: "1"
  packages: [{format: deb, arch: amd64, path: a, sha256: "0000000000000000000000000000000000000000000000000000000000000000"}]
defaults:
  rollout: {maxSurge: 1, minReady: 30s}
fleets:
  web: &web
    sim: {image: "${var.image}", zones: "${var.list}"}
    replicas: ${var.n}
    labels: {tier: "x", team: a} # tïer
    membership:
      namespace: vm
      serviceAccount: web
      labels: {app: web}
      ports: {http: 80}
      probe: {httpGet: {port: 80}}
      service: {ports: [{name: http, port: 80}]}
    bootstrap:
      run:
        - |
          text ü
  api: *web
"#;

#[test]
fn the_file_to_be_damaged_is_right() {
    let spec = run(&inputs(&[("f", WHOLE)])).unwrap();
    assert_eq!(spec.fleets.len(), 2);
}

/// Pieces of which near-misses of fleet files are made.
const TOKENS: [&str; 46] = [
    "apiVersion: meshvm/v1\n",
    "stack: shop\n",
    "fleets:\n",
    "defaults:\n",
    "vars: ",
    "  web:\n",
    "    sim: ",
    "sim",
    "image",
    "membership",
    "ports",
    "probe",
    "null",
    "~",
    "true",
    "0644",
    "1.5",
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    ": ",
    ", ",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "&a ",
    "*a",
    "<<",
    "!t ",
    "!!str ",
    "|\n",
    ">-\n",
    "#",
    "---\n",
    "...\n",
    "${var.x}",
    "$${var.x}",
    "\u{feff}",
    "ü",
    "\t",
    "\r\n",
    "? ",
];

fn soup() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(TOKENS.as_slice()), 0..60)
        .prop_map(|tokens| tokens.concat())
}

/// A whole file with pieces cut out and put in.
fn mutated() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..12_usize, soup());
    prop::collection::vec(edit, 1..4).prop_map(|edits| {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (at, cut, put) in edits {
            let at = at.index(text.len().max(1)).min(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars().take(8));
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_gives_a_spec_or_problems(text in "\\PC*|(.|\n){0,200}") {
        assert_sound(&inputs(&[("f", &text)]));
    }

    #[test]
    fn any_soup_of_tokens_does(text in soup(), more in soup()) {
        assert_sound(&inputs(&[("f", &text), ("g", &more)]));
    }

    #[test]
    fn any_damaged_file_does(text in mutated(), more in soup()) {
        let mut inputs = inputs(&[("f", &text)]);
        inputs.var_files.push(super::source("v", &more));
        inputs.vars.insert("n".into(), more.clone());
        inputs.env.insert("image".into(), more);
        assert_sound(&inputs);
    }
}
