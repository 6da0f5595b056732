//! What a shell and a YAML reader get out of the files, whatever is in them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{facts, map, workload};
use crate::istio::{Improvements, files, proxy_config};

/// Texts of the characters that shells stumble over.
fn hostile() -> impl Strategy<Value = String> {
    let characters = prop::sample::select(vec![
        'a', 'Z', 'w', '0', ' ', '\'', '"', '\\', '$', '`', '!', '\n', '\t', '#', ':', '-', '{',
        '}', '[', ']', ',', '&', '*', '?', '|', '>', '%', '@', '~', '=', ';', '(', ')', 'é', '漢',
        '.', '\r',
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
        // What the shell has by itself.
        .filter(|(key, _)| !matches!(key.as_str(), "PATH" | "PWD" | "OLDPWD" | "SHLVL" | "_"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn readers_get_what_was_meant(
        values in prop::collection::vec(hostile(), 1..5),
        labels in prop::collection::btree_map(hostile(), hostile(), 0..3),
        name in hostile(),
    ) {
        let mut facts = facts();
        let metadata: Map<String, Value> = values
            .iter()
            .enumerate()
            .map(|(index, value)| (format!("HOSTILE_{index}"), json!(value)))
            .collect();
        facts.default_config.insert("proxyMetadata".to_owned(), metadata.into());
        facts.cluster_id = format!("c{}", values[0]);
        let none = BTreeMap::new();
        let mut workload = workload(&labels, &none);
        workload.name = &name;
        workload.probe = Some(json!({"exec": {"command": values}}));
        let made = files(&facts, &workload, &Improvements::default(), true).unwrap();

        let config = proxy_config::proxy_config(&facts, &workload).unwrap();
        let read: Value = serde_saphyr::from_str(&made.mesh_yaml).unwrap();
        prop_assert_eq!(&read, &json!({"defaultConfig": config}));

        let mut expected: BTreeMap<String, String> =
            serde_json::from_value(config["proxyMetadata"].clone()).unwrap();
        expected.extend(map(&[
            ("CA_ADDR", "istiod-rev-1.istio-system.svc:15012"),
            ("ISTIO_INBOUND_PORTS", "*"),
            ("ISTIO_LOCAL_EXCLUDE_PORTS", "22,15090,15021,15020"),
            ("ISTIO_NAMESPACE", "bar"),
            ("ISTIO_SERVICE", &format!("{name}.bar")),
            ("ISTIO_SERVICE_CIDR", "*"),
        ]));
        prop_assert_eq!(sourced(&made.cluster_env), expected);
        let told: BTreeMap<String, String> =
            serde_json::from_str(config["proxyMetadata"]["ISTIO_METAJSON_LABELS"].as_str().unwrap())
                .unwrap();
        for (key, value) in &labels {
            prop_assert_eq!(told.get(key), Some(value));
        }
    }
}
