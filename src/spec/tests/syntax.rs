//! What YAML has and a fleet file must not.

use super::{HEAD, assert_found, assert_problems, inputs, spec};

#[test]
fn syntax_errors_of_all_files_are_told_together() {
    let found = [
        "a:1:5 [:] not valid YAML: mapping values are not allowed in this context -> a text with \
         `: ` in it, or beginning with a special character, needs quotes",
        "b:2:2 [b] not valid YAML: tabs disallowed within this context (block indentation) -> \
         indent with spaces: YAML allows no tabs there",
        "c:2:1 [] not valid YAML: while parsing a node, did not find expected node content -> \
         look at the indentation and brackets here and in the lines above",
    ];
    let files = [("a", "a: b: c\n"), ("b", "a:\n\tb: 1\n"), ("c", "a: [1,\n")];
    assert_found(&inputs(&files), &found);
}

#[test]
fn an_open_quote_and_an_unknown_anchor() {
    let files = [("a", "stack: 'x\n"), ("b", "stack: *x\n")];
    let found = [
        "a:1:8 ['] not valid YAML: while scanning a quoted scalar, found unexpected end of stream \
         -> a closing quote is missing",
        "b:1:8 [*] not valid YAML: while parsing node, found unknown anchor -> name an anchor \
         (`&name`) that stands above; a text that begins with * needs quotes",
    ];
    assert_found(&inputs(&files), &found);
}

#[test]
fn a_key_twice_names_both_places() {
    assert_problems(
        "budgets:\n  destroy: 1\n  replace: 2\n  \"destroy\": 3\n",
        &[
            "f:6:3 [\"destroy\"] `destroy` is set twice in the same map -> it is set first at \
           f:4:3: remove one of the two",
        ],
    );
}

#[test]
fn keys_are_text() {
    assert_problems(
        "vars: {a: {1: x, true: x, ~: x, [b]: x, \"2\": x}}\n",
        &[
            "f:3:12 [1] a key must be text, and this is integer 1 -> put it in quotes: \"1\"",
            "f:3:18 [true] a key must be text, and this is boolean true -> put it in quotes: \
             \"true\"",
            "f:3:27 [~] a key must be text, and this is nothing -> write a name",
            "f:3:33 [[b]] a key must be text, and this is a list -> write a name",
        ],
    );
}

#[test]
fn merge_keys_are_refused() {
    assert_problems(
        "vars:\n  a: &a {b: 1}\n  c:\n    <<: *a\n    '<<': text\n",
        &[
            "f:6:5 [<<] merge keys (`<<`) are not supported -> YAML 1.2 has none: use `defaults`, \
           or an alias for a whole value",
        ],
    );
}

#[test]
fn a_second_document_is_refused() {
    assert_problems(
        "---\nstack: other\n",
        &[
            "f:3:1 [---] a fleet file holds one YAML document, and here a second begins -> put the \
           second into a file of its own, and give both with -f",
        ],
    );
}

#[test]
fn tags_of_ones_own_are_refused() {
    assert_problems(
        "vars:\n  a: !secret x\n  b: !!int x\n  c: !!set {}\n  d: !<tag:x,1> y\n  e: !!binary eA==\n",
        &[
            "f:4:6 [!secret x] the tag `!secret` is not supported here -> remove the tag",
            "f:5:6 [!!int x] \"x\" is no `!!int` -> remove the tag",
            "f:6:6 [!!set {] the tag `!!set` is not supported here -> remove the tag",
            "f:7:6 [!<tag:x,1> y] the tag `tag:x,1` is not supported here -> remove the tag",
            "f:8:6 [!!binary eA==] the tag `!!binary` is not supported here -> remove the tag",
        ],
    );
}

#[test]
fn tags_of_the_core_schema_work() {
    let text = format!(
        "{HEAD}fleets: !!map\n  web:\n    sim: {{image: !!str 12, zones: !!seq [! z1]}}\n    \
         replicas: !!int 3\n"
    );
    let spec = spec(&text);
    let fleet = spec.fleets.values().next().unwrap();
    assert_eq!(fleet.body.replicas, Some(3));
    assert_eq!(fleet.template.settings["image"], "12");
}

#[test]
fn a_value_that_json_cannot_hold() {
    assert_problems(
        "vars: {a: .inf, b: 1e999}\n",
        &[
            "f:3:11 [.inf] neither infinity, nor what is no number, nor a number beyond 1.8e308 \
             can be used -> put it in quotes if it is meant as text",
            "f:3:20 [1e999] neither infinity, nor what is no number, nor a number beyond 1.8e308 \
             can be used -> put it in quotes if it is meant as text",
        ],
    );
}

#[test]
fn a_file_must_be_a_map() {
    assert_found(
        &inputs(&[("a", "- x\n"), ("b", "just text")]),
        &[
            "a:1:1 [] a fleet file must be a map, and this is a list -> begin with lines such as \
             `name: value`",
            "b:1:1 [] a fleet file must be a map, and this is string \"just text\" -> begin with \
             lines such as `name: value`",
        ],
    );
}

#[test]
fn an_empty_file_lacks_everything() {
    assert_found(
        &inputs(&[("f", "# nothing yet\n")]),
        &[
            "f:1:1 [] missing field `apiVersion` at the top of the file -> add `apiVersion`: The \
             version of this format.",
            "f:1:1 [] missing field `stack` at the top of the file -> add `stack`: The owner of \
             everything made from this file: a label on every object.",
        ],
    );
}

#[test]
fn no_file_at_all() {
    assert_found(
        &inputs(&[]),
        &["there is no fleet file -> name one with -f"],
    );
}

#[test]
fn anchors_and_aliases() {
    let text = format!(
        "{HEAD}fleets:\n  a: &a\n    sim: {{image: &image debian}}\n  b: *a\n  c:\n    sim: \
         {{image: *image}}\n"
    );
    let spec = spec(&text);
    assert_eq!(spec.fleets.len(), 3);
    for fleet in spec.fleets.values() {
        assert_eq!(fleet.template.settings["image"], "debian");
    }
    let place = spec.place(&["fleets", "c", "sim", "image"]).unwrap();
    assert_eq!((place.line, &*place.text), (8, "*image"));
}

#[test]
fn an_alias_inside_its_own_anchor() {
    assert_problems(
        "vars: &v {a: *v}\n",
        &[
            "f:3:14 [*v] this alias stands inside of what it names -> a value cannot contain \
           itself: write it out",
        ],
    );
}
