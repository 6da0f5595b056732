//! Which nodes are not talked to.

use meshvm_lab_agent::wire::Node;
use serde_json::json;
use tonic::{Code, Status};

use super::{Lab, Machine};

async fn refused(machine: &Machine, node: Node) -> Status {
    match machine.watch(node).await {
        Err(status) => status,
        Ok(_) => panic!("the node is talked to"),
    }
}

#[tokio::test]
async fn a_node_without_its_entry() {
    let lab = Lab::new().await;
    let machine = lab.machine("web").await;
    let mut node = machine.node();
    node.workload_entry = "web-1".to_owned();
    let status = refused(&machine, node.clone()).await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("vm/web-1"), "{status}");
    // Once it is there, the same node is welcome.
    lab.make_entry(
        "web-1",
        json!({}),
        json!({ "address": "10.0.0.7", "serviceAccount": "web" }),
    )
    .await;
    machine.watch(node).await.unwrap();
}

#[tokio::test]
async fn a_node_with_the_entry_of_another_account() {
    let lab = Lab::new().await;
    lab.make_entry(
        "db-1",
        json!({}),
        json!({ "address": "10.0.0.8", "serviceAccount": "db" }),
    )
    .await;
    let machine = lab.machine("web").await;
    let mut node = machine.node();
    node.workload_entry = "db-1".to_owned();
    let status = refused(&machine, node).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(
        status
            .message()
            .contains("registration of WorkloadEntry vm/db-1 mismatch")
    );
}

#[tokio::test]
async fn a_node_that_says_it_is_another() {
    let lab = Lab::new().await;
    let machine = lab.machine("web").await;
    let (mut account, mut namespace) = (machine.node(), machine.node());
    account.service_account = "db".to_owned();
    namespace.namespace = "istio-system".to_owned();
    for node in [account, namespace] {
        let status = refused(&machine, node).await;
        assert_eq!(status.code(), Code::PermissionDenied);
        let said = "no identities ([spiffe://cluster.local/ns/vm/sa/web]) matched";
        assert!(status.message().contains(said), "{status}");
    }
}

#[tokio::test]
async fn a_node_of_a_group_that_is_not_there() {
    let lab = Lab::new().await;
    let machine = lab.machine("web").await;
    let mut node = machine.node();
    node.auto_register_group = "web".to_owned();
    let status = refused(&machine, node).await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(
        status
            .message()
            .contains("cannot find WorkloadGroup vm/web"),
        "{status}"
    );
}

#[tokio::test]
async fn a_node_without_token_or_certificate() {
    let lab = Lab::new().await;
    let machine = lab.machine_with("web", None);
    let status = refused(&machine, machine.node()).await;
    assert_eq!(status.code(), Code::Unauthenticated);
}
