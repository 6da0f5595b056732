//! Broken fleet files: each has all its problems told at their places, and nothing is touched.
//!
//! Each folder of `tests/broken` has a fleet file and what is said of it, for people
//! (`errors.txt`) and for programs (`errors.json`).

use std::collections::BTreeSet;
use std::fs;

use crate::support::golden::{assert_file, tests_dir};
use crate::support::program::Sandbox;

/// Commands that read the fleet file; none may get further.
const COMMANDS: [&str; 8] = [
    "validate",
    "plan",
    "plan --out plan.json",
    "apply -y",
    "destroy -y",
    "status",
    "render --out rendered",
    "unlock -y",
];

/// Providers that a build may have beside `sim`.
const OTHERS: [&str; 4] = ["aws", "azure", "gcp", "local"];

fn check(name: &str) {
    let folder = tests_dir("broken").join(name);
    let sandbox = Sandbox::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("errors.") {
            sandbox.write(name, &fs::read_to_string(&path).unwrap());
        }
    }
    let before = sandbox.files();
    let shown = |text: &str| {
        let here = sandbox.work().display().to_string();
        let without = |text: String, name| text.replace(&format!("`{name}`, "), "");
        OTHERS.iter().fold(text.replace(&here, "$DIR"), without)
    };

    for command in COMMANDS {
        let ran = sandbox.meshvm(command).exits(1);
        assert_eq!(ran.stdout, "", "{command}");
        assert_file(&folder.join("errors.txt"), &shown(&ran.stderr));

        let ran = sandbox.meshvm(&format!("{command} --format json")).exits(1);
        assert_eq!(ran.stderr, "", "{command}");
        ran.json();
        assert_file(&folder.join("errors.json"), &shown(&ran.stdout));
    }
    assert_eq!(sandbox.files(), before, "nothing may be made or changed");
    assert!(sandbox.home().is_empty());
}

/// Makes one test of each folder, and the list of them.
macro_rules! broken {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        $(
            $(#[$attribute])*
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*
        const ALL: &[&str] = &[$(stringify!($name)),*];
    };
}

broken!(
    a_list,
    aliases_without_end,
    another_version,
    bootstrap,
    empty,
    fleets_together,
    istio_rules,
    labels,
    ledger,
    ledger_of_another_scheme_with_credentials,
    ledger_scheme,
    ledger_with_a_signature,
    ledger_with_credentials,
    many_at_once,
    membership,
    names,
    no_provider,
    not_yaml,
    nothing_said,
    one_service_twice,
    other_letters,
    own_template_broken,
    own_template_missing,
    own_template_unknown_name,
    probe,
    provider_settings,
    ranges,
    rollout_that_cannot_move,
    said_twice,
    service_account,
    sidecar,
    sidecar_packages,
    sidecar_settings,
    tabs,
    too_long_lines,
    traffic,
    two_documents,
    #[cfg(feature = "local")]
    two_providers,
    types,
    undeclared_variables,
    units,
    unknown_fields,
    unknown_provider,
    user_data_too_big,
    variables_of_another_type,
);

#[test]
fn every_folder_is_checked() {
    let folders: BTreeSet<String> = fs::read_dir(tests_dir("broken"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let checked: BTreeSet<String> = ALL.iter().map(ToString::to_string).collect();
    assert_eq!(folders, checked);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("meshvm.yaml"), b"stack: \xff\xfe\n").unwrap();
    let ran = sandbox.meshvm("plan").exits(1);
    assert_eq!(
        ran.stderr,
        "Error: cannot read meshvm.yaml\n  caused by: stream did not contain valid UTF-8\n"
    );
    assert_eq!(sandbox.files().len(), 1);
}
