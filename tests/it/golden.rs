//! Golden plans: a stack, what happened to it, and the plan that must come of it.
//!
//! Each folder of `tests/golden` has the fleet file that is planned (`meshvm.yaml`), a script of
//! what happened before (`before.txt`, whose last line may be `plan ARGUMENTS`), and the plan
//! for people (`plan.txt`) and for programs (`plan.json`).

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::support::golden::{assert_file, tests_dir};
use crate::support::script::{Script, Stage};

/// The case whose `plan.json` shows what is planned from; in the others it would only be noise.
const WITH_DESIRED: &str = "new_stack";

fn check(name: &str) {
    let folder = tests_dir("golden").join(name);
    let mut stage = Stage::new();
    let fleet_file = fs::read_to_string(folder.join("meshvm.yaml")).unwrap();
    stage.sandbox.write("meshvm.yaml", &fleet_file);

    let before = fs::read_to_string(folder.join("before.txt")).unwrap_or_default();
    let (script, args) = match before.trim_end().rsplit_once("\n\n") {
        Some((script, last)) if last.starts_with("plan") => (script, last),
        _ if before.starts_with("plan") => ("", before.trim_end()),
        _ => (before.as_str(), "plan"),
    };
    Script::parse(script).run(&mut stage);
    let args = stage.normal.real(args);

    let shown = stage.sandbox.meshvm(&args).exits(0);
    assert_eq!(shown.stderr, "");
    let text = stage.normal.stable(&shown.stdout);
    assert_file(&folder.join("plan.txt"), &text);

    let report = stage.sandbox.meshvm(&format!("{args} --format json"));
    let mut plan = report.exits(0).json()["plan"].take();
    plan["madeBy"] = json!("<version>");
    match &mut plan["desired"] {
        Value::Object(desired) if name == WITH_DESIRED => {
            for fleet in desired["fleets"].as_object_mut().unwrap().values_mut() {
                fleet["userData"] = json!("<user-data>");
            }
        }
        desired => *desired = json!("<desired>"),
    }
    let mut json = serde_json::to_string_pretty(&plan).unwrap();
    json.push('\n');
    let json = stage.normal.stable(&json);
    assert_file(&folder.join("plan.json"), &json);
}

/// Makes one test of each folder, and the list of them.
macro_rules! plans {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*
        const ALL: &[&str] = &[$(stringify!($name)),*];
    };
}

plans!(
    account_let_go,
    adopt,
    bootstrap_changed,
    changed_in_place,
    destroy,
    drift_and_changes,
    drift_of_machines,
    drift_of_the_mesh,
    fleet_removed,
    forget,
    image_replaced,
    interrupted_rollout,
    many_entries,
    many_machines,
    membership_changed,
    membership_moved,
    new_stack,
    nothing_to_do,
    refresh_only,
    region_changed,
    replace,
    scaled,
    size_with_a_restart,
    size_without_a_restart,
    surplus,
    target,
    two_versions,
    unsettled,
    waiting,
    zones_changed,
);

#[test]
fn every_folder_is_checked() {
    let folders: BTreeSet<String> = fs::read_dir(tests_dir("golden"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let checked: BTreeSet<String> = ALL.iter().map(ToString::to_string).collect();
    assert_eq!(folders, checked);
}
