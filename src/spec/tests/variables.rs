//! Variables, from all four sources, in all places.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{HEAD, assert_found, assert_problems, inputs, run, shown, source, spec};
use crate::spec::Inputs;

fn with(text: &str, vars: &[(&str, &str)], var_file: &str, env: &[(&str, &str)]) -> Inputs {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    };
    let text = format!("{HEAD}{text}");
    Inputs {
        var_files: vec![source("v", var_file)],
        vars: map(vars),
        env: map(env),
        ..inputs(&[("f", &text)])
    }
}

/// Returns what one variable becomes in the settings of a fleet.
fn image(inputs: &Inputs) -> Value {
    match run(inputs) {
        Ok(spec) => spec.fleets.values().next().unwrap().template.settings["image"].clone(),
        Err(found) => panic!("{}", shown(&found).join("\n")),
    }
}

const USE: &str = "fleets: {web: {sim: {image: \"${var.x}\"}}}\n";

#[test]
fn each_source_wins_over_the_next() {
    let text = format!("vars: {{x: default}}\n{USE}");
    let file = "x: file";
    let (var, env) = ([("x", "var")], [("x", "env")]);
    assert_eq!(image(&with(&text, &var, file, &env)), "var");
    assert_eq!(image(&with(&text, &[], file, &env)), "file");
    assert_eq!(image(&with(&text, &[], "", &env)), "env");
    assert_eq!(image(&with(&text, &[], "", &[])), "default");
}

#[test]
fn a_whole_value_takes_the_type() {
    let text = format!(
        "{HEAD}vars: {{n: 3, yes: true, zones: [z1, z2], roll: {{maxSurge: 50%}}, block: {{image: \
         x}}, l: memory://}}\nledger: ${{var.l}}\nfleets:\n  web:\n    sim: ${{var.block}}\n    \
         replicas: \"${{var.n}}\"\n    protect: ${{var.yes}}\n    rollout: ${{var.roll}}\n  api:\n    \
         sim: {{image: x, zones: '${{var.zones}}'}}\n"
    );
    let spec = spec(&text);
    assert_eq!(spec.ledger, "memory://");
    let fleets: Vec<_> = spec.fleets.values().collect();
    assert_eq!(fleets[0].template.settings["zones"], json!(["z1", "z2"]));
    assert_eq!(fleets[1].body.replicas, Some(3));
    assert!(fleets[1].body.protect && fleets[1].body.rollout.max_surge.is_some());
}

#[test]
fn inside_a_text_it_is_put_in_as_written() {
    let text = "vars: {x: 1.30, flag: True}\nfleets: {web: {sim: {image: \
                \"v${var.x}-${var.flag}/$${var.x}/${HOME}/$$x\"}}}\n";
    let image = image(&with(text, &[], "", &[]));
    assert_eq!(image, "v1.30-true/${var.x}/${HOME}/$$x");
}

#[test]
fn what_a_variable_brings_is_not_searched_again() {
    let text = format!("vars: {{x: null, y: secret}}\n{USE}");
    let image = image(&with(&text, &[("x", "${var.y}")], "", &[]));
    assert_eq!(image, "${var.y}");
}

#[test]
fn strings_become_what_the_default_is() {
    let text = "vars: {n: 1, t: '1', b: false, any: null}\nfleets:\n  web:\n    sim: {image: \
                \"${var.t}\"}\n    replicas: ${var.n}\n    protect: ${var.b}\n    labels: {any: \
                '${var.any}'}\n";
    let given = [("n", "0o7"), ("t", "7"), ("b", "TRUE"), ("any", "text")];
    let spec = run(&with(text, &[], "", &given)).unwrap();
    let fleet = spec.fleets.values().next().unwrap();
    assert_eq!(fleet.body.replicas, Some(7));
    assert_eq!(fleet.template.settings["image"], "7");
    assert!(fleet.body.protect);
    assert_eq!(fleet.body.labels["any"], "text");
}

#[test]
fn strings_that_are_not_what_the_default_is() {
    let text = "vars:\n  n: 1\n  b: true\n  l: []\n  m: {}\n";
    let given = [("n", "three"), ("b", "yes"), ("l", "a"), ("m", "{}")];
    assert_found(
        &with(text, &given, "", &[]),
        &[
            "f:4:3 [n] --var n: \"three\" is not a number -> the type is that of the default, \
             which stands here",
            "f:5:3 [b] --var b: \"yes\" is not true or false -> the type is that of the default, \
             which stands here",
            "f:6:3 [l] --var l: \"a\" is not a list, which only a file can give -> the type is \
             that of the default, which stands here",
            "f:7:3 [m] --var m: \"{}\" is not a map, which only a file can give -> the type is \
             that of the default, which stands here",
        ],
    );
}

#[test]
fn undeclared_variables() {
    let text = "vars: {region: a}\nfleets:\n  web: {sim: {image: \"x-${var.regoin}\"}}\n  api: \
                {sim: {image: '${var.zone}'}}\n";
    assert_found(
        &with(
            text,
            &[("regio", "x")],
            "zone: x\nRegion: y\n",
            &[("other", "x")],
        ),
        &[
            "`--var regio` sets a variable that is not declared -> did you mean `region`?",
            "f:5:25 [${var.regoin}] the variable `regoin` is not declared -> did you mean \
             `${var.region}`?",
            "f:6:23 [${var.zone}] the variable `zone` is not declared -> declare `zone` under \
             `vars`; for the text itself write `$${var.zone}`",
            "v:1:1 [zone] `zone` sets a variable that is not declared -> declared are `region`",
            "v:2:1 [Region] `Region` sets a variable that is not declared -> did you mean \
             `region`?",
        ],
    );
}

#[test]
fn a_value_that_was_reported_is_reported_no_more() {
    assert_problems(
        "fleets:\n  web:\n    sim: {image: x}\n    replicas: ${var.n}\n    protect: !no x\n    \
         rollout: [!no x]\n",
        &[
            "f:6:15 [${var.n}] the variable `n` is not declared -> declare `n` under `vars`; for \
             the text itself write `$${var.n}`",
            "f:7:14 [!no x] the tag `!no` is not supported here -> remove the tag",
            "f:8:5 [rollout] expected a map, found a list -> How machines are replaced: new ones \
             come up before, and as, old ones go.",
            "f:8:15 [!no x] the tag `!no` is not supported here -> remove the tag",
        ],
    );
}

#[test]
fn a_variable_without_a_value() {
    let text = format!("vars:\n  x: null\n  unused:\n{USE}");
    assert_found(
        &with(&text, &[], "x: ~", &[]),
        &[
            "f:4:3 [x] the variable `x` has no value -> give it one: --var x=…, a --var-file, or \
             MESHVM_VAR_x in the environment",
            "f:5:3 [unused] the variable `unused` has no value -> give it one: --var unused=…, a \
             --var-file, or MESHVM_VAR_unused in the environment",
        ],
    );
}

#[test]
fn a_mistake_says_where_the_value_is_from() {
    let text = "vars: {n: null}\nfleets:\n  web:\n    sim: {image: x}\n    replicas: ${var.n}\n";
    assert_found(
        &with(text, &[("n", "many")], "", &[]),
        &[
            "f:7:15 [${var.n}] expected an integer, found string \"many\" -> `${var.n}` is string \
           \"many\", set by --var n; How many machines; 1 when absent.",
        ],
    );
    assert_found(
        &with(text, &[], "n: -1", &[]),
        &[
            "f:7:15 [${var.n}] expected at least 0, found integer -1 -> `${var.n}` is integer -1, \
           set in v; How many machines; 1 when absent.",
        ],
    );
    let text = "vars: {v: 1.30}\nfleets:\n  web:\n    sim: {image: '${var.v}'}\n";
    assert_found(
        &with(text, &[], "", &[]),
        &[
            "f:6:18 ['${var.v}'] expected a string, found number 1.30 -> `${var.v}` is number 1.30, \
           its default; put the variable's value in quotes where it is set",
        ],
    );
}

#[test]
fn a_map_or_list_inside_a_text() {
    assert_problems(
        "vars: {l: [a]}\nfleets: {web: {sim: {image: \"x${var.l}\"}}}\n",
        &[
            "f:4:31 [${var.l}] `${var.l}` is a list, and cannot be part of a text -> let the \
           variable be the whole value",
        ],
    );
}

#[test]
fn variables_have_no_variables() {
    let text = "vars:\n  a: x\n  b: [\"${var.a}\"]\n";
    let hint = "write the value out, or use both where it is used";
    let message = format!("the value of a variable cannot use a variable (`a`) -> {hint}");
    assert_found(
        &with(text, &[], "a: ${var.a}", &[]),
        &[
            &format!("f:5:7 [\"${{var.a}}\"] {message}"),
            &format!("v:1:4 [${{var.a}}] {message}"),
        ],
    );
}

#[test]
fn keys_and_the_version_have_no_variables() {
    assert_found(
        &inputs(&[(
            "f",
            "apiVersion: ${var.v}\nstack: shop\nvars: {v: meshvm/v1}\nfleets:\n  web:\n    sim: \
             {image: x}\n    labels:\n      ${var.v}: x\n",
        )]),
        &[
            "f:1:13 [${var.v}] expected `meshvm/v1`, found string \"${var.v}\"",
            "f:8:7 [${var.v}] `${var.v}` cannot be the key of a machine's label -> write 1 to 63 \
             of a-z, 0-9, _ and -, beginning with a letter",
            "f:8:7 [${var.v}] a key cannot use a variable -> write the key out; variables stand \
             in values",
        ],
    );
}

#[test]
fn names_of_variables() {
    assert_problems(
        "vars: {1a: x, a b: y}\n",
        &[
            "f:3:8 [1a] `1a` cannot be a variable's name -> begin with a letter or _, and go on \
             with letters, digits, _ and -",
            "f:3:15 [a b] `a b` cannot be a variable's name -> begin with a letter or _, and go \
             on with letters, digits, _ and -",
        ],
    );
}

#[test]
fn vars_that_are_no_map_are_told_once() {
    assert_problems(
        &format!("vars: [x]\n{USE}"),
        &[
            "f:3:1 [vars] expected a map, found a list -> Variables with their defaults, used as \
           ${var.NAME}. A variable without a default (null) must be set by --var, --var-file or \
           the environment variable MESHVM_VAR_NAME.",
        ],
    );
}

#[test]
fn files_of_variables_merge_and_must_be_maps() {
    let text = format!("vars: {{x: a}}\n{USE}");
    let mut inputs = with(&text, &[], "x: first", &[]);
    inputs.var_files.push(source("w", "x: second"));
    assert_eq!(image(&inputs), "second");
    inputs.var_files.push(source("l", "[x]"));
    assert_found(
        &inputs,
        &[
            "l:1:1 [] a file of variables must be a map, and this is a list -> begin with lines \
           such as `name: value`",
        ],
    );
}
