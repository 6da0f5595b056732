//! Names, specs and conditions of entries.

use super::*;

fn node() -> Node {
    Node {
        id: "sidecar~10.0.0.7~web-1.vm~vm.svc.cluster.local".to_owned(),
        namespace: "vm".to_owned(),
        service_account: "web".to_owned(),
        addresses: vec!["10.0.0.7".to_owned(), "fd00::7".to_owned()],
        auto_register_group: "web".to_owned(),
        labels: [("version".to_owned(), "2".to_owned())].into(),
        ..Node::default()
    }
}

#[test]
fn a_registered_entry_is_named_by_group_address_and_network() {
    assert_eq!(own(&node()).unwrap().name, "web-10.0.0.7");
    let mut other = node();
    other.network = "vms".to_owned();
    other.addresses = vec!["fd00::7".to_owned()];
    assert_eq!(own(&other).unwrap().name, "web-fd00--7-vms");
    other.auto_register_group = "g".repeat(300);
    let name = own(&other).unwrap().name;
    assert_eq!(name.len(), 253);
    assert!(name.ends_with("-fd00--7-vms"));
    let nameless = Node::default();
    assert_eq!(own(&nameless), None);
}

#[test]
fn what_the_node_says_counts_more_than_its_group() {
    let group: GroupSpec = serde_json::from_value(json!({
        "metadata": { "labels": { "app": "web", "version": "1" } },
        "template": {
            "labels": { "app": "old" },
            "ports": { "http": 8080 },
            "serviceAccount": "web",
            "network": "group",
        },
    }))
    .unwrap();
    let spec = registered_spec(&node(), group);
    assert_eq!(
        spec,
        json!({
            "address": "10.0.0.7",
            "labels": { "app": "web", "version": "2" },
            "network": "group",
            "serviceAccount": "web",
            "ports": { "http": 8080 },
        })
    );
}

#[test]
fn a_condition_is_replaced_and_the_others_stay() {
    let other = json!({ "type": "Other", "status": "True" });
    let first = conditions(std::slice::from_ref(&other), Some((true, "")), "t1");
    assert_eq!(first[0], other);
    assert_eq!(first[1]["status"], "True");
    assert_eq!(conditions(&first, Some((true, "")), "t2"), first);
    let bad = conditions(&first, Some((false, "no answer")), "t2");
    assert_eq!(bad[1]["lastTransitionTime"], "t2");
    let worse = conditions(&bad, Some((false, "worse")), "t3");
    assert_eq!(worse[1]["lastTransitionTime"], "t2");
    assert_eq!(worse[1]["lastProbeTime"], "t3");
    assert_eq!(conditions(&worse, None, "t4"), [other]);
}

#[test]
fn an_entry_is_its_service_accounts() {
    let own = own(&node()).unwrap();
    let identity = |namespace: &str, account: &str| Identity {
        namespace: namespace.to_owned(),
        service_account: account.to_owned(),
    };
    assert!(matches_identity(&own, "web", &identity("vm", "web")).is_ok());
    assert!(matches_identity(&own, "", &identity("vm", "any")).is_ok());
    for other in [identity("vm", "any"), identity("elsewhere", "web")] {
        let refused = matches_identity(&own, "web", &other).unwrap_err();
        assert!(refused.message().contains("mismatch"), "{refused}");
    }
}
