//! Ports that somebody else gave another number or name.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::ground::{Ground, NAMESPACE};
use super::program::{FILE, run};
use crate::support::program::Sandbox;

/// Sets the ports of an object, as `kubectl edit` does.
async fn edit(ground: &Ground, (version, kind, name): (&str, &str, &str), ports: Value) {
    let how = PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    };
    let ports = Patch::Merge(json!({"spec": {"ports": ports}}));
    let api = ground.api(version, kind, Some(NAMESPACE));
    api.patch(name, &how, &ports).await.unwrap();
}

async fn ports(ground: &Ground, (version, kind, name): (&str, &str, &str)) -> Value {
    let api = ground.api(version, kind, Some(NAMESPACE));
    api.get(name).await.unwrap().data["spec"]["ports"].clone()
}

/// Checks that both values are told, that nothing is taken unasked, and that all is mended when asked.
async fn assert_told_and_mended(ground: &Ground, sandbox: &Sandbox, held: &str) {
    let planned = run(ground, sandbox, "plan").await.exits(0).stdout;
    let told = format!("! {held}: only with --force-conflicts");
    assert!(planned.contains(&told), "{told}: {planned}");
    let refused = run(ground, sandbox, "apply -y").await.exits(1).all();
    let told = format!("has fields that others set: {held}");
    assert!(refused.contains(&told), "{told}: {refused}");
    run(ground, sandbox, "apply -y --force-conflicts")
        .await
        .exits(0);
    run(ground, sandbox, "plan --detailed-exitcode")
        .await
        .exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_somebody_changed_is_told_with_both_values_and_taken_back() {
    let ground = Ground::new().await;
    let file = FILE.replace(
        "[{name: http, port: 80}]",
        "[{name: http, port: 80}, {name: admin, port: 90, targetPort: http}]",
    );
    let sandbox = Sandbox::with(&file);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);

    let service = ("v1", "Service", "web");
    let mut own = ports(&ground, service).await;
    own[0]["port"] = json!(81);
    edit(&ground, service, own.clone()).await;
    let held = r#".spec.ports[name="http"].port is 81 by "kubectl-edit" using v1, and shall be 80"#;
    assert_told_and_mended(&ground, &sandbox, held).await;
    own[0]["port"] = json!(80);
    assert_eq!(ports(&ground, service).await, own);
    // Also where it has no other port. Nobody keeps a part in a port that was taken back.
    let file = file.replace(", {name: admin, port: 90, targetPort: http}", "");
    sandbox.write("meshvm.yaml", &file);
    run(&ground, &sandbox, "apply -y").await.exits(0);
    own[0]["port"] = json!(81);
    edit(&ground, service, json!([own[0]])).await;
    assert_told_and_mended(&ground, &sandbox, held).await;
    let renumbered = file.replace("port: 80}", "port: 82}");
    sandbox.write("meshvm.yaml", &renumbered);
    run(&ground, &sandbox, "apply -y").await.exits(0);
    own[0]["port"] = json!(82);
    assert_eq!(ports(&ground, service).await, json!([own[0]]));
    sandbox.write("meshvm.yaml", &file);
    run(&ground, &sandbox, "apply -y").await.exits(0);

    let entry = ("networking.istio.io/v1", "ServiceEntry", "outside");
    let own = ports(&ground, entry).await;
    let mut other = own.clone();
    other[0]["name"] = json!("tls");
    edit(&ground, entry, other).await;
    let held = r#".spec.ports[number=443].name is "tls" by "kubectl-edit" using networking.istio.io/v1, and shall be "https""#;
    assert_told_and_mended(&ground, &sandbox, held).await;
    assert_eq!(ports(&ground, entry).await, own);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_of_another_port_is_handed_over() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    let services = ground.api("v1", "Service", Some(NAMESPACE));
    let how = DeleteParams::default();
    services.delete("web", &how).await.unwrap();
    ground
        .create(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": NAMESPACE, "labels": {"meshvm-stack": "shop"}},
            "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 8000}]},
        }))
        .await;
    let refused = run(&ground, &sandbox, "apply -y").await.exits(1).all();
    let told = r#".spec.ports[name="http"].port is 8000 by "#;
    assert!(refused.contains(told), "{refused}");
    run(&ground, &sandbox, "apply -y --force-conflicts")
        .await
        .exits(0);
    run(&ground, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(0);
}
