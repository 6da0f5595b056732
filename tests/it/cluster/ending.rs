//! Objects that are being deleted, and that somebody keeps.

use std::time::Duration;

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::json;

use super::ground::{Ground, NAMESPACE};
use super::program::{FILE, run};
use crate::support::program::Sandbox;

/// Has finalizers keep an object, or lets it go.
async fn keep(api: &Api<DynamicObject>, name: &str, finalizers: &[&str]) {
    let kept = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let how = PatchParams::default();
    api.patch(name, &how, &kept).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_on_its_way_out_is_told_and_not_taken_for_written() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    let services = ground.api("v1", "Service", Some(NAMESPACE));
    keep(&services, "web", &["example.com/hold"]).await;
    let how = DeleteParams::default();
    services.delete("web", &how).await.unwrap();

    let kept = "is being deleted and kept by the finalizer example.com/hold";
    let planned = run(&ground, &sandbox, "plan --detailed-exitcode").await;
    let planned = planned.exits(2).stdout;
    for told in [
        format!("! Service vm/web {kept}"),
        format!("+ Service vm/web ({kept})"),
    ] {
        assert!(planned.contains(&told), "{told}: {planned}");
    }
    for _ in 0..2 {
        let applied = run(&ground, &sandbox, "apply -y").await.exits(1).all();
        let told = format!("Service vm/web {kept}, and cannot be written before it is gone");
        assert!(applied.contains(&told), "{applied}");
        assert!(applied.contains("mesh: 0 written"), "{applied}");
    }
    keep(&services, "web", &[]).await;
    run(&ground, &sandbox, "apply -y").await.exits(0);
    run(&ground, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_counts_as_deleted_when_it_is_gone() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    let services = ground.api("v1", "Service", Some(NAMESPACE));
    keep(&services, "web", &["example.com/hold", "example.com/too"]).await;

    let kept = "is being deleted and kept by the finalizers example.com/hold, example.com/too";
    let destroyed = run(&ground, &sandbox, "destroy -y").await.exits(1).all();
    assert!(
        destroyed.contains(&format!("Service vm/web {kept}\n")),
        "{destroyed}"
    );
    let planned = run(&ground, &sandbox, "plan --destroy --detailed-exitcode").await;
    let planned = planned.exits(2).stdout;
    let told = format!("- Service vm/web ({kept})");
    assert!(planned.contains(&told), "{planned}");
    assert!(!planned.contains("! Service"), "{planned}");
    // All else went.
    assert!(!planned.contains("WorkloadGroup"), "{planned}");

    let let_go = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        keep(&services, "web", &[]).await;
    };
    let (destroyed, ()) = tokio::join!(run(&ground, &sandbox, "destroy -y"), let_go);
    let destroyed = destroyed.exits(0).all();
    assert!(
        destroyed.contains("mesh: 0 written, 1 deleted"),
        "{destroyed}"
    );
    run(&ground, &sandbox, "plan --destroy --detailed-exitcode")
        .await
        .exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_whose_entry_is_kept_on_its_way_out_goes_before_others() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    let members = || {
        let machines = sandbox.cloud().machines().unwrap().into_iter();
        let mut names: Vec<String> = machines.map(|machine| machine.name).collect();
        names.retain(|name| name.starts_with("web-"));
        names.sort();
        names
    };
    let before = members();
    // The newest names go first where nothing else tells machines apart.
    let (going, staying) = (before[0].as_str(), before[1].as_str());
    let entries = ground.istio("WorkloadEntry");
    keep(&entries, going, &["example.com/hold"]).await;
    let replace = format!("apply -y --replace {going}");
    let kept = run(&ground, &sandbox, &replace).await.exits(1).all();
    let told = "is being deleted and kept by the finalizer example.com/hold";
    assert!(kept.contains(told), "{kept}");
    assert_eq!(members().len(), 3, "its successor is there");

    let planned = run(&ground, &sandbox, "plan").await.exits(0).stdout;
    for told in [
        format!("- delete {going} ("),
        format!("- WorkloadEntry of {going} ({told})"),
        "0 to create, 0 to update, 0 to replace, 1 to delete".to_owned(),
    ] {
        assert!(planned.contains(&told), "{told}: {planned}");
    }
    let let_go = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        keep(&entries, going, &[]).await;
    };
    let (applied, ()) = tokio::join!(run(&ground, &sandbox, "apply -y"), let_go);
    applied.exits(0);
    let after = members();
    assert_eq!(after.len(), 2);
    assert!(after.iter().any(|name| name == staying), "{after:?}");
    assert!(after.iter().all(|name| name != going), "{after:?}");
    drop(sidecars);
}
