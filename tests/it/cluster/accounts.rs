//! A service account that is there already: used, and neither written nor deleted.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::ground::{Ground, NAMESPACE};
use super::program::{FILE, names, run};
use crate::support::program::Sandbox;

/// The file, with an account that it does not make.
fn file() -> String {
    FILE.replace(
        "serviceAccount: web",
        "serviceAccount: {name: web, create: false}",
    )
}

/// Makes the account, as its owner does.
async fn account(ground: &Ground) {
    ground
        .create(json!({"apiVersion": "v1", "kind": "ServiceAccount",
                       "metadata": {"name": "web", "namespace": NAMESPACE, "labels": {"team": "ops"}}}))
        .await;
}

/// Returns the account without what every write of it changes.
async fn seen(ground: &Ground) -> Value {
    let api = ground.api("v1", "ServiceAccount", Some(NAMESPACE));
    let live = api.get("web").await.unwrap();
    json!({
        "uid": live.metadata.uid, "version": live.metadata.resource_version,
        "labels": live.metadata.labels, "data": live.data,
    })
}

/// Takes the right to write accounts away.
async fn without_accounts(ground: &Ground) {
    let roles = ground.api("rbac.authorization.k8s.io/v1", "Role", Some(NAMESPACE));
    let mut role = roles.get("meshvm-apply").await.unwrap();
    for rule in role.data["rules"].as_array_mut().unwrap() {
        let resources = rule["resources"].as_array_mut().unwrap();
        resources.retain(|resource| resource != "serviceaccounts");
    }
    let fewer = Patch::Merge(json!({"rules": role.data["rules"]}));
    let how = PatchParams::default();
    roles.patch("meshvm-apply", &how, &fewer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_of_others_is_used_and_stays_as_it_is() {
    let ground = Ground::new().await;
    without_accounts(&ground).await;
    let sandbox = Sandbox::with(&file());
    for line in [
        "plan",
        "plan --out saved.json",
        "apply -y",
        "validate --online",
    ] {
        let refused = run(&ground, &sandbox, line).await.exits(1).stderr;
        for told in [
            "error[MV106]: the service account `vm/web` does not exist: machines get their tokens from it",
            "meshvm.yaml:17:30",
            "`kubectl create serviceaccount web -n vm`, or leave `create: false` out",
        ] {
            assert!(refused.contains(told), "{line}: {told}: {refused}");
        }
    }
    let machines = sandbox.cloud().machines().unwrap();
    assert_eq!(machines, [], "nothing was made");
    let groups = names(&ground, "networking.istio.io/v1", "WorkloadGroup");
    assert_eq!(groups.await, [""; 0], "nothing was written");

    account(&ground).await;
    let before = seen(&ground).await;
    let sidecars = ground.sidecars();
    let applied = run(&ground, &sandbox, "apply -y").await.exits(0);
    assert!(
        !applied.all().contains("ServiceAccount"),
        "{}",
        applied.all()
    );
    assert_eq!(names(&ground, "v1", "Secret").await.len(), 2, "its tokens");
    let entries = ground.istio("WorkloadEntry");
    for entry in entries.list(&Default::default()).await.unwrap().items {
        if entry.data["spec"]["labels"]["app"] == "web" {
            assert_eq!(entry.data["spec"]["serviceAccount"], "web");
        }
    }
    let group = ground.istio("WorkloadGroup").get("web").await.unwrap();
    assert_eq!(group.data["spec"]["template"]["serviceAccount"], "web");
    run(&ground, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(0);

    assert_eq!(seen(&ground).await, before);

    let (rest, _) = file()
        .split_once("  web:\n")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let (_, outside) = FILE.split_once("  outside:\n").unwrap();
    sandbox.write("meshvm.yaml", &format!("{rest}  outside:\n{outside}"));
    run(&ground, &sandbox, "apply -y").await.exits(0);
    sandbox.write("meshvm.yaml", &file());
    run(&ground, &sandbox, "apply -y").await.exits(0);
    run(&ground, &sandbox, "destroy -y").await.exits(0);
    assert_eq!(seen(&ground).await, before);
    drop(sidecars);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_gone_is_in_the_way_of_new_machines_and_of_nothing_else() {
    let ground = Ground::new().await;
    account(&ground).await;
    let sandbox = Sandbox::with(&file());
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    for (name, replicas) in [("more", 3), ("same", 2)] {
        let line = format!("plan --out {name}.json --var replicas={replicas}");
        run(&ground, &sandbox, &line).await.exits(0);
    }
    let api = ground.api("v1", "ServiceAccount", Some(NAMESPACE));
    api.delete("web", &Default::default()).await.unwrap();

    let before = sandbox.cloud().machines().unwrap();
    let name = before.iter().find(|it| it.name.starts_with("web-"));
    let replace = format!("apply -y --replace {}", name.unwrap().name);
    for line in [
        "plan --var replicas=3",
        "plan --out late.json --var replicas=3",
        "apply -y --var replicas=3",
        "apply -y --var port=9090",
        &replace,
        "validate --online",
    ] {
        let refused = run(&ground, &sandbox, line).await.exits(1).stderr;
        for told in ["error[MV106]", "meshvm.yaml:17:30"] {
            assert!(refused.contains(told), "{line}: {told}: {refused}");
        }
    }
    // What was planned when it was there would make a machine.
    let late = run(&ground, &sandbox, "apply more.json").await.exits(4);
    let told =
        "the saved plan is out of date: the mesh changed since it was made (ServiceAccount vm/web)";
    assert!(late.stderr.contains(told), "{}", late.stderr);
    assert_eq!(sandbox.cloud().machines().unwrap(), before);

    for line in [
        "plan --detailed-exitcode",
        "plan --out fewer.json --var replicas=1",
        "status",
        "render --target web",
    ] {
        let warned = run(&ground, &sandbox, line).await.exits(0).stderr;
        assert!(warned.contains("warning[MV106]"), "{line}: {warned}");
    }
    let planned = run(&ground, &sandbox, "plan --format json").await;
    let planned = planned.exits(0).json();
    let warnings = planned["warnings"].as_array().unwrap();
    let told: Vec<_> = warnings.iter().filter(|it| it["code"] == "MV106").collect();
    assert_eq!(told.len(), 1, "{warnings:?}");
    let other = "apply -y --target outside";
    let other = run(&ground, &sandbox, other).await.exits(0).stderr;
    assert!(!other.contains("MV106"), "{other}");
    run(&ground, &sandbox, "apply same.json").await.exits(0);
    run(&ground, &sandbox, "apply fewer.json").await.exits(0);
    assert_eq!(names(&ground, "v1", "Secret").await.len(), 1);
    run(&ground, &sandbox, "apply -y --var replicas=1")
        .await
        .exits(0);

    account(&ground).await;
    run(&ground, &sandbox, "apply -y").await.exits(0);
    assert_eq!(names(&ground, "v1", "Secret").await.len(), 2);
    drop(sidecars);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_let_go_and_taken_back() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    let machines = sandbox.cloud().machines().unwrap();
    let accounts = async || names(&ground, "v1", "ServiceAccount").await;
    assert_eq!(accounts().await, ["web"]);
    let uid = seen(&ground).await["uid"].clone();

    sandbox.write("meshvm.yaml", &file());
    let planned = run(&ground, &sandbox, "plan").await.exits(0).stdout;
    let told = "let go ServiceAccount vm/web (used with `create: false`)";
    assert!(planned.contains(told), "{planned}");
    run(&ground, &sandbox, "apply -y").await.exits(0);
    assert_eq!(accounts().await, [""; 0]);
    let steady = "plan --detailed-exitcode";
    run(&ground, &sandbox, steady).await.exits(0);
    // Its machines are that account: no other stack takes it.
    let other = Sandbox::with(&FILE.replace("stack: shop", "stack: other"));
    let refused = run(&ground, &other, "apply -y").await.exits(1).stderr;
    assert!(refused.contains("ServiceAccount vm/web"), "{refused}");

    sandbox.write("meshvm.yaml", FILE);
    run(&ground, &sandbox, "apply -y").await.exits(0);
    assert_eq!(accounts().await, ["web"]);
    run(&ground, &sandbox, steady).await.exits(0);

    // Also where whoever handed it over wrote the label, too; and when all else goes.
    let how = PatchParams {
        field_manager: Some("kubectl-label".to_owned()),
        ..PatchParams::default()
    };
    let label = Patch::Merge(json!({"metadata": {"labels": {"meshvm-stack": "shop"}}}));
    let api = ground.api("v1", "ServiceAccount", Some(NAMESPACE));
    let by_hand = Patch::Merge(json!({"metadata": {"labels": {"meshvm-stack": null}}}));
    api.patch("web", &how, &by_hand).await.unwrap();
    api.patch("web", &how, &label).await.unwrap();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    assert_eq!(
        sandbox.cloud().machines().unwrap(),
        machines,
        "no machine is another"
    );
    sandbox.write("meshvm.yaml", &file());
    run(&ground, &sandbox, "destroy -y").await.exits(0);
    assert_eq!(seen(&ground).await["uid"], uid);
    assert_eq!(accounts().await, [""; 0]);
    drop(sidecars);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_of_others_is_not_taken_by_a_file_that_would_make_it() {
    let ground = Ground::new().await;
    account(&ground).await;
    let sandbox = Sandbox::with(FILE);
    for line in ["plan", "apply -y"] {
        let refused = run(&ground, &sandbox, line).await.exits(1).stderr;
        let told = "use it as it is: `serviceAccount: {name: web, create: false}`";
        assert!(refused.contains(told), "{line}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_another_fleet_makes_goes_with_the_stack() {
    let ground = Ground::new().await;
    let (_, web) = FILE.split_once("  web:\n").unwrap();
    let (web, _) = web.split_once("  outside:\n").unwrap();
    let given = "serviceAccount: {name: web, create: false}";
    let user = web.replace("serviceAccount: web", given);
    let sandbox = Sandbox::with(&format!("{FILE}  user:\n{user}"));
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    assert_eq!(names(&ground, "v1", "ServiceAccount").await, ["web"]);
    run(&ground, &sandbox, "destroy -y").await.exits(0);
    let api = ground.api("v1", "ServiceAccount", Some(NAMESPACE));
    assert!(api.get_opt("web").await.unwrap().is_none());
    drop(sidecars);
}
