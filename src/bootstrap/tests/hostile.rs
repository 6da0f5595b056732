//! Quoting, against the programs that read what was quoted.

use std::process::Command;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::quote;
use super::super::template::{Author, Checked};
use super::hostile_values;

/// Lets a shell print words that were quoted for it.
fn printed_by(shell: &str, values: &[String]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script");
    let words = quote::sh(&json!(values)).unwrap();
    std::fs::write(&path, format!("printf '%s\\0' {words}")).unwrap();
    let output = Command::new(shell).arg(&path).output().unwrap();
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

fn read_as_yaml(values: &[String]) -> Vec<String> {
    let lines = values
        .iter()
        .map(|value| format!("- {}\n", quote::yaml(&json!(value)).unwrap()));
    serde_saphyr::from_str(&lines.collect::<String>()).unwrap()
}

#[test]
fn hostile_values_come_back() {
    let values = hostile_values();
    assert_eq!(printed_by("sh", &values), values);
    assert_eq!(printed_by("bash", &values), values);
    assert_eq!(read_as_yaml(&values), values);
    for value in values {
        let text = quote::json(&json!(value)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!(value));
    }
}

/// Anything but NUL, with the characters that mean something more often than by chance.
fn any_text() -> impl Strategy<Value = String> {
    let special = prop::sample::select(
        "'\"\\$`{}()#-\n\r\t !&|;<>*?[]~%=:,\u{85}\u{2028}\u{feff}😀"
            .chars()
            .collect::<Vec<_>>(),
    );
    let anything = any::<char>().prop_filter("no shell can hold it", |c| *c != '\0');
    vec(prop_oneof![special, anything], 0..60).prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_comes_back(values in vec(any_text(), 1..60)) {
        prop_assert_eq!(&printed_by("sh", &values), &values);
        prop_assert_eq!(&printed_by("bash", &values), &values);
        prop_assert_eq!(&read_as_yaml(&values), &values);
    }

    #[test]
    fn any_template_is_answered_without_a_panic(source in any_text(), inner in any_text()) {
        let context = json!({"a": "x"});
        for text in [source.clone(), format!("{{{{{inner}}}}}"), format!("{source}{{{{#if a}}}}{inner}{{{{/if}}}}")] {
            // Either is fine; what matters is that it comes back.
            let _: Result<_, _> = Checked::new(&text, Author::User).and_then(|checked| checked.fill(&context));
        }
    }
}
