//! Namespaces: those that are made, those that are on their way out, and what their roles are for.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::ground::{Ground, NAMESPACE, ROOT_CERT};
use super::program::{FILE, run};
use crate::support::program::Sandbox;

/// Leaves the control plane's certificate in a namespace, as it does in every one.
async fn root_cert(ground: &Ground, namespace: &str) {
    ground
        .create(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "istio-ca-root-cert", "namespace": namespace},
            "data": {"root-cert.pem": ROOT_CERT},
        }))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_made_where_the_file_says_so_and_stays() {
    let ground = Ground::with(&["plan.yaml"]).await;
    root_cert(&ground, "istio-system").await;
    let elsewhere = FILE
        .replace("namespace: vm", "namespace: elsewhere")
        .replace("      probe: {httpGet: {port: \"${var.port}\"}}\n", "");
    let sandbox = Sandbox::with(&elsewhere);
    let refused = run(&ground, &sandbox, "apply -y").await.exits(1);
    assert!(
        refused.stderr.contains("createNamespaces"),
        "{}",
        refused.stderr
    );
    let made = elsewhere.replace("context: lab,", "context: lab, createNamespaces: true,");
    sandbox.write("meshvm.yaml", &made);
    let namespaces = ground.api("v1", "Namespace", None);
    // Who only plans has no role in a namespace that is not there.
    let planned = run(&ground, &sandbox, "plan").await.exits(0).stdout;
    assert!(planned.contains("+ Namespace elsewhere (new)"), "{planned}");
    ground.grant(&["namespaces.yaml"]).await;
    assert!(
        namespaces.get_opt("elsewhere").await.unwrap().is_none(),
        "a plan makes nothing"
    );
    run(&ground, &sandbox, "apply -y").await.exits(0);
    let made = namespaces.get("elsewhere").await.unwrap().metadata;
    let managers = made.managed_fields.unwrap();
    assert!(
        managers
            .iter()
            .all(|entry| entry.manager.as_deref() == Some("meshvm")),
        "{managers:?}"
    );
    let labels = made.labels.unwrap_or_default();
    assert!(
        !labels.contains_key("meshvm-stack"),
        "it outlives the stack"
    );
    run(&ground, &sandbox, "plan --detailed-exitcode")
        .await
        .exits(0);
    run(&ground, &sandbox, "destroy -y").await.exits(0);
    assert!(
        namespaces.get_opt("elsewhere").await.unwrap().is_some(),
        "it is nobody's to delete"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_outside_needs_no_role_in_its_namespace_to_be_planned() {
    let ground = Ground::with(&["plan.yaml"]).await;
    for name in ["ext", "other"] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        ground.create(namespace).await;
    }
    let file = FILE.replace("external: {namespace: vm", "external: {namespace: ext");
    let sandbox = Sandbox::with(&file);
    run(&ground, &sandbox, "plan").await.exits(0);
    run(&ground, &sandbox, "validate --online").await.exits(0);
    // Its namespace is looked for, all the same.
    sandbox.write(
        "meshvm.yaml",
        &file.replace("namespace: ext", "namespace: gone"),
    );
    let refused = run(&ground, &sandbox, "validate --online").await.exits(1);
    assert!(refused.stderr.contains("MV101"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_on_its_way_out_is_told_before_anything_is_made() {
    let ground = Ground::new().await;
    let namespaces = ground.api("v1", "Namespace", None);
    // A finalizer of somebody keeps what is deleted.
    let kept = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kept", "namespace": NAMESPACE, "finalizers": ["example.com/keep"]}});
    ground.create(kept).await;
    namespaces
        .delete(NAMESPACE, &Default::default())
        .await
        .unwrap();
    let sandbox = Sandbox::with(FILE);
    for line in ["validate --online --format json", "apply -y --format json"] {
        let refused = run(&ground, &sandbox, line).await.exits(1).json();
        let found = refused["error"]["diagnostics"].as_array().unwrap().clone();
        let found = found.iter().filter(|found| found["code"] == "MV105");
        let mut fields: Vec<&Value> = found.map(|found| &found["place"]["field"]).collect();
        fields.sort_by_key(|field| field.to_string());
        let wanted = [
            "fleets.outside.external.namespace",
            "fleets.web.membership.namespace",
        ];
        assert_eq!(fields, wanted, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_allowed_in_a_namespace_to_come_is_told_before_it_is_made() {
    let ground = Ground::new().await;
    root_cert(&ground, "istio-system").await;
    let file = FILE
        .replace("context: lab,", "context: lab, createNamespaces: true,")
        .replace("namespace: vm", "namespace: elsewhere");
    let sandbox = Sandbox::with(&file);
    let told = run(&ground, &sandbox, "validate --online").await.exits(0);
    let refused = run(&ground, &sandbox, "apply -y").await.exits(1);
    run(&ground, &sandbox, "plan --out plan.json")
        .await
        .exits(0);
    let saved = run(&ground, &sandbox, "apply plan.json").await.exits(1);
    for told in [told.stderr, refused.stderr, saved.stderr] {
        for part in ["MV103", "create namespaces, get serviceaccounts"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    let namespaces = ground.api("v1", "Namespace", None);
    assert!(namespaces.get_opt("elsewhere").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_needs_rights_for_kinds_that_the_stack_has_not() {
    let ground = Ground::new().await;
    let roles = ground.api("rbac.authorization.k8s.io/v1", "Role", Some(NAMESPACE));
    let role = roles.get("meshvm-apply").await.unwrap();
    let mut rules = role.data["rules"].clone();
    rules[1]["resources"] = json!(["workloadgroups", "workloadentries", "serviceentries"]);
    let patch = Patch::Merge(json!({ "rules": rules }));
    let how = PatchParams::default();
    roles.patch("meshvm-apply", &how, &patch).await.unwrap();
    let sandbox = Sandbox::with(FILE);
    let told = run(&ground, &sandbox, "validate --online").await.exits(0);
    assert!(!told.stderr.contains("MV103"), "{}", told.stderr);
    let sidecars = ground.sidecars();
    run(&ground, &sandbox, "apply -y").await.exits(0);
    drop(sidecars);

    // What the file had of a kind before is still to be deleted.
    ground
        .create(json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "web", "namespace": NAMESPACE, "labels": {"meshvm-stack": "shop"}},
            "spec": {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web"}}]}]},
        }))
        .await;
    for line in ["apply -y", "destroy -y"] {
        let refused = run(&ground, &sandbox, line).await.exits(1).stderr;
        assert!(
            refused.contains("`vm`: get virtualservices, delete virtualservices"),
            "{refused}"
        );
        assert!(!refused.contains("destinationrules"), "{refused}");
    }
}
