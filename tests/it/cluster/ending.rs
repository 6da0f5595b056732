//! Objects that are being deleted, and that somebody keeps.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::ground::{Ground, NAMESPACE};
use super::program::{FILE, run};
use crate::support::program::Sandbox;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_on_its_way_out_is_told_and_not_taken_for_written() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    let services = ground.api("v1", "Service", Some(NAMESPACE));
    let finalizers = async |names: &[&str]| {
        let kept = Patch::Merge(json!({"metadata": {"finalizers": names}}));
        let how = PatchParams::default();
        services.patch("web", &how, &kept).await.unwrap();
    };
    finalizers(&["example.com/hold"]).await;
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
    finalizers(&[]).await;
    run(&ground, &sandbox, "apply -y").await.exits(0);
    run(&ground, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(0);
}
