//! What a mesh does not say of itself keeps machines from being made, and nothing else.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::ground::{Ground, NAMESPACE, ROOT_CERT};
use super::program::{FILE, names, run};
use crate::support::program::Sandbox;

const STEADY: &str = "plan --detailed-exitcode";

/// Gives the gateway an address, or takes it away.
async fn gateway(ground: &Ground, ingress: Value) {
    let services = ground.api("v1", "Service", Some("istio-system"));
    let status = Patch::Merge(json!({"status": {"loadBalancer": {"ingress": ingress}}}));
    let how = PatchParams::default();
    services
        .patch_status("istio-eastwestgateway", &how, &status)
        .await
        .unwrap();
}

/// Checks that commands are refused at a place, and change nothing.
async fn assert_refused(ground: &Ground, sandbox: &Sandbox, lines: &[&str], told: &[&str]) {
    let before = sandbox.cloud().machines().unwrap();
    for line in lines {
        let refused = run(ground, sandbox, line).await.exits(1).stderr;
        for told in told {
            assert!(refused.contains(told), "{line}: {told}: {refused}");
        }
    }
    assert!(!sandbox.path("refused.json").exists());
    assert_eq!(sandbox.cloud().machines().unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_gateways_address_machines_stay_or_leave_and_none_comes() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    run(&ground, &sandbox, "plan --out early.json --var replicas=1")
        .await
        .exits(0);
    gateway(&ground, Value::Null).await;

    let why = "! fleet web: what machines would boot with now is not known, and those that are there stay";
    for (line, result) in [
        (STEADY, "No changes that could be told."),
        ("plan --refresh-only", "No drift that could be told."),
    ] {
        let planned = run(&ground, &sandbox, line).await.exits(0);
        for told in [why, result] {
            assert!(planned.stdout.contains(told), "{line}: {}", planned.stdout);
        }
        let warned = planned
            .stderr
            .contains("warning[MV203]: the machines of fleet `web`");
        assert!(warned, "{line}: {}", planned.stderr);
    }
    let planned = run(&ground, &sandbox, "plan --format json").await;
    let planned = planned.exits(0).json();
    let warnings = planned["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|found| found["code"] == "MV203"));
    run(&ground, &sandbox, "plan --target outside")
        .await
        .exits(0)
        .stderr
        .contains("MV203")
        .then(|| panic!("it is not about that fleet"));

    let more = [
        "plan --var replicas=3",
        "plan --out refused.json --var replicas=3",
        "apply -y --var replicas=3",
        // Another port is surely another bootstrap.
        "apply -y --var port=9090",
    ];
    let told = [
        "error[MV203]: the machines of fleet `web` could not join",
        "meshvm.yaml:5:",
    ];
    assert_refused(&ground, &sandbox, &more, &told).await;
    let machines = sandbox.cloud().machines().unwrap();
    let mut members = machines.iter().filter(|it| it.name.starts_with("web-"));
    let member = members.next().unwrap();
    // Whoever ran a bootstrap in place ran none of now.
    for how in ["--replace", "--bootstrapped"] {
        let asked = format!("apply -y {how} {}", member.name);
        assert_refused(&ground, &sandbox, &[&asked], &told[..1]).await;
    }

    // What somebody changed is told as that, and mended.
    let cloud = sandbox.cloud();
    let id = &member.id;
    cloud.edit(id, "tags.team", json!("red")).unwrap();
    let drift = run(&ground, &sandbox, "plan --refresh-only").await.exits(0);
    let told = format!("fleet web: {} changed outside meshvm", member.name);
    assert!(drift.stdout.contains(&told), "{}", drift.stdout);
    run(&ground, &sandbox, "apply -y").await.exits(0);
    run(&ground, &sandbox, STEADY).await.exits(0);

    // What was planned when it had one is another world's; what is planned now is done later.
    run(&ground, &sandbox, "apply early.json").await.exits(4);
    run(&ground, &sandbox, "plan --out fewer.json --var replicas=1")
        .await
        .exits(0);
    run(&ground, &sandbox, "apply fewer.json").await.exits(0);
    assert_eq!(names(&ground, "v1", "Secret").await.len(), 1);
    let file = FILE.replace(
        "    sim: {}\n    membership:",
        "    sim: {}\n    labels: {team: a}\n    membership:",
    );
    sandbox.write("meshvm.yaml", &file);
    let one = format!("{STEADY} --var replicas=1");
    let planned = run(&ground, &sandbox, &one).await.exits(2).stdout;
    assert!(planned.contains("1 to update, 0 to replace"), "{planned}");
    run(&ground, &sandbox, "apply -y --var replicas=1")
        .await
        .exits(0);
    run(&ground, &sandbox, &one).await.exits(0);
    let machines = sandbox.cloud().machines().unwrap();

    gateway(&ground, json!([{"ip": "10.1.2.3"}])).await;
    run(&ground, &sandbox, "apply -y --var replicas=1")
        .await
        .exits(0);
    run(&ground, &sandbox, &one).await.exits(0);
    let ids = |of: Vec<meshvm_provider_api::Machine>| {
        of.into_iter().map(|machine| machine.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(sandbox.cloud().machines().unwrap()), ids(machines));

    // A saved plan that made none does not fit where it would have to.
    gateway(&ground, Value::Null).await;
    run(&ground, &sandbox, "plan --out none.json --var replicas=0")
        .await
        .exits(0);
    run(&ground, &sandbox, "plan --out same.json --var replicas=1")
        .await
        .exits(0);
    run(&ground, &sandbox, "apply none.json").await.exits(0);
    let late = run(&ground, &sandbox, "apply same.json").await.exits(4);
    assert!(
        late.stderr.contains("fleet `web` changed"),
        "{}",
        late.stderr
    );
    gateway(&ground, json!([{"ip": "10.1.2.3"}])).await;
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_root_certificate_what_machines_boot_with_is_compared_all_the_same() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    let maps = ground.api("v1", "ConfigMap", Some(NAMESPACE));
    maps.delete("istio-ca-root-cert", &Default::default())
        .await
        .unwrap();
    let planned = run(&ground, &sandbox, STEADY).await.exits(0);
    let result = "No changes: clouds and mesh are what the fleet file asks for.";
    assert!(planned.stdout.contains(result), "{}", planned.stdout);
    assert!(
        planned.stderr.contains("warning[MV204]"),
        "{}",
        planned.stderr
    );
    let others = [
        "plan --var port=9090",
        "apply -y --var port=9090",
        "apply -y --var replicas=3",
    ];
    let told = [
        "error[MV204]: the machines of fleet `web` could not join",
        "meshvm.yaml:16:",
    ];
    assert_refused(&ground, &sandbox, &others, &told).await;
    run(&ground, &sandbox, "apply -y --var replicas=1")
        .await
        .exits(0);
    ground
        .create(json!({"apiVersion": "v1", "kind": "ConfigMap",
                       "metadata": {"name": "istio-ca-root-cert", "namespace": NAMESPACE},
                       "data": {"root-cert.pem": ROOT_CERT}}))
        .await;
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
}
