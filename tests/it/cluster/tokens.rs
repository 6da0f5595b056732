//! Tokens are of use for as long as their machines are, and no longer.

use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use meshvm_provider_api::Power;
use meshvm_provider_sim::Death;
use serde_json::json;

use super::ground::{Ground, NAMESPACE};
use super::program::{FILE, names, run};
use crate::support::program::Sandbox;

const IDENTITY: &str = "identity: {serviceAccountToken: {allowTokenInUserData: true}}\n";

/// The file, with machines that go at once.
fn file() -> String {
    let before = "    sim: {}\n    membership:\n";
    FILE.replace(
        before,
        "    sim: {}\n    rollout: {drain: 0s}\n    membership:\n",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_revoked_also_when_the_file_gives_none_any_more() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(&file());
    let sidecars = ground.sidecars();
    let apply = async || run(&ground, &sandbox, "apply -y").await.exits(0);
    let none = file().replace(IDENTITY, "identity: none\n");
    let (before, rest) = file().split_once("sidecar:\n").map(own).unwrap();
    let (_, after) = rest.split_once(IDENTITY).map(own).unwrap();
    for without in [none.clone(), format!("{before}{after}")] {
        sandbox.write("meshvm.yaml", &file());
        apply().await;
        assert_eq!(names(&ground, "v1", "Secret").await.len(), 2);
        sandbox.write("meshvm.yaml", &without);
        apply().await;
        assert_eq!(names(&ground, "v1", "Secret").await, [""; 0]);
    }

    // Whoever makes no tokens needs no right to Secrets.
    sandbox.write("meshvm.yaml", &none);
    let roles = ground.api("rbac.authorization.k8s.io/v1", "Role", Some(NAMESPACE));
    let mut role = roles.get("meshvm-apply").await.unwrap();
    let rules = role.data["rules"].as_array_mut().unwrap();
    rules.retain(|rule| rule["resources"] != json!(["secrets"]));
    let fewer = Patch::Merge(json!({"rules": rules}));
    let how = PatchParams::default();
    roles.patch("meshvm-apply", &how, &fewer).await.unwrap();
    run(&ground, &sandbox, "apply -y --var replicas=1")
        .await
        .exits(0);
    drop(sidecars);
}

fn own((before, after): (&str, &str)) -> (String, String) {
    (before.to_owned(), after.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_machines_that_are_gone_are_revoked_where_no_entry_names_them() {
    let ground = Ground::new().await;
    let by_itself = "      serviceAccount: web\n      autoRegister: true\n";
    let file = file()
        .replace("{drain: 0s}", "{drain: 0s, readyTimeout: 2s}")
        .replace("      serviceAccount: web\n", by_itself);
    let sandbox = Sandbox::with(&file);
    let secrets = async || names(&ground, "v1", "Secret").await;
    let vanish = || {
        let cloud = sandbox.cloud();
        let machines = cloud.machines().unwrap();
        let machine = machines.iter().find(|machine| {
            let is_web = machine.labels["meshvm-fleet"] == "web";
            is_web && machine.power != Power::Gone
        });
        let id = machine.unwrap().id.clone();
        cloud.kill(&id, Death::Gone).unwrap();
        format!("meshvm-{}", machine.unwrap().name)
    };
    let apply = async |line: &str| {
        // Who is new is waited for, and registers then.
        run(&ground, &sandbox, line).await;
        register(&ground, &sandbox).await;
        run(&ground, &sandbox, line).await.exits(0);
        let line = line.replace("apply -y", "plan --detailed-exitcode");
        run(&ground, &sandbox, &line).await.exits(0);
    };
    apply("apply -y").await;
    assert_eq!(secrets().await.len(), 2);

    let gone = vanish();
    let planned = run(&ground, &sandbox, "plan").await.exits(0).stdout;
    let told = format!("- token bound to Secret {gone} (no such machine)");
    assert!(planned.contains(&told), "{planned}");
    apply("apply -y").await;
    assert_eq!(secrets().await.len(), 2);
    assert!(!secrets().await.contains(&gone), "its token is not revoked");

    // Also where there is nothing else to do.
    vanish();
    apply("apply -y --var replicas=1").await;
    assert_eq!(secrets().await.len(), 1);
    run(&ground, &sandbox, "destroy -y").await.exits(0);
    assert_eq!(secrets().await, [""; 0]);
    register(&ground, &sandbox).await;
    run(&ground, &sandbox, "plan --destroy --detailed-exitcode")
        .await
        .exits(0);
}

/// Makes the entries of machines that register by themselves, and deletes those of machines that are
/// gone, as the control plane does.
async fn register(ground: &Ground, sandbox: &Sandbox) {
    let api = ground.istio("WorkloadEntry");
    let machines = sandbox.cloud().machines().unwrap().into_iter();
    let machines: Vec<_> = machines.filter(|m| m.power != Power::Gone).collect();
    for entry in api.list(&ListParams::default()).await.unwrap().items {
        let is_there = |address: &str| {
            let mut addresses = machines.iter().filter_map(|machine| machine.address);
            addresses.any(|it| it.to_string() == address)
        };
        if !is_there(entry.data["spec"]["address"].as_str().unwrap()) {
            let name = entry.metadata.name.unwrap();
            api.delete(&name, &DeleteParams::default()).await.unwrap();
        }
    }
    for machine in machines {
        let address = machine.address.unwrap().to_string();
        let name = format!("web-{address}");
        let of_web = machine.labels["meshvm-fleet"] == "web";
        if of_web && api.get_opt(&name).await.unwrap().is_none() {
            ground
                .create(json!({
                    "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
                    "metadata": {
                        "name": name, "namespace": NAMESPACE,
                        "annotations": {"istio.io/autoRegistrationGroup": "web"},
                    },
                    "spec": {
                        "address": address, "labels": {"app": "web", "version": "v1"},
                        "serviceAccount": "web", "network": "vms", "ports": {"http": 8080},
                    },
                }))
                .await;
        }
    }
}
