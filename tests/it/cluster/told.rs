//! What the program tells of a cluster before it does anything, and of machines that enter themselves.

use kube::api::{Patch, PatchParams};
use meshvm::mesh::Backend as _;
use serde_json::{Value, json};

use super::ground::{Ground, NAMESPACE};
use super::program::{FILE, names, run};
use crate::support::program::Sandbox;

/// The file with a fleet whose machines enter themselves.
fn by_themselves() -> String {
    FILE.replace(
        "      serviceAccount: web\n",
        "      serviceAccount: web\n      autoRegister: true\n",
    )
    .replace(
        "    membership:\n",
        "    rollout: {readyTimeout: 2s}\n    membership:\n",
    )
}

/// Makes the entry of a sidecar that connects, as the control plane does.
async fn register(ground: &Ground, address: &str) {
    ground
        .create(json!({
            "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
            "metadata": {
                "name": format!("web-{address}"), "namespace": NAMESPACE,
                "annotations": {"istio.io/autoRegistrationGroup": "web"},
            },
            "spec": {
                "address": address, "labels": {"app": "web", "version": "v1"},
                "serviceAccount": "web", "network": "vms", "ports": {"http": 8080},
            },
        }))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_that_register_by_themselves_are_waited_for_and_found_by_their_addresses() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(&by_themselves());
    let stopped = run(&ground, &sandbox, "apply -y").await.exits(1);
    assert!(
        stopped.all().contains("has no entry in the mesh"),
        "{}",
        stopped.all()
    );
    let status = async || {
        let status = run(&ground, &sandbox, "status --format json").await;
        status.exits(0).json()["status"].clone()
    };
    let table = run(&ground, &sandbox, "status").await.exits(0).stdout;
    assert!(table.contains(": has no entry in the mesh"), "{table}");
    let machines = status().await["fleets"]["web"]["machines"].clone();
    for machine in machines.as_array().unwrap() {
        assert_eq!(machine["mesh"]["state"], "unknown");
        register(&ground, machine["address"].as_str().unwrap()).await;
    }
    run(&ground, &sandbox, "apply -y").await.exits(0);
    let machine = &status().await["fleets"]["web"]["machines"][0];
    assert_eq!(machine["mesh"]["state"], "registered");
    run(&ground, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(0);

    register(&ground, "10.99.99.99").await;
    assert_eq!(status().await["stale"], json!(["web-10.99.99.99"]));
    let entries = ground.istio("WorkloadEntry");
    let how = PatchParams::default();
    let first = machines[0]["address"].as_str().unwrap();
    let edited = Patch::Merge(json!({"spec": {"labels": {"app": "other"}}}));
    let edited = entries.patch(&format!("web-{first}"), &how, &edited).await;
    edited.unwrap();
    let drift = run(&ground, &sandbox, "plan --detailed-exitcode").await;
    let drift = drift.exits(2).stdout;
    for told in [
        "vm/web-10.99.99.99 was registered by a machine that is gone",
        "was registered otherwise, and stays so until its machine is replaced",
        "~ spec.labels.app: \"web\" -> \"other\"",
        "No changes: an apply cannot mend what is told above.",
    ] {
        assert!(drift.contains(told), "{told}: {drift}");
    }
    // Both are as they should be, or about to be.
    let mended = Patch::Merge(json!({"spec": {"labels": {"app": "web"}}}));
    let mended = entries.patch(&format!("web-{first}"), &how, &mended).await;
    mended.unwrap();
    let gone =
        json!({"metadata": {"annotations": {"istio.io/disconnectedAt": "2026-01-01T00:00:00Z"}}});
    let gone = entries
        .patch("web-10.99.99.99", &how, &Patch::Merge(gone))
        .await;
    gone.unwrap();
    run(&ground, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(0);

    // That meshvm made no entries is what the file asked for until now, and no drift.
    sandbox.write("meshvm.yaml", FILE);
    run(&ground, &sandbox, "plan --refresh-only --detailed-exitcode")
        .await
        .exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_plan_is_out_of_date_when_machines_would_be_told_something_else() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    run(&ground, &sandbox, "plan --out plan.json")
        .await
        .exits(0);
    let mesh = json!({"data": {"mesh": "trustDomain: other.example\n"}});
    ground
        .api("v1", "ConfigMap", Some("istio-system"))
        .patch("istio", &PatchParams::default(), &Patch::Merge(&mesh))
        .await
        .unwrap();
    let refused = run(&ground, &sandbox, "apply plan.json").await.exits(4);
    assert!(
        refused.stderr.contains("defaultConfig, trustDomain"),
        "{}",
        refused.stderr
    );
    assert_eq!(names(&ground, "v1", "ServiceAccount").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_delete_everything_deletes_nothing() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    let machines = sandbox.cloud().machines().unwrap();
    // The role of whoever applies is taken away; looking is left.
    for (kind, namespace) in [
        ("RoleBinding", Some(NAMESPACE)),
        ("ClusterRoleBinding", None),
    ] {
        let api = ground.api("rbac.authorization.k8s.io/v1", kind, namespace);
        api.delete("meshvm-apply-user", &Default::default())
            .await
            .ok();
    }
    let refused = run(&ground, &sandbox, "destroy -y").await.exits(1);
    assert!(refused.stderr.contains("MV103"), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("delete workloadentries"),
        "{}",
        refused.stderr
    );
    assert_eq!(sandbox.cloud().machines().unwrap(), machines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_mesh_from_being_read_has_a_code_and_a_place() {
    let ground = Ground::new().await;
    // The documented role reads the ConfigMaps of one control plane only.
    ground
        .create(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "config"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
        }))
        .await;
    ground
        .create(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "config"},
            "subjects": [{"kind": "ServiceAccount", "name": "meshvm", "namespace": "ops"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "config"},
        }))
        .await;
    for (setting, code, field) in [
        ("revision: canary", "MV207", "mesh.kubernetes.revision"),
        (
            "istioNamespace: vm",
            "MV207",
            "mesh.kubernetes.istioNamespace",
        ),
        ("context: nowhere", "MV104", "mesh.kubernetes.context"),
    ] {
        let mesh = match setting.starts_with("context") {
            true => setting.to_owned(),
            false => format!("context: lab, {setting}"),
        };
        let sandbox = Sandbox::with(&FILE.replace("context: lab", &mesh));
        let line = "validate --online --sarif found.sarif --format json";
        let refused = run(&ground, &sandbox, line).await.exits(1);
        let found = &refused.json()["error"]["diagnostics"][0];
        assert_eq!(found["code"], code, "{setting}");
        assert_eq!(found["place"]["field"], field, "{setting}");
        let log: Value = serde_json::from_str(&sandbox.read("found.sarif")).unwrap();
        assert_eq!(log["runs"][0]["results"][0]["ruleId"], code);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_object_of_somebody_else_is_told_with_its_place() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    for (version, kind, name, spec) in [
        ("v1", "ServiceAccount", "web", Value::Null),
        (
            "networking.istio.io/v1",
            "ServiceEntry",
            "outside",
            json!({"hosts": ["a.example"], "ports": [{"name": "tls", "number": 1, "protocol": "TLS"}]}),
        ),
    ] {
        let mut object = json!({
            "apiVersion": version, "kind": kind,
            "metadata": {"name": name, "namespace": NAMESPACE},
        });
        if !spec.is_null() {
            object["spec"] = spec;
        }
        ground.create(object).await;
    }
    for line in [
        "validate --online --format json",
        "plan --out plan.json --format json",
    ] {
        let refused = run(&ground, &sandbox, line).await.exits(1).json();
        let diagnostics = refused["error"]["diagnostics"].as_array().unwrap().iter();
        let errors = diagnostics.filter(|found| found["severity"] == "error");
        let diagnostics: Vec<Value> = errors.cloned().collect();
        let mut found: Vec<(&Value, &Value)> = diagnostics
            .iter()
            .map(|found| (&found["code"], &found["place"]["field"]))
            .collect();
        found.sort_by_key(|(_, field)| field.to_string());
        let fields: Vec<&Value> = found.iter().map(|(_, field)| *field).collect();
        assert_eq!(
            fields,
            [
                "fleets.outside.external",
                "fleets.web.membership.serviceAccount"
            ],
            "{line}"
        );
        assert!(found.iter().all(|(code, _)| *code == "MV102"), "{line}");
        let hints = diagnostics.iter().map(|found| found["hint"].to_string());
        let shop = "meshvm-stack=shop`";
        assert!(hints.into_iter().all(|hint| hint.contains(shop)), "{line}");
    }
    assert!(!sandbox.path("plan.json").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_stack_has_is_told_as_its_own_and_not_to_be_taken() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "web", "namespace": NAMESPACE, "labels": {"meshvm-stack": "other"}}});
    ground.create(account.clone()).await;
    for line in ["validate --online", "apply -y"] {
        let refused = run(&ground, &sandbox, line).await.exits(1).stderr;
        assert!(refused.contains("but to the stack `other`"), "{refused}");
        assert!(!refused.contains("kubectl label"), "{refused}");
    }
    let own = meshvm::mesh::Object::from_manifest(account).unwrap();
    let error = ground.mesh(false).check("shop", &[own]).await.unwrap_err();
    assert!(
        error.to_string().contains("but to stack `other`"),
        "{error}"
    );
    assert!(!error.hint().unwrap().contains("label"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_tells_what_others_did_to_entries() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    let entries = ground.istio("WorkloadEntry");
    let name = names(&ground, "networking.istio.io/v1", "WorkloadEntry").await;
    let name = name.iter().find(|name| name.starts_with("web")).unwrap();
    let edit = async |change: Value| {
        let how = PatchParams {
            field_manager: Some("kubectl-edit".to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(change);
        entries.patch(name, &how, &patch).await.unwrap();
    };
    let plan = async || run(&ground, &sandbox, "plan --detailed-exitcode").await;

    // An apply would be refused: the plan says so, and the words are the same.
    edit(json!({"spec": {"address": "10.9.9.9"}})).await;
    let planned = plan().await.exits(2).stdout;
    let held = ".spec.address is \"10.9.9.9\" by \"kubectl-edit\" using networking.istio.io/v1, and shall be ";
    assert!(planned.contains(held), "{planned}");
    assert!(planned.contains("only with --force-conflicts"), "{planned}");
    let refused = run(&ground, &sandbox, "apply -y").await.exits(1);
    assert!(refused.stderr.contains(held), "{}", refused.stderr);
    run(&ground, &sandbox, "apply -y --force-conflicts")
        .await
        .exits(0);

    // A name with dots is found as it is.
    edit(json!({"metadata": {"labels": {"meshvm-fleet": "other", "example.com/a": "b"}}})).await;
    let refused = run(&ground, &sandbox, "apply -y").await.exits(1);
    let held = ".metadata.labels.meshvm-fleet is \"other\" by \"kubectl-edit\"";
    assert!(refused.stderr.contains(held), "{}", refused.stderr);
    run(&ground, &sandbox, "apply -y --force-conflicts")
        .await
        .exits(0);

    // Who took it away leaves nobody in the way.
    edit(json!({"metadata": {"ownerReferences": null}})).await;
    let planned = plan().await.exits(2).stdout;
    assert!(
        planned.contains("metadata.ownerReferences: WorkloadGroup vm/web"),
        "{planned}"
    );
    assert!(!planned.contains("--force-conflicts"), "{planned}");
    run(&ground, &sandbox, "apply -y").await.exits(0);
    let owners = entries.get(name).await.unwrap().metadata.owner_references;
    assert_eq!(owners.unwrap()[0].name, "web");
    plan().await.exits(0);

    // Subsets select by labels: one more leads traffic to a machine, and only its owner ends that.
    edit(json!({"spec": {"labels": {"track": "canary"}}})).await;
    let planned = plan().await.exits(2).stdout;
    for told in [
        "has fields that \"kubectl-edit\" using networking.istio.io/v1 added",
        ".spec.labels.track: \"canary\"",
        "No changes: an apply cannot mend what is told above.",
    ] {
        assert!(planned.contains(told), "{planned}");
    }
    edit(json!({"spec": {"labels": {"track": null}}})).await;
    plan().await.exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_tells_that_machines_of_before_take_no_traffic() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    let told = "those of before take no traffic from then on";
    for (from, to, is_told) in [
        ("version: v1}", "version: v2}", true),
        ("ports: {http:", "ports: {web:", true),
        // A port more of the Service, or one label less, still finds the machines that there are.
        ("{name: http, port: 80}", "{name: http, port: 8081}", false),
        (
            "labels: {app: web, version: v1}",
            "labels: {app: web}",
            false,
        ),
    ] {
        let mut file = FILE.replace(from, to);
        if from.starts_with("ports") {
            file = file.replace("{name: http, port: 80}", "{name: web, port: 80}");
        } else {
            // A new package replaces machines in any case.
            file = file.replace("1.30.3", "1.30.4");
        }
        sandbox.write("meshvm.yaml", &file);
        let planned = run(&ground, &sandbox, "plan").await.exits(0).stdout;
        assert!(planned.contains("~ Service vm/web"), "{planned}");
        assert!(planned.contains("-/+ replace"), "{planned}");
        assert_eq!(planned.contains(told), is_told, "{planned}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_with_members_is_tried_without_it() {
    let ground = Ground::new().await;
    let file = FILE.replace(
        "identity: {serviceAccountToken: {allowTokenInUserData: true}}\n",
        "",
    );
    let sandbox = Sandbox::with(&file);
    run(&ground, &sandbox, "apply -y --simulate").await.exits(0);
    run(&ground, &sandbox, "plan --simulate --detailed-exitcode")
        .await
        .exits(0);
    assert_eq!(names(&ground, "v1", "ServiceAccount").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_of_another_version_is_told_wherever_the_mesh_is_looked_at() {
    let ground = Ground::new().await;
    let values = json!({"data": {"values": "{\"global\": {\"tag\": \"1.33.0\", \"multiCluster\": {\"clusterName\": \"Kubernetes\"}, \"network\": \"cluster\"}}"}});
    ground
        .api("v1", "ConfigMap", Some("istio-system"))
        .patch(
            "istio-sidecar-injector",
            &PatchParams::default(),
            &Patch::Merge(&values),
        )
        .await
        .unwrap();
    let sandbox = Sandbox::with(FILE);
    for line in ["plan", "status", "validate --online"] {
        let told = run(&ground, &sandbox, line).await.exits(0).stderr;
        assert!(told.contains("MV206"), "{line}: {told}");
        assert!(told.contains("1.33.0"), "{line}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_is_wrong_is_told_at_once_with_the_warnings() {
    let ground = Ground::new().await;
    let file = FILE
        .replace(
            "serviceAccountToken: {allowTokenInUserData: true}",
            "serviceAccountToken: {ttl: 15m}",
        )
        .replace(
            "      service: {ports: [{name: http, port: 80}]}\n",
            "      service: {ports: [{name: http, port: 80}]}\n      locality: somewhere\n",
        );
    let sandbox = Sandbox::with(&file);
    ground
        .create(json!({"apiVersion": "v1", "kind": "Service",
                       "metadata": {"name": "web", "namespace": NAMESPACE},
                       "spec": {"ports": [{"port": 80}]}}))
        .await;
    let refused = run(&ground, &sandbox, "validate --online --format json")
        .await
        .exits(1)
        .json();
    let found = refused["error"]["diagnostics"].to_string();
    for told in ["MV102", "cannot hand a token to its machine alone"] {
        assert!(found.contains(told), "{told}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_hold_of_many_entries_is_told_once_to_people_and_whole_to_programs() {
    let ground = Ground::new().await;
    let file = FILE.replace("{replicas: 2,", "{replicas: 5,");
    let sandbox = Sandbox::with(&file);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);
    let entries = ground.istio("WorkloadEntry");
    let all = names(&ground, "networking.istio.io/v1", "WorkloadEntry").await;
    let how = PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    };
    for (index, name) in all.iter().filter(|n| n.starts_with("web")).enumerate() {
        let change = json!({"spec": {"address": format!("10.9.9.{index}")}});
        entries
            .patch(name, &how, &Patch::Merge(change))
            .await
            .unwrap();
    }
    let planned = run(&ground, &sandbox, "plan").await.exits(0).stdout;
    let told = "only with --force-conflicts (in 4 others with other values)";
    assert!(planned.contains(told), "{planned}");
    assert_eq!(planned.matches("--force-conflicts").count(), 1, "{planned}");
    let refused = run(&ground, &sandbox, "apply -y").await.exits(1).stderr;
    assert!(
        refused.contains("; so have 4 more: WorkloadEntry vm/web-"),
        "{refused}"
    );
    let refused = run(&ground, &sandbox, "apply -y --format json")
        .await
        .exits(1)
        .json();
    let held = &refused["outcome"]["failed"][0]["held"];
    assert_eq!(held.as_array().unwrap().len(), 5, "{held}");
    assert_eq!(held[0]["fields"][0]["field"], ".spec.address");
    let patched = &refused["metrics"]["cluster"]["workloadentries"]["patch"];
    assert_eq!(
        (&patched["operations"], &patched["failed"]),
        (&5.into(), &5.into())
    );
}
