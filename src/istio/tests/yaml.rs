//! YAML in the form of Go's library; what is expected was written by it.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::istio::go_yaml::to_string;

fn listed(items: &[&str]) -> String {
    to_string(&json!(items))
}

#[test]
fn blocks_and_the_order_of_keys() {
    let value = json!({
        "a10": 1, "a9": 2, "a": null, "A_b": true, "AJb": [], "ISTIO_META_X": 0, "ISTIO_METAJSON": 0,
        "list": ["x", {"k": [1, {"n": "two\nlines\n"}]}, {}, [["y "], []], ["last\n", 2]],
    });
    assert_eq!(
        to_string(&value),
        "A_b: true\nAJb: []\nISTIO_META_X: 0\nISTIO_METAJSON: 0\na: null\na9: 2\na10: 1\n\
         list:\n- x\n- k:\n  - 1\n  - \"n\": |\n      two\n      lines\n- {}\n- - - 'y '\n  - []\n\
         - - |\n    last\n  - 2\n"
    );
}

#[test]
fn texts_that_would_be_something_else() {
    for quoted in [
        "",
        "~",
        "null",
        "Null",
        "y",
        "N",
        "yes",
        "ON",
        "off",
        "True",
        "12",
        "-5",
        "+1",
        "1_000",
        "0x1F",
        "-0x1f",
        "0o17",
        "017",
        "08",
        "0b11",
        "1e3",
        "1.",
        ".5",
        "-.5E+3",
        ".inf",
        "-.Inf",
        ".NaN",
        "1:30",
        "190:20:30.15",
        "2024-01-01",
        "2024-2-29",
        "2001-12-14t21:59:43.10Z",
        "2001-12-14 21:59:43",
        "2001-1-1T1:2:3+01:30",
        "18446744073709551615",
    ] {
        assert_eq!(listed(&[quoted]), format!("- \"{quoted}\"\n"));
    }
    for plain in [
        "nULL",
        "yEs",
        "0x",
        "0xg",
        "0b2",
        "1e",
        "1.2.3",
        "10.0.0.1",
        "::1",
        "1:60",
        "2023-2-29",
        "2024-13-1",
        "2024-01-01T25:00:00Z",
        "2024-01-01 1:2",
        "+.nan",
        ".",
        "-a",
        "_1",
        "1__0a",
        "=",
        "99999999999999999999x",
        "30s",
        "a:b",
        "a#b",
        "it's",
        "-",
        "?x",
        ":x",
        "a - b",
        "/healthz",
        "\\",
        "é",
        "istiod.istio-system.svc:15012",
    ] {
        let lone = plain == "-";
        let expected = if lone {
            "- '-'\n".to_owned()
        } else {
            format!("- {plain}\n")
        };
        assert_eq!(listed(&[plain]), expected);
    }
}

#[test]
fn texts_that_need_quotes_for_their_characters() {
    for (text, written) in [
        ("a: b", "'a: b'"),
        ("a #b", "'a #b'"),
        ("*", "'*'"),
        ("- x", "'- x'"),
        ("'q", "'''q'"),
        ("ends:", "'ends:'"),
        (" lead", "' lead'"),
        ("trail ", "'trail '"),
        ("--- x", "'--- x'"),
        ("{\"a\":1}", "'{\"a\":1}'"),
        ("tab\t", "\"tab\\t\""),
        ("a\"\\\u{1}", "\"a\\\"\\\\\\x01\""),
        ("\u{1f600}", "\"\\U0001F600\""),
    ] {
        assert_eq!(listed(&[text]), format!("- {written}\n"));
    }
}

#[test]
fn texts_of_several_lines() {
    for (text, written) in [
        ("a\nb", "|-\n  a\n  b"),
        ("a\nb\n", "|\n  a\n  b"),
        ("a\n\n\nb\n\n", "|+\n  a\n\n\n  b\n"),
        ("\na", "|2-\n\n  a"),
        ("  a\nb", "|2-\n    a\n  b"),
        ("a\n  b", "|-\n  a\n    b"),
        ("\n", "|2+\n"),
        ("a \nb", "\"a \\nb\""),
        ("a\nb ", "\"a\\nb \""),
        ("a\n\tb", "\"a\\n\\tb\""),
    ] {
        assert_eq!(listed(&[text]), format!("- {written}\n"));
        assert_eq!(to_string(&json!({"k": text})), format!("k: {written}\n"));
    }
}

#[test]
fn long_texts_go_on_on_another_line() {
    let long =
        "curl -fsS http://127.0.0.1:8080/healthz && test -f /run/ready && echo it goes on and on";
    let value = json!({"c": ["sh", "-c", long], "d": {"e": format!("x: {long}")}, "f": format!("\t{long}"),
                       "g": "x".repeat(100), long: 1});
    assert_eq!(
        to_string(&value),
        format!(
            "c:\n- sh\n- -c\n\
             - curl -fsS http://127.0.0.1:8080/healthz && test -f /run/ready && echo it goes on\n  \
               and on\n\
             {long}: 1\n\
             d:\n  e: 'x: curl -fsS http://127.0.0.1:8080/healthz && test -f /run/ready && echo it\n    \
               goes on and on'\n\
             f: \"\\tcurl -fsS http://127.0.0.1:8080/healthz && test -f /run/ready && echo it goes\n  \
               on and on\"\n\
             g: {}\n",
            "x".repeat(100)
        )
    );
}

/// What it writes for these is read as something else, by it or by others.
#[test]
fn where_the_library_is_not_followed() {
    for (text, written) in [
        ("<<", "\"<<\""),
        ("a\u{85}b", "\"a\\Nb\""),
        ("a\u{2028}b", "\"a\\Lb\""),
        ("\u{feff}b", "\"\\uFEFFb\""),
    ] {
        assert_eq!(listed(&[text]), format!("- {written}\n"));
    }
    let key = "k".repeat(200);
    let value = json!({"two\nlines": 1, key.clone(): 2});
    assert_eq!(to_string(&value), format!("{key}: 2\n\"two\\nlines\": 1\n"));
}

#[test]
fn numbers() {
    let value = json!([
        100.0,
        0.5,
        1e6,
        1_234_567.5,
        1e21,
        1.5e-7,
        0.0001,
        -3,
        u64::MAX
    ]);
    assert_eq!(
        to_string(&value),
        "- 100\n- 0.5\n- 1000000\n- 1.2345675e+06\n- 1e+21\n- 1.5e-07\n- 0.0001\n- -3\n\
         - 18446744073709551615\n"
    );
}

/// Texts of the characters that YAML readers stumble over, short ones and long ones.
fn hostile() -> impl Strategy<Value = String> {
    let characters = prop::sample::select(vec![
        'a',
        'Z',
        '0',
        '1',
        ' ',
        ' ',
        '\'',
        '"',
        '\\',
        '\n',
        '\t',
        '\r',
        '#',
        ':',
        '-',
        '{',
        '}',
        '[',
        ']',
        ',',
        '&',
        '*',
        '!',
        '?',
        '|',
        '>',
        '<',
        '%',
        '@',
        '`',
        '~',
        '=',
        'é',
        '漢',
        '.',
        '\0',
        '\u{85}',
        '\u{2028}',
        '\u{feff}',
        '\u{1f600}',
    ]);
    prop_oneof![
        prop::collection::vec(characters.clone(), 0..12),
        prop::collection::vec(characters, 80..200),
    ]
    .prop_map(|all| all.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_was_written_is_read(keys in prop::collection::btree_map(hostile(), hostile(), 0..6)) {
        let values: Vec<&String> = keys.values().collect();
        let value = json!({"deep": {"list": [keys, values]}, "keys": keys});
        let written = to_string(&value);
        let read: Value = serde_saphyr::from_str(&written)
            .map_err(|e| TestCaseError::fail(format!("{e}\n{written}")))?;
        prop_assert_eq!(read, value, "{}", written);
    }

    /// The library's order of keys is none that sorting could rely on.
    #[test]
    fn all_keys_are_written(keys in prop::collection::btree_set("[0-2a-]{1,4}", 0..80)) {
        let map: Map<String, Value> = keys.iter().map(|key| (key.clone(), json!(1))).collect();
        let read: Value = serde_saphyr::from_str(&to_string(&map.clone().into())).unwrap();
        prop_assert_eq!(read, Value::from(map));
    }
}
