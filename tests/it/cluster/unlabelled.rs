//! Objects of a stack that lost the label by which they are its own.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::ground::{Ground, NAMESPACE};
use super::program::{FILE, names, run};
use crate::support::program::Sandbox;

async fn applied() -> (Ground, Sandbox) {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    (ground, sandbox)
}

/// Sets the stack's label of an object, or takes it away, as `kubectl label` does.
async fn label(ground: &Ground, version: &str, kind: &str, name: &str, stack: Value) {
    let how = PatchParams {
        field_manager: Some("kubectl-label".to_owned()),
        ..PatchParams::default()
    };
    let change = json!({"metadata": {"labels": {"meshvm-stack": stack}}});
    let api = ground.api(version, kind, Some(NAMESPACE));
    api.patch(name, &how, &Patch::Merge(change)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lost_its_label_is_not_told_as_gone_and_is_taken_back() {
    let (ground, sandbox) = applied().await;
    let istio = "networking.istio.io/v1";
    let entries = names(&ground, istio, "WorkloadEntry").await;
    let entry = entries.iter().find(|name| name.starts_with("web")).unwrap();
    label(&ground, "v1", "Service", "web", Value::Null).await;
    label(&ground, istio, "WorkloadEntry", entry, Value::Null).await;
    let planned = run(&ground, &sandbox, "plan --detailed-exitcode").await;
    let planned = planned.exits(2).stdout;
    let why = "is there without the label meshvm-stack; an apply takes it back";
    for told in [
        format!("! Service vm/web {why}"),
        format!("~ Service vm/web ({why})"),
        format!("~ WorkloadEntry vm/{entry} ({why})"),
        "+ metadata.labels.meshvm-stack: \"shop\"".to_owned(),
        "mesh: 2 to write, 0 to delete".to_owned(),
    ] {
        assert!(planned.contains(&told), "{told}: {planned}");
    }
    assert!(!planned.contains("gone"), "{planned}");
    run(&ground, &sandbox, "apply -y").await.exits(0);
    run(&ground, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(0);
    assert_eq!(names(&ground, istio, "WorkloadEntry").await, entries);

    // What is not there is gone, as ever.
    let services = ground.api("v1", "Service", Some(NAMESPACE));
    let how = DeleteParams::default();
    services.delete("web", &how).await.unwrap();
    let planned = run(&ground, &sandbox, "plan").await.exits(0).stdout;
    assert!(planned.contains("+ Service vm/web (gone)"), "{planned}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_made_anew_is_handed_over_as_the_plan_says() {
    let (ground, sandbox) = applied().await;
    let services = ground.api("v1", "Service", Some(NAMESPACE));
    let how = DeleteParams::default();
    services.delete("web", &how).await.unwrap();
    ground
        .create(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        }))
        .await;
    for line in ["plan", "apply -y"] {
        let refused = run(&ground, &sandbox, line).await.exits(1).all();
        for told in [
            "does not belong to",
            "kubectl label service web -n vm meshvm-stack=shop",
        ] {
            assert!(refused.contains(told), "{line}: {refused}");
        }
        assert!(!refused.contains("gone"), "{line}: {refused}");
    }
    label(&ground, "v1", "Service", "web", json!("shop")).await;
    run(&ground, &sandbox, "apply -y --force-conflicts")
        .await
        .exits(0);
    run(&ground, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(0);
}
