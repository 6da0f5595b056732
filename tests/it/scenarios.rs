//! Sessions with the program on a simulated cloud, in files that read like prose.

use std::collections::BTreeSet;

use crate::support::golden::tests_dir;
use crate::support::script::play;

/// Makes one test of each file, and the list of them.
macro_rules! scenarios {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        $(
            $(#[$attribute])*
            #[test]
            fn $name() {
                play(&tests_dir("scenarios").join(concat!(stringify!($name), ".txt")));
            }
        )*
        const ALL: &[&str] = &[$(concat!(stringify!($name), ".txt")),*];
    };
}

scenarios!(
    bootstrapped,
    changed_while_booting,
    destroy,
    drift,
    failing_bootstrap,
    files_and_vars,
    first_and_second_apply,
    fleet_removed,
    forget_and_adopt,
    interrupted,
    locked,
    mesh_left,
    moved,
    not_ours,
    refusals,
    rollout,
    same_name,
    saved_plan,
    scale,
    shortfall,
    #[cfg(feature = "local")]
    simulate,
    target_and_replace,
    zones,
);

#[test]
fn every_file_is_played() {
    let files: BTreeSet<String> = std::fs::read_dir(tests_dir("scenarios"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let played: BTreeSet<String> = ALL.iter().map(ToString::to_string).collect();
    assert_eq!(files, played);
}
