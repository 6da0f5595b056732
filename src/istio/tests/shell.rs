//! What a shell and a YAML reader get out of the files, whatever is in them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{facts, workload};
use crate::istio::{Improvements, files, go_yaml};

/// Texts of the characters that shells and YAML readers stumble over.
fn hostile() -> impl Strategy<Value = String> {
    let characters = prop::sample::select(vec![
        'a', 'Z', '0', ' ', '\'', '"', '\\', '$', '`', '!', '\n', '\t', '#', ':', '-', '{', '}',
        '[', ']', ',', '&', '*', '?', '|', '>', '%', '@', '~', '=', ';', '(', ')', 'é', '漢', '.',
    ]);
    prop::collection::vec(characters, 0..12).prop_map(|all| all.into_iter().collect())
}

/// Returns the variables that a shell has after reading a text as the start script does.
fn sourced(text: &str) -> BTreeMap<String, String> {
    let mut shell = Command::new("bash")
        .args(["--norc", "-c", "set -a; source /dev/stdin; exec env -0"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = shell.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = shell.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}");
    String::from_utf8(output.stdout)
        .unwrap()
        .split_terminator('\0')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_shell_reads_what_was_meant(values in prop::collection::vec(hostile(), 1..5)) {
        let mut facts = facts();
        let metadata: Map<String, Value> = values
            .iter()
            .enumerate()
            .map(|(index, value)| (format!("HOSTILE_{index}"), Value::from(value.as_str())))
            .collect();
        facts.default_config.insert("proxyMetadata".to_owned(), metadata.into());
        facts.cluster_id.clone_from(&values[0]);
        let none = BTreeMap::new();
        let made = files(&facts, &workload(&none, &none), &Improvements::default(), true).unwrap();
        let env = sourced(&made.cluster_env);
        for (index, value) in values.iter().enumerate() {
            prop_assert_eq!(&env[&format!("HOSTILE_{index}")], value);
        }
        prop_assert_eq!(&env["ISTIO_META_CLUSTER_ID"], &values[0]);
        let read: Value = serde_saphyr::from_str(&made.mesh_yaml).unwrap();
        let metadata = &read["defaultConfig"]["proxyMetadata"];
        prop_assert_eq!(&metadata["HOSTILE_0"], &Value::from(values[0].as_str()));
    }

    #[test]
    fn yaml_reads_back(keys in prop::collection::btree_map(hostile().prop_filter("a key", |k| !k.contains('\n')), hostile(), 0..6)) {
        let value = serde_json::json!({"deep": {"list": [keys, keys.values().collect::<Vec<_>>()]}});
        let written = go_yaml::to_string(&value);
        let read: Value = serde_saphyr::from_str(&written).map_err(|e| TestCaseError::fail(format!("{e}\n{written}")))?;
        prop_assert_eq!(read, value, "{}", written);
    }
}
