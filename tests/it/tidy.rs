//! Rules that no compiler checks: what is pure stays pure, data moves only rightwards, files stay
//! small and described, and nothing lies about that nobody uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the library, each importing only those before it.
const ORDER: [&str; 19] = [
    "many",
    "diag",
    "spec",
    "bootstrap",
    "istio",
    "mesh",
    "desired",
    "preflight",
    "observed",
    "plan",
    "steps",
    "journal",
    "ledger",
    "providers",
    "observe",
    "apply",
    "engine",
    "show",
    "cli",
];

/// What does no I/O and takes ids, time and chance as arguments.
const PURE: [&str; 16] = [
    "src/bootstrap",
    "src/desired",
    "src/desired.rs",
    "src/diag.rs",
    "src/istio",
    "src/journal.rs",
    "src/many.rs",
    "src/mesh/objects.rs",
    "src/observed.rs",
    "src/plan",
    "src/preflight",
    "src/preflight.rs",
    "src/show",
    "src/spec",
    "src/steps",
    "providers/api/src/labels.rs",
];

/// What such code may not say.
const IMPURE: [&str; 14] = [
    "async ",
    ".await",
    "tokio",
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "rand::",
    "Uuid::new_v4",
    "println!",
];

/// The most lines of a file.
const LONGEST: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files below a path of the repository, by name.
fn files(path: &str, ending: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut paths: Vec<PathBuf> = vec![root().join(path)];
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            let entries = entries.map(|entry| entry.unwrap().path());
            // What runs leave behind is in folders that version control does not see either.
            let is_hidden = |path: &PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with('.') || name == "target"
            };
            paths.extend(entries.filter(|path| !is_hidden(path)));
        } else if path.to_string_lossy().ends_with(ending) {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            let bytes = fs::read(&path).unwrap();
            found.insert(name, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    assert!(!found.is_empty(), "there is no {ending} in {path}");
    found
}

fn rust_files() -> BTreeMap<String, String> {
    ["src", "providers", "tests", "benches"]
        .into_iter()
        .flat_map(|folder| files(folder, ".rs"))
        .collect()
}

/// Returns whether a file holds nothing but tests.
fn is_test(name: &str) -> bool {
    name.contains("/tests/") || name.starts_with("tests/") || name.ends_with("/tests.rs")
}

/// Returns the lines of code with their numbers, without comments and without the tests at the end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // A module for tests, under whatever name, closes its file.
    let tests = text.find("#[cfg(test)]\nmod ").filter(|&at| {
        text[at..]
            .lines()
            .nth(1)
            .is_some_and(|line| line.ends_with('{'))
    });
    let code = &text[..tests.unwrap_or(text.len())];
    let code = code.lines().enumerate();
    code.map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

#[track_caller]
fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn what_is_pure_stays_pure() {
    let mut found = Vec::new();
    for (name, text) in PURE.iter().flat_map(|path| files(path, ".rs")) {
        if is_test(&name) {
            continue;
        }
        for (number, line) in code(&text) {
            let words = IMPURE.iter().filter(|word| line.contains(**word));
            found.extend(words.map(|word| format!("{name}:{number}: {word}")));
        }
    }
    assert_none("not pure", &found);
}

#[test]
fn data_moves_only_rightwards() {
    let position = |module: &str| ORDER.iter().position(|known| *known == module);
    let mut found = Vec::new();
    for (name, text) in files("src", ".rs") {
        let module = name.trim_start_matches("src/").trim_end_matches(".rs");
        let module = module.split('/').next().unwrap();
        if is_test(&name) || matches!(module, "lib" | "main") {
            continue;
        }
        let Some(own) = position(module) else {
            found.push(format!("{name}: `{module}` has no place in the order"));
            continue;
        };
        for (number, line) in code(&text) {
            for part in line.split("crate::").skip(1) {
                let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_');
                let imported = &part[..end.unwrap_or(part.len())];
                if position(imported).is_none_or(|position| position > own) {
                    found.push(format!("{name}:{number}: `{module}` imports `{imported}`"));
                }
            }
        }
    }
    assert_none("imports that point leftwards", &found);

    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared: BTreeSet<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert_eq!(declared, ORDER.into_iter().collect());
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut found = Vec::new();
    for (name, text) in rust_files() {
        let lines = text.lines().count();
        if lines > LONGEST {
            found.push(format!("{name}: {lines} lines, {LONGEST} are allowed"));
        }
        if !text.starts_with("//! ") {
            found.push(format!("{name}: does not begin with what it is for"));
        }
    }
    assert_none("files", &found);
}

#[test]
fn every_template_is_used() {
    let sources: String = rust_files()
        .into_iter()
        .filter(|(name, _)| !is_test(name))
        .map(|(_, text)| text)
        .collect();
    let unused: Vec<String> = files("templates", "")
        .into_keys()
        .filter(|name| !sources.contains(&format!("{name}\"")))
        .collect();
    assert_none("templates that nothing names", &unused);
}

#[test]
fn every_test_is_run() {
    let main = fs::read_to_string(root().join("tests/it/main.rs")).unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("tests/it")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name != "main" && !main.lines().any(|line| line == format!("mod {name};")) {
            found.push(path.display().to_string());
        }
    }
    assert_none("tests that main.rs does not declare", &found);
}

#[test]
fn nothing_is_left_unfinished_or_speaks_of_its_making() {
    // In pieces, so that this file does not find itself.
    let words = [
        ["/wo", "rk/"],
        ["/fa", "rm/"],
        ["this ses", "sion"],
        ["before-", "stop"],
        ["registry mir", "ror"],
        ["todo", "!("],
        ["unimplemented", "!("],
        ["FIX", "ME"],
        ["XX", "X:"],
        ["#[all", "ow("],
        ["serde(fl", "atten"],
        ["serde(unt", "agged"],
    ]
    .map(|parts| parts.concat());
    let mut found = Vec::new();
    let others = [
        "docs",
        "examples",
        "templates",
        "README.md",
        "CHANGELOG.md",
        "Cargo.toml",
    ];
    let others = others.iter().filter(|path| root().join(path).exists());
    for (name, text) in rust_files()
        .into_iter()
        .chain(others.flat_map(|path| files(path, "")))
    {
        for (number, line) in (1..).zip(text.lines()) {
            let words = words.iter().filter(|word| line.contains(*word));
            found.extend(words.map(|word| format!("{name}:{number}: {word}")));
        }
    }
    assert_none("words that do not belong here", &found);
}

#[test]
fn nothing_panics_outside_tests() {
    let words = [".unwrap()", ".expect(\"", "panic!(", "unreachable!("];
    let mut found = Vec::new();
    for (name, text) in rust_files() {
        // What checks providers is a test that other crates run.
        if is_test(&name) || name.contains("/conformance") || name.starts_with("benches/") {
            continue;
        }
        if name.contains("/examples/") {
            continue;
        }
        for (number, line) in code(&text) {
            let words = words.iter().filter(|word| line.contains(**word));
            found.extend(words.map(|word| format!("{name}:{number}: {word}")));
        }
    }
    assert_none("panics", &found);
}

#[test]
fn the_readme_names_every_feature_and_provider() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let features = manifest
        .lines()
        .skip_while(|line| *line != "[features]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name))
        .filter(|name| *name != "default");
    let providers = fs::read_dir(root().join("providers")).unwrap();
    let providers = providers.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<String> = features
        .map(str::to_owned)
        .chain(providers.filter(|name| name != "api"))
        .collect();
    assert!(
        names.contains("local") && names.contains("sim"),
        "{names:?}"
    );
    let missing: Vec<String> = names
        .into_iter()
        .filter(|name| !readme.contains(&format!("`{name}`")))
        .collect();
    assert_none("not in the README", &missing);
}
