//! What leads traffic to machines that are replaced is written last, and refused first.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::ground::{Ground, NAMESPACE};
use super::program::{FILE, run};
use crate::support::program::Sandbox;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_hold_of_a_service_is_refused_before_machines_are_made() {
    let ground = Ground::new().await;
    let impatient = "    sim: {}\n    rollout: {readyTimeout: 2s}\n    membership:";
    let file = FILE.replace("    sim: {}\n    membership:", impatient);
    let sandbox = Sandbox::with(&file);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    let machines = sandbox.cloud().machines().unwrap();
    let services = ground.api("v1", "Service", Some(NAMESPACE));
    let selector = async |name: &str| {
        let service = services.get("web").await.unwrap();
        service.data["spec"]["selector"][name].clone()
    };
    let how = PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    };
    let held = Patch::Merge(json!({"spec": {"selector": {"app": "mine"}}}));
    services.patch("web", &how, &held).await.unwrap();
    let file = file.replace("version: v1", "version: v2");
    sandbox.write("meshvm.yaml", &file);

    let lines = [
        "apply -y --var port=9090",
        "plan --out held.json --var port=9090",
        "apply held.json",
    ];
    for (line, code) in lines.into_iter().zip([1, 0, 1]) {
        let ran = run(&ground, &sandbox, line).await.exits(code).all();
        let told = "only with --force-conflicts";
        assert!(code == 1 || ran.contains(told), "{line}: {ran}");
        let told = "Service vm/web has fields that others set";
        assert!(code == 0 || ran.contains(told), "{line}: {ran}");
        let those = sandbox.cloud().machines().unwrap();
        assert_eq!(those, machines, "{line}: no machine was made");
    }

    // Taken, it still waits for the first new machines, which do not become ready here.
    run(&ground, &sandbox, "apply held.json --force-conflicts")
        .await
        .exits(1);
    assert_ne!(sandbox.cloud().machines().unwrap(), machines);
    assert_eq!(selector("version").await, "v1");
    assert_eq!(selector("app").await, "mine");
    let sidecars = ground.sidecars();
    let forced = "apply -y --force-conflicts --var port=9090";
    run(&ground, &sandbox, forced).await.exits(0);
    assert_eq!(selector("version").await, "v2");
    assert_eq!(selector("app").await, "web");
    drop(sidecars);
}
