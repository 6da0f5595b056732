//! What is written about machines: health, and entries that they register.

use kube::ResourceExt as _;
use kube::api::{DeleteParams, DynamicObject};
use meshvm_lab_agent::credentials::{Peer, authorized, connect};
use meshvm_lab_agent::wire::discovery::DiscoveryClient;
use meshvm_lab_agent::wire::{HealthReport, Node};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::{Lab, Machine, eventually, make, until};

const CHECKED: &str = "proxy.istio.io/health-checks-enabled";

async fn report(machine: &Machine, node: Node, healthy: bool) -> Result<(), Status> {
    let channel = connect(&machine.settings, Peer::Discovery).await.unwrap();
    let report = HealthReport {
        node: Some(node),
        healthy,
        message: if healthy { "" } else { "no answer" }.to_owned(),
    };
    let request = authorized(&machine.settings, report);
    DiscoveryClient::new(channel)
        .report(request)
        .await
        .map(drop)
}

fn condition(entry: &DynamicObject) -> Option<Value> {
    let conditions = entry.data["status"]["conditions"].as_array()?;
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == "Healthy");
    found.cloned()
}

async fn lab_with_entry(annotations: Value) -> (Lab, Machine, Node) {
    let lab = Lab::new().await;
    let spec = json!({ "address": "10.0.0.7", "serviceAccount": "web" });
    lab.make_entry("web-1", annotations, spec).await;
    let machine = lab.machine("web").await;
    let mut node = machine.node();
    node.workload_entry = "web-1".to_owned();
    (lab, machine, node)
}

#[tokio::test]
async fn a_report_lands_in_the_status_and_leaves_with_the_machine() {
    let (lab, machine, node) = lab_with_entry(json!({ CHECKED: "true" })).await;
    let entries = lab.entries();
    let mut stream = machine.watch(node.clone()).await.unwrap();
    until(&mut stream, |_| true).await;
    let entry = entries.get("web-1").await.unwrap();
    assert!(entry.annotations().contains_key("istio.io/connectedAt"));

    report(&machine, node.clone(), true).await.unwrap();
    let healthy = condition(&entries.get("web-1").await.unwrap()).unwrap();
    assert_eq!(healthy["status"], "True");
    report(&machine, node, false).await.unwrap();
    let unhealthy = condition(&entries.get("web-1").await.unwrap()).unwrap();
    assert_eq!(unhealthy["status"], "False");
    assert_eq!(unhealthy["message"], "no answer");

    drop(stream);
    eventually("the condition is gone", async || {
        let entry = entries.get("web-1").await.unwrap();
        condition(&entry).is_none() && entry.annotations().contains_key("istio.io/disconnectedAt")
    })
    .await;
    let entry = entries.get("web-1").await.unwrap();
    assert!(!entry.annotations().contains_key("istio.io/connectedAt"));
    assert_eq!(entry.data["spec"]["address"], "10.0.0.7");
}

#[tokio::test]
async fn an_entry_without_the_annotation_is_never_touched() {
    let (lab, machine, node) = lab_with_entry(json!({})).await;
    let before = lab.entries().get("web-1").await.unwrap();
    let mut stream = machine.watch(node.clone()).await.unwrap();
    until(&mut stream, |_| true).await;
    report(&machine, node, true).await.unwrap();
    drop(stream);
    let after = lab.entries().get("web-1").await.unwrap();
    assert_eq!(before.resource_version(), after.resource_version());
}

#[tokio::test]
async fn nobody_reports_for_another() {
    let (lab, _, node) = lab_with_entry(json!({ CHECKED: "true" })).await;
    let other = lab.machine("db").await;
    let status = report(&other, node.clone(), false).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let mut own_account = node;
    own_account.service_account = "db".to_owned();
    let status = report(&other, own_account, false).await.unwrap_err();
    assert!(status.message().contains("mismatch"), "{status}");
    assert_eq!(condition(&lab.entries().get("web-1").await.unwrap()), None);
}

async fn make_group(lab: &Lab) -> DynamicObject {
    let group = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "metadata": { "name": "web" },
        "spec": {
            "metadata": { "labels": { "app": "web" } },
            "template": { "ports": { "http": 8080 }, "serviceAccount": "web" },
            "probe": { "httpGet": { "port": 8080 } },
        },
    });
    make(&lab.groups(), group).await
}

#[tokio::test]
async fn a_machine_registers_itself_and_is_gone_when_it_is() {
    let lab = Lab::new().await;
    let group = make_group(&lab).await;
    let machine = lab.machine("web").await;
    let mut node = machine.node();
    node.auto_register_group = "web".to_owned();
    node.network = "vms".to_owned();
    let mut stream = machine.watch(node.clone()).await.unwrap();
    until(&mut stream, |_| true).await;

    let entry = lab.entries().get("web-10.0.0.7-vms").await.unwrap();
    let owners = entry.owner_references();
    assert_eq!(Some(&owners[0].uid), group.uid().as_ref());
    assert_eq!((owners.len(), owners[0].controller), (1, Some(true)));
    let annotations = entry.annotations();
    assert_eq!(annotations["istio.io/autoRegistrationGroup"], "web");
    assert_eq!(annotations[CHECKED], "true");
    assert!(annotations.contains_key("istio.io/connectedAt"));
    assert!(annotations.contains_key("istio.io/workloadController"));
    let spec = json!({
        "address": "10.0.0.7",
        "labels": { "app": "web" },
        "network": "vms",
        "ports": { "http": 8080 },
        "serviceAccount": "web",
    });
    assert_eq!(entry.data["spec"], spec);

    // A machine that comes back in time keeps its entry.
    drop(stream);
    let mut again = machine.watch(node).await.unwrap();
    until(&mut again, |_| true).await;
    let kept = lab.entries().get("web-10.0.0.7-vms").await.unwrap();
    assert_eq!(kept.uid(), entry.uid());

    drop(again);
    eventually("the entry is gone", async || {
        let found = lab.entries().get_opt("web-10.0.0.7-vms").await;
        found.unwrap().is_none()
    })
    .await;
}

#[tokio::test]
async fn a_group_takes_what_was_registered_in_it_along() {
    let lab = Lab::new().await;
    make_group(&lab).await;
    let machine = lab.machine("web").await;
    let mut node = machine.node();
    node.auto_register_group = "web".to_owned();
    let mut stream = machine.watch(node).await.unwrap();
    until(&mut stream, |_| true).await;
    let deleted = lab.groups().delete("web", &DeleteParams::default()).await;
    deleted.unwrap();
    eventually("the entry is gone", async || {
        let found = lab.entries().get_opt("web-10.0.0.7").await;
        found.unwrap().is_none()
    })
    .await;
}

#[tokio::test]
async fn nobody_registers_in_the_group_of_another_account() {
    let lab = Lab::new().await;
    make_group(&lab).await;
    let machine = lab.machine("db").await;
    let mut node = machine.node();
    node.auto_register_group = "web".to_owned();
    let refused = machine.watch(node).await.unwrap_err();
    assert!(refused.message().contains("mismatch"), "{refused}");
    assert!(
        lab.entries()
            .get_opt("web-10.0.0.7")
            .await
            .unwrap()
            .is_none()
    );
}
