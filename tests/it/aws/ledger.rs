//! A ledger in a bucket of S3.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use meshvm_ec2::Manners;
use serde_json::json;

use super::ground::{Ground, member};
use crate::support::cloud::Cloud;
use crate::support::program::finish;

/// Makes a stack whose ledger is in a bucket; names of buckets are everybody's.
fn ground(bucket: &str, replicas: u32) -> Ground {
    let ground = Ground::new(Manners::default());
    ground.make_bucket(bucket);
    let fleets = BTreeMap::from([("web", member("web", replicas, &json!({})))]);
    ground.write_file(&fleets, &format!("s3://{bucket}/shop"));
    ground
}

#[test]
fn a_stack_lives_by_a_ledger_in_a_bucket() {
    let ground = ground("acme-life", 2);
    ground.meshvm("apply -y").exits(0);
    assert_eq!(ground.instances().len(), 2);
    ground.meshvm("plan --detailed-exitcode").exits(0);
    // From another folder: the bucket and the cloud are all there is.
    let left: Vec<String> = ground.sandbox.files().into_keys().collect();
    assert!(
        left.iter().all(|name| !name.starts_with(".meshvm")),
        "{left:?}"
    );
    ground.meshvm("destroy -y").exits(0);
    assert_eq!(ground.instances(), []);
}

#[test]
fn of_many_at_once_one_works_and_the_others_are_told() {
    let ground = ground("acme-many", 3);
    let runs: Vec<_> = (0..6)
        .map(|_| ground.command(&["apply", "-y"]).spawn().unwrap())
        .collect();
    let codes: Vec<Option<i32>> = runs.into_iter().map(|run| finish(run).code).collect();
    assert!(codes.contains(&Some(0)), "{codes:?}");
    assert!(
        codes.iter().all(|code| matches!(code, Some(0 | 5))),
        "{codes:?}"
    );
    assert_eq!(ground.instances().len(), 3, "{codes:?}");
}

#[test]
fn a_killed_run_is_resumed_from_the_bucket() {
    let ground = ground("acme-killed", 4);
    ground.proxy.behave(|now| now.lag = 4);
    for wait in [300, 600, 900, 1200] {
        let mut run = ground
            .command(&["apply", "-y"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        run.kill().unwrap();
        run.wait().unwrap();
        ground.meshvm("unlock -y");
    }
    ground.meshvm("apply -y").exits(0);
    assert_eq!(ground.instances().len(), 4);
    ground.meshvm("plan --detailed-exitcode").exits(0);
}
