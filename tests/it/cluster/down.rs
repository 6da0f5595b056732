//! What is left of a status when the mesh cannot be read, and what is not done then.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::ground::{Ground, NAMESPACE};
use super::program::{FILE, names, run};
use crate::support::program::Sandbox;

/// What the warning begins with.
const UNREAD: &str = "the mesh was not read: ";

/// Checks a status that has machines, and knows nothing of their mesh.
async fn assert_machines_alone(ground: &Ground, sandbox: &Sandbox, why: &str) {
    let status = run(ground, sandbox, "status").await.exits(1);
    assert_eq!(
        status.stderr.matches(UNREAD).count(),
        1,
        "{}",
        status.stderr
    );
    assert!(status.stderr.contains(why), "{}", status.stderr);
    let machine = status.stdout.lines().find(|line| line.contains("web-"));
    let machine = machine.unwrap_or_else(|| panic!("{}", status.stdout));
    assert!(machine.contains("ready"), "{machine}");
    assert_eq!(machine.matches("unknown").count(), 2, "{machine}");

    let status = run(ground, sandbox, "status --format json").await;
    let status = status.exits(1).json();
    let found = status["status"]["meshUnread"].as_str().unwrap();
    assert!(found.contains(why), "{found}");
    for unknown in ["objects", "pending"] {
        assert_eq!(status["status"][unknown], Value::Null, "{unknown}");
    }
    let machine = &status["status"]["fleets"]["web"]["machines"][0];
    assert_eq!(machine["current"], Value::Null);
    assert_eq!(machine["mesh"], json!({"state": "unknown"}));
    let warnings = status["warnings"].as_array().unwrap().iter();
    let mut unread = warnings.filter(|w| w["summary"].as_str().unwrap().starts_with(UNREAD));
    assert_eq!(unread.next().unwrap()["code"], "MV104");
    assert!(unread.next().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_api_server_the_machines_are_shown_and_nothing_is_planned() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    let known = run(&ground, &sandbox, "status --format json").await;
    let known = known.exits(0).json();
    assert_eq!(known["status"]["meshUnread"], Value::Null);
    assert_eq!(known["status"]["pending"], false);
    // A context whose server is nobody's port.
    let text = std::fs::read_to_string(ground.kubeconfig()).unwrap();
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
    kubeconfig["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:1");
    sandbox.write("kubeconfig", &kubeconfig.to_string());
    let file = FILE.replace("context: lab", "context: lab, kubeconfig: kubeconfig");
    sandbox.write("meshvm.yaml", &file);
    let machines = sandbox.cloud().machines().unwrap();

    assert_machines_alone(&ground, &sandbox, "the API server does not answer").await;
    for line in ["plan", "apply -y"] {
        let refused = run(&ground, &sandbox, line).await.exits(1);
        assert!(
            refused.stderr.contains("the API server does not answer"),
            "{line}: {}",
            refused.stderr
        );
    }
    assert_eq!(sandbox.cloud().machines().unwrap(), machines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_list_the_objects_sees_the_machines() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    // What the mesh is may still be read, and what is in it not.
    let api = ground.api("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", None);
    for binding in api.list(&Default::default()).await.unwrap().items {
        let name = binding.metadata.name.unwrap_or_default();
        if name.starts_with("meshvm-plan") {
            api.delete(&name, &Default::default()).await.unwrap();
        }
    }
    assert_machines_alone(&ground, &sandbox, "is forbidden").await;
    let api = ground.api(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        Some(NAMESPACE),
    );
    assert!(
        !api.list(&Default::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_destroy_needs_no_mesh_for_its_plan_needs_none_for() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    let maps = ground.api("v1", "ConfigMap", Some("istio-system"));
    maps.delete("istio", &Default::default()).await.unwrap();
    run(&ground, &sandbox, "plan").await.exits(1);
    let planned = run(&ground, &sandbox, "plan --destroy --out saved.json").await;
    let planned = planned.exits(0).stdout;
    assert!(planned.contains("3 to delete; mesh: "), "{planned}");
    run(&ground, &sandbox, "apply saved.json").await.exits(0);
    assert_eq!(names(&ground, "v1", "Service").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_keep_new_machines_out_hides_none_of_those_there_are() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    let nowhere = json!({"status": {"loadBalancer": null}});
    ground
        .api("v1", "Service", Some("istio-system"))
        .patch_status(
            "istio-eastwestgateway",
            &PatchParams::default(),
            &Patch::Merge(&nowhere),
        )
        .await
        .unwrap();
    let status = run(&ground, &sandbox, "status").await.exits(1);
    assert!(
        status.stderr.contains("warning[MV203]"),
        "{}",
        status.stderr
    );
    assert!(status.stdout.contains("web-"), "{}", status.stdout);
    run(&ground, &sandbox, "destroy -y").await.exits(0);
}
