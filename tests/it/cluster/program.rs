//! The program against a cluster, from plan to destroy.

use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::ground::{Ground, NAMESPACE};
use crate::support::program::{Ran, Sandbox};

pub const FILE: &str = r#"
apiVersion: meshvm/v1
stack: shop
vars: {replicas: 2, port: 8080}
mesh: {kubernetes: {context: lab, network: vms}}
sidecar:
  version: 1.30.3
  packages: [{format: deb, arch: amd64, url: "https://example.com/istio-sidecar.deb", sha256: "0000000000000000000000000000000000000000000000000000000000000000"}]
identity: {serviceAccountToken: {allowTokenInUserData: true}}
budgets: {destroy: 100%, replace: 100%}
fleets:
  web:
    replicas: "${var.replicas}"
    sim: {}
    membership:
      namespace: vm
      serviceAccount: web
      labels: {app: web, version: v1}
      ports: {http: "${var.port}"}
      probe: {httpGet: {port: "${var.port}"}}
      service: {ports: [{name: http, port: 80}]}
  outside:
    replicas: 1
    sim: {}
    external: {namespace: vm, hosts: [ledger.example], ports: [{name: https, port: 443, protocol: TLS}]}
"#;

/// Runs the program as the user, beside the cluster that it talks to.
pub async fn run(ground: &Ground, sandbox: &Sandbox, line: &str) -> Ran {
    let args: Vec<&str> = line.split_whitespace().collect();
    let mut command = sandbox.command(&args);
    command.env("KUBECONFIG", ground.kubeconfig());
    let child = command.spawn().unwrap();
    tokio::task::spawn_blocking(move || crate::support::program::finish(child))
        .await
        .unwrap()
}

pub async fn names(ground: &Ground, version: &str, kind: &str) -> Vec<String> {
    let api = ground.api(version, kind, Some(NAMESPACE));
    let listed = api
        .list(&ListParams::default().labels("meshvm-stack=shop"))
        .await
        .unwrap();
    listed
        .items
        .into_iter()
        .filter_map(|object| object.metadata.name)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_lives_in_a_cluster_and_leaves_nothing() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let planned = run(&ground, &sandbox, "plan").await.exits(0);
    assert!(
        planned.stdout.contains("mesh: the cluster of context lab"),
        "{}",
        planned.stdout
    );
    assert!(planned.stderr.contains("user-data"), "{}", planned.stderr);
    assert_eq!(
        names(&ground, "v1", "ServiceAccount").await,
        [""; 0],
        "a plan writes nothing"
    );
    let sidecars = ground.sidecars();
    let applied = run(&ground, &sandbox, "apply -y").await.exits(0);
    assert!(!applied.all().contains("eyJ"), "a token is in the output");
    let entries = names(&ground, "networking.istio.io/v1", "WorkloadEntry").await;
    assert_eq!(entries.len(), 3);
    assert_eq!(names(&ground, "v1", "Secret").await.len(), 2);
    for (name, bytes) in sandbox.files() {
        // The simulated cloud stands for what holds user-data; everything else may be shown.
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            name.starts_with(".meshvm/cloud") || !text.contains("eyJ"),
            "{name} holds a token"
        );
    }
    run(&ground, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(0);

    let status = run(&ground, &sandbox, "status --format json")
        .await
        .exits(0)
        .json();
    // Whatever part of the command asks: what the mesh is, and what is in it.
    let cluster = &status["metrics"]["cluster"];
    for (kind, verb) in [("configmaps", "get"), ("workloadentries", "list")] {
        let calls = &cluster[kind][verb];
        assert!(calls["operations"].as_u64() > Some(0), "{kind}: {cluster}");
        assert_eq!(calls["failed"], 0, "{kind}: {cluster}");
    }
    assert!(cluster["workloadentries"].get("patch").is_none());
    let told = run(&ground, &sandbox, "status -v").await.exits(0).stderr;
    assert!(
        told.contains("cluster list workloadentries: 1 call"),
        "{told}"
    );
    let machine = &status["status"]["fleets"]["web"]["machines"][0];
    assert_eq!(machine["mesh"]["state"], "healthy");
    let name = machine["name"].as_str().unwrap();
    let api = ground.istio("WorkloadEntry");
    let report = async |condition: Value| {
        let status = json!({"status": {"conditions": [condition]}});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
            .await
            .unwrap();
    };
    report(json!({"type": "Healthy", "status": "False", "message": "probe refused"})).await;
    let status = run(&ground, &sandbox, "status").await.exits(0);
    assert!(status.stdout.contains("probe refused"), "{}", status.stdout);
    let sick = run(&ground, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(2);
    assert!(
        sick.stdout.contains("takes no traffic: probe refused"),
        "{}",
        sick.stdout
    );
    report(json!({"type": "Healthy", "status": "True"})).await;

    let how = PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    };
    let moved = Patch::Merge(json!({"spec": {"address": "10.9.9.9"}}));
    api.patch(name, &how, &moved).await.unwrap();
    let drift = run(&ground, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(2);
    assert!(drift.stdout.contains("10.9.9.9"), "{}", drift.stdout);
    let refused = run(&ground, &sandbox, "apply -y").await.exits(1);
    assert!(
        refused.all().contains("--force-conflicts"),
        "{}",
        refused.all()
    );
    run(&ground, &sandbox, "apply -y --force-conflicts")
        .await
        .exits(0);

    let replaced = run(&ground, &sandbox, "plan --var port=9090")
        .await
        .exits(0);
    let said = "membership.ports.http: 8080 -> 9090";
    assert!(replaced.stdout.contains(said), "{}", replaced.stdout);
    let shrunk = run(&ground, &sandbox, "apply -y --var replicas=1")
        .await
        .exits(0);
    assert!(
        shrunk.all().contains("let connections end for 5s"),
        "{}",
        shrunk.all()
    );
    assert_eq!(
        names(&ground, "v1", "Secret").await.len(),
        1,
        "its token is revoked"
    );
    run(&ground, &sandbox, "destroy -y").await.exits(0);
    drop(sidecars);
    for (version, kind) in [
        ("v1", "ServiceAccount"),
        ("v1", "Service"),
        ("v1", "Secret"),
        ("networking.istio.io/v1", "WorkloadGroup"),
        ("networking.istio.io/v1", "WorkloadEntry"),
        ("networking.istio.io/v1", "ServiceEntry"),
    ] {
        assert_eq!(names(&ground, version, kind).await, [""; 0], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_goes_no_further_than_the_mesh_says() {
    let ground = Ground::new().await;
    let impatient = "    sim: {}\n    rollout: {readyTimeout: 2s}\n    membership:";
    let sandbox = Sandbox::with(&FILE.replace("    sim: {}\n    membership:", impatient));
    // Up, as the cloud tells; but no sidecar reports.
    let stopped = run(&ground, &sandbox, "apply -y").await.exits(1);
    assert!(
        stopped.all().contains("its sidecar reports nothing"),
        "{}",
        stopped.all()
    );
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    let entries = || names(&ground, "networking.istio.io/v1", "WorkloadEntry");
    let before = entries().await;
    drop(sidecars);

    // However often it is tried, what works stays while what is new takes no traffic.
    for _ in 0..2 {
        run(&ground, &sandbox, "apply -y --var port=9090")
            .await
            .exits(1);
        let now = entries().await;
        let left: Vec<_> = before.iter().filter(|name| now.contains(name)).collect();
        assert_eq!(left.len(), before.len(), "{before:?} {now:?}");
    }
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y --var port=9090")
        .await
        .exits(0);
    run(
        &ground,
        &sandbox,
        "plan --detailed-exitcode --var port=9090",
    )
    .await
    .exits(0);
    assert_eq!(entries().await.len(), before.len());
    drop(sidecars);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_stays_with_the_machines_that_work() {
    let ground = Ground::new().await;
    let impatient = "    sim: {}\n    rollout: {readyTimeout: 2s}\n    membership:";
    let file = FILE.replace("    sim: {}\n    membership:", impatient);
    let sandbox = Sandbox::with(&file);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    let services = ground.api("v1", "Service", Some(NAMESPACE));
    let version =
        async || services.get("web").await.unwrap().data["spec"]["selector"]["version"].clone();
    sandbox.write("meshvm.yaml", &file.replace("version: v1", "version: v2"));
    run(&ground, &sandbox, "apply -y").await.exits(1);
    assert_eq!(version().await, "v1", "nothing new takes traffic");
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    assert_eq!(version().await, "v2");

    // A selector that somebody added to finds nothing: that is drift.
    let how = PatchParams {
        field_manager: Some("kubectl-patch".to_owned()),
        ..PatchParams::default()
    };
    let more = Patch::Merge(json!({"spec": {"selector": {"tier": "none"}}}));
    services.patch("web", &how, &more).await.unwrap();
    let drift = run(&ground, &sandbox, "plan --detailed-exitcode").await;
    assert!(drift.exits(2).stdout.contains("tier"));
    run(&ground, &sandbox, "apply -y --force-conflicts")
        .await
        .exits(0);
    let selector = services.get("web").await.unwrap().data["spec"]["selector"].clone();
    assert!(selector.get("tier").is_none(), "{selector}");
    drop(sidecars);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_become_known_machines_without_leaving_for_a_while() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    let (before, rest) = FILE.split_once("    membership:").unwrap();
    let (_, after) = rest.split_once("  outside:").unwrap();
    let external = "    external: {namespace: vm, hosts: [web.example], ports: [{name: http, port: 80, protocol: HTTP}]}\n  outside:";
    sandbox.write("meshvm.yaml", &format!("{before}{external}{after}"));
    run(&ground, &sandbox, "apply -y").await.exits(0);
    let entries = names(&ground, "networking.istio.io/v1", "WorkloadEntry").await;
    assert_eq!(entries.len(), 3);
    run(&ground, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(0);
    drop(sidecars);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_of_the_same_name_is_not_taken_for_the_stacks() {
    let (ground, other) = (Ground::new().await, Ground::new().await);
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    for line in ["plan", "apply -y", "destroy -y"] {
        let refused = run(&other, &sandbox, line).await.exits(1);
        assert!(
            refused.stderr.contains("another than the one"),
            "{}",
            refused.stderr
        );
    }
    assert_eq!(names(&other, "v1", "ServiceAccount").await, [""; 0]);
    run(&ground, &sandbox, "plan --out saved.json --var replicas=1")
        .await
        .exits(0);
    run(&other, &sandbox, "apply saved.json").await.exits(4);

    // A cluster that was made anew is another, and the stack can go on in it.
    let sidecars = other.sidecars();
    run(&other, &sandbox, "apply -y --another-cluster")
        .await
        .exits(0);
    other.reported().await;
    drop(sidecars);
    run(&other, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(0);
    run(&other, &sandbox, "destroy -y").await.exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_saved_by_who_may_read_and_applied_by_who_may_write() {
    let ground = Ground::with(&["plan.yaml"]).await;
    let sandbox = Sandbox::with(FILE);
    run(&ground, &sandbox, "plan --out plan.json")
        .await
        .exits(0);
    let refused = run(&ground, &sandbox, "apply plan.json").await.exits(1);
    assert!(refused.stderr.contains("MV103"), "{}", refused.stderr);
    assert_eq!(names(&ground, "v1", "ServiceAccount").await, [""; 0]);
    ground.grant(&["apply.yaml"]).await;
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply plan.json").await.exits(0);
    drop(sidecars);

    // What would be in the way is told when the plan is saved, and what is not stops nobody.
    ground
        .create(json!({"apiVersion": "v1", "kind": "Service",
                       "metadata": {"name": "other", "namespace": NAMESPACE},
                       "spec": {"selector": {"app": "web"}, "ports": [{"name": "admin", "port": 1, "targetPort": "admin"}]}}))
        .await;
    let warned = run(&ground, &sandbox, "plan --out later.json")
        .await
        .exits(0);
    assert!(
        warned.stderr.contains("warning[MV301]"),
        "{}",
        warned.stderr
    );
    ground
        .create(json!({"apiVersion": "v1", "kind": "Service",
                       "metadata": {"name": "api", "namespace": NAMESPACE}, "spec": {"ports": [{"port": 1}]}}))
        .await;
    let more = FILE.replace("service: {", "service: {name: api, ");
    sandbox.write("meshvm.yaml", &more);
    let refused = run(&ground, &sandbox, "plan --out refused.json")
        .await
        .exits(1);
    assert!(refused.stderr.contains("MV102"), "{}", refused.stderr);
    assert!(!sandbox.path("refused.json").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_of_a_machine_are_rendered_for_nobody_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let early = run(&ground, &sandbox, "render --out out --with-token").await;
    let early = early.exits(1).stderr;
    for told in [
        "the ServiceAccount vm/web does not exist",
        "`meshvm apply` makes it",
        "`kubectl create serviceaccount web -n vm`",
    ] {
        assert!(early.contains(told), "{early}");
    }
    assert!(!sandbox.path("out").exists());
    ground
        .create(json!({"apiVersion": "v1", "kind": "ServiceAccount",
                       "metadata": {"name": "web", "namespace": NAMESPACE, "labels": {"meshvm-stack": "shop"}}}))
        .await;
    let ran = run(
        &ground,
        &sandbox,
        "render --out out --with-token --target web",
    )
    .await
    .exits(0);
    assert!(!ran.all().contains("eyJ"));
    for name in [
        "cluster.env",
        "mesh.yaml",
        "root-cert.pem",
        "hosts",
        "istio-token",
    ] {
        let path = sandbox.path(format!("out/web/{name}"));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(
        sandbox.read("out/web/hosts"),
        "10.1.2.3 istiod.istio-system.svc\n"
    );
    assert!(sandbox.read("out/web/istio-token").starts_with("eyJ"));
    let env = sandbox.read("out/web/cluster.env");
    assert!(env.contains("ISTIO_META_NETWORK='vms'\n"), "{env}");
    assert!(env.contains("CLOUD_PLATFORM='none'\n"), "{env}");

    // A token of before is no part of what is rendered now.
    run(&ground, &sandbox, "render --out out").await.exits(0);
    assert!(!sandbox.path("out/web/istio-token").exists());

    // Nor is one of a fleet that has another name now.
    let render = async |line: &str| run(&ground, &sandbox, line).await.exits(0).stdout;
    render("render --out out --with-token").await;
    sandbox.write("meshvm.yaml", &FILE.replace("\n  web:\n", "\n  shop:\n"));
    let told = render("render --out out --with-token").await;
    assert!(told.contains("Removed, since rendered no more: "), "{told}");
    assert!(sandbox.path("out/shop/istio-token").exists());
    assert!(!sandbox.path("out/web").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_way_is_found_before_anything_is_made() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(&FILE.replace("namespace: vm\n", "namespace: gone\n"));
    let refused = run(&ground, &sandbox, "apply -y").await.exits(1);
    assert!(refused.stderr.contains("MV101"), "{}", refused.stderr);

    sandbox.write("meshvm.yaml", FILE);
    ground
        .create(json!({"apiVersion": "v1", "kind": "Service",
                       "metadata": {"name": "web", "namespace": NAMESPACE},
                       "spec": {"selector": {"app": "web"}, "ports": [{"name": "admin", "port": 1, "targetPort": "admin"}]}}))
        .await;
    let found = run(
        &ground,
        &sandbox,
        "validate --online --sarif found.sarif --format json",
    )
    .await
    .exits(1);
    let found = found.json();
    let codes: Vec<&Value> = found["error"]["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|d| d["severity"] == "error")
        .map(|d| &d["code"])
        .collect();
    assert_eq!(codes, ["MV102"]);
    let log: Value = serde_json::from_str(&sandbox.read("found.sarif")).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap().iter();
    let found = results.map(|it| {
        (
            it["ruleId"].as_str().unwrap(),
            it["level"].as_str().unwrap(),
        )
    });
    let found: Vec<_> = found.collect();
    assert!(found.contains(&("MV102", "error")), "{found:?}");
    assert!(found.contains(&("MV301", "warning")), "{found:?}");
    run(&ground, &sandbox, "apply -y").await.exits(1);
    assert!(
        !sandbox.path(".meshvm/cloud").exists(),
        "nothing was touched"
    );
    run(&ground, &sandbox, "validate").await.exits(0);
}
