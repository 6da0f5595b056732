//! An apply is done when what it made takes traffic, however often it takes to get there.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use meshvm_lab::kube::{Effect, Fault};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::ground::Ground;
use super::program::{FILE, names, run};
use crate::support::program::{Sandbox, finish};

/// The file, with machines that have so long to become ready.
fn within(time: &str) -> String {
    FILE.replace(
        "    sim: {}\n    membership:",
        &format!("    sim: {{}}\n    rollout: {{readyTimeout: {time}}}\n    membership:"),
    )
}

async fn assert_not_done(ground: &Ground, sandbox: &Sandbox, why: &str) {
    let planned = run(ground, sandbox, "plan --detailed-exitcode").await;
    let planned = planned.exits(2).stdout;
    assert!(planned.contains("fleet web: waits for web-"), "{planned}");
    let failed = run(ground, sandbox, "apply -y").await.exits(1).all();
    assert!(failed.contains(why), "{failed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_waited_for_in_vain_is_waited_for_again() {
    let ground = Ground::new().await;
    let by_itself = "      serviceAccount: web\n      autoRegister: true\n";
    let by_themselves = within("2s").replace("      serviceAccount: web\n", by_itself);
    let sandbox = Sandbox::with(&by_themselves);
    run(&ground, &sandbox, "apply -y").await.exits(1);
    for _ in 0..2 {
        assert_not_done(&ground, &sandbox, "has no entry in the mesh").await;
    }
    run(&ground, &sandbox, "destroy -y").await.exits(0);

    let sandbox = Sandbox::with(&within("2s"));
    run(&ground, &sandbox, "apply -y").await.exits(1);
    for _ in 0..2 {
        assert_not_done(&ground, &sandbox, "its sidecar reports nothing").await;
    }
    let sidecars = ground.sidecars();
    ground.reported().await;
    drop(sidecars);
    for line in ["plan --detailed-exitcode", "apply -y"] {
        run(&ground, &sandbox, line).await.exits(0);
    }

    // They were ready once: an apply mends nothing of what came since, and is held up by nothing.
    let entries = names(&ground, "networking.istio.io/v1", "WorkloadEntry").await;
    let entry = entries.iter().find(|name| name.starts_with("web")).unwrap();
    let sick = json!({"status": {"conditions": [{"type": "Healthy", "status": "False"}]}});
    let (how, sick) = (PatchParams::default(), Patch::Merge(sick));
    let api = ground.istio("WorkloadEntry");
    api.patch_status(entry, &how, &sick).await.unwrap();
    run(&ground, &sandbox, "apply -y").await.exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_that_could_not_be_entered_are_waited_for_once_they_are() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(&within("2s"));
    ground.cluster.faults().add(Fault {
        verb: Some("patch".to_owned()),
        resource: Some("workloadentries".to_owned()),
        times: 100,
        effect: Effect::Status { code: 422 },
    });
    run(&ground, &sandbox, "apply -y").await.exits(1);
    ground.cluster.faults().clear();
    for _ in 0..2 {
        assert_not_done(&ground, &sandbox, "its sidecar reports nothing").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_ended_while_it_waited_is_not_done() {
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let ground = Ground::new().await;
        let sandbox = Sandbox::with(&within("1h"));
        let mut command = sandbox.command(&["apply", "-y"]);
        command.env("KUBECONFIG", ground.kubeconfig());
        let child = command.spawn().unwrap();
        let entries = || names(&ground, "networking.istio.io/v1", "WorkloadEntry");
        while entries().await.len() < 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        let ended = tokio::task::spawn_blocking(move || finish(child));
        assert_ne!(ended.await.unwrap().code, Some(0));
        sandbox.write("meshvm.yaml", &within("2s"));
        for _ in 0..2 {
            assert_not_done(&ground, &sandbox, "its sidecar reports nothing").await;
        }
        let sidecars = ground.sidecars();
        run(&ground, &sandbox, "apply -y").await.exits(0);
        drop(sidecars);
    }
}
