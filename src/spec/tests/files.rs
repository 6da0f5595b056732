//! Several files, defaults, and the places of what they become.

use super::{HEAD, assert_found, assert_problems, inputs, run, shown, spec};
use crate::spec::scalars::{Amount, Name};

fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).unwrap()
}

#[test]
fn later_files_win() {
    let base = format!(
        "{HEAD}ledger: memory://\nfleets:\n  web:\n    sim: {{image: debian, zones: [z1, z2]}}\n    \
         replicas: 2\n    labels: {{a: x, b: y}}\n  old:\n    sim: {{image: debian}}\n"
    );
    let over = "fleets:\n  web:\n    replicas: 5\n    labels: {b: null, c: z}\n    sim:\n      \
                zones: [z3]\n  old: null\n";
    let inputs = inputs(&[("base", &base), ("over", over)]);
    let spec = run(&inputs).unwrap();
    assert_eq!(spec.ledger, "memory://");
    assert_eq!(spec.fleets.len(), 1);
    let web = &spec.fleets[&name("web")];
    assert_eq!(web.body.replicas, Some(5));
    let labels: Vec<&str> = web.body.labels.keys().map(String::as_str).collect();
    assert_eq!(labels, ["a", "c"]);
    assert_eq!(web.template.zones, ["z3"]);
    let place = spec.place(&["fleets", "web", "replicas"]).unwrap();
    assert_eq!((&*place.file, place.line, &*place.text), ("over", 3, "5"));
    let place = spec.place(&["fleets", "web", "sim", "image"]).unwrap();
    assert_eq!((&*place.file, place.line), ("base", 6));
}

#[test]
fn a_mistake_is_told_in_its_own_file() {
    let base = format!("{HEAD}fleets:\n  web:\n    sim: {{image: debian}}\n");
    let over = "\nfleets: {web: {replicas: three}}\n";
    assert_found(
        &inputs(&[("base", &base), ("over", over)]),
        &[
            "over:2:26 [three] expected an integer, found string \"three\" -> How many machines; 1 \
           when absent.",
        ],
    );
}

#[test]
fn problems_are_sorted_by_file_and_position() {
    let base = format!("{HEAD}fleets:\n  web: {{sim: {{image: x}}, replicas: a}}\nzzz: 1\n");
    let over = "yyy: 1\nfleets: {web: {protect: 1}}\n";
    let Err(found) = run(&inputs(&[("base", &base), ("over", over)])) else {
        panic!("no problems");
    };
    let places: Vec<(String, usize)> = found
        .iter()
        .filter_map(|found| found.place.as_ref())
        .map(|place| (place.file.clone(), place.line))
        .collect();
    let expected = [("base", 4), ("base", 5), ("over", 1), ("over", 2)];
    let expected = expected.map(|(file, line)| (file.to_owned(), line));
    assert_eq!(places, expected, "{:#?}", shown(&found));
}

#[test]
fn defaults_lie_under_every_fleet() {
    let text = format!(
        "{HEAD}defaults:\n  replicas: 4\n  rollout: {{maxSurge: 2, maxUnavailable: 1}}\n  sim: \
         {{image: debian}}\n  labels: {{team: a, tier: b}}\nfleets:\n  one:\n    sim:\n  two:\n    \
         other: {{}}\n    replicas: 1\n    rollout: {{maxSurge: 0}}\n    labels: {{tier: null}}\n"
    );
    let spec = spec(&text);
    let (one, two) = (&spec.fleets[&name("one")], &spec.fleets[&name("two")]);
    assert_eq!(one.provider, "sim");
    assert_eq!(one.body.replicas, Some(4));
    assert_eq!(one.template.settings["image"], "debian");
    assert_eq!(two.provider, "other");
    assert_eq!(two.body.replicas, Some(1));
    assert_eq!(two.body.rollout.max_surge, Some(Amount::Count(0)));
    assert_eq!(two.body.rollout.max_unavailable, Some(Amount::Count(1)));
    assert_eq!(two.body.labels.len(), 1);
    let place = spec.place(&["fleets", "one", "replicas"]).unwrap();
    assert_eq!((place.line, &*place.text), (4, "4"));
    assert_eq!(place.field, "fleets.one.replicas");
}

#[test]
fn what_defaults_get_wrong_is_told_once() {
    assert_problems(
        "defaults:\n  replicas: x\n  rolout: {}\n  sim: {image: none, size: 1}\nfleets:\n  a: {sim: \
         {}}\n  b: {sim: {}}\n",
        &[
            "f:4:13 [x] expected an integer, found string \"x\" -> How many machines; 1 when \
             absent.",
            "f:5:3 [rolout] unknown field `rolout` in defaults -> did you mean `rollout`?",
            "f:6:22 [size] unknown field `size` in defaults.sim -> known are `disk`, `from`, \
             `image`, `memory`, `zones`",
        ],
    );
}

#[test]
fn what_is_required_may_come_from_defaults() {
    let text = format!(
        "{HEAD}mesh: {{manifests: {{path: m}}}}\ndefaults:\n  membership: {{namespace: vm}}\n\
         fleets:\n  a:\n    sim: {{image: x}}\n    membership: {{serviceAccount: a}}\n"
    );
    let spec = spec(&text);
    let membership = spec.fleets[&name("a")].body.membership.clone().unwrap();
    assert_eq!(membership.namespace.as_str(), "vm");
}

#[test]
fn a_place_falls_back_to_its_parent() {
    let spec = spec(&format!(
        "# first\n{HEAD}fleets:\n  web:\n    sim: {{image: x, zones: [z1, z2]}}\n"
    ));
    let at = |path: &[&str]| {
        let place = spec.place(path).unwrap();
        (place.line, place.column, place.text, place.field)
    };
    let expected =
        |line, column, text: &str, field: &str| (line, column, text.to_owned(), field.to_owned());
    assert_eq!(
        at(&["fleets", "web", "sim", "zones", "1"]),
        expected(6, 33, "z2", "fleets.web.sim.zones.1")
    );
    assert_eq!(
        at(&["fleets", "web", "membership", "ports"]),
        expected(5, 3, "web", "fleets.web.membership.ports")
    );
    assert_eq!(at(&["ledger"]), expected(2, 1, "", "ledger"));
    assert_eq!(at(&["stack", "x"]), expected(3, 8, "shop", "stack.x"));
}

#[test]
fn sections_have_defaults() {
    let spec = spec(&format!("{HEAD}fleets:\n"));
    assert_eq!(spec.stack.as_str(), "shop");
    assert_eq!(spec.ledger, "file://.meshvm");
    assert!(spec.mesh.is_none() && spec.sidecar.is_none() && spec.fleets.is_empty());
    assert!(spec.warnings.is_empty());
}

#[test]
fn templates_are_given_the_base_folder() {
    let spec = spec(&format!("{HEAD}fleets: {{web: {{sim: {{image: x}}}}}}\n"));
    let template = &spec.fleets[&name("web")].template;
    assert_eq!(template.scope.key["dir"], "/base");
}
