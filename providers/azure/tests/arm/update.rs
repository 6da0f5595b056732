//! Changing machines in place.

use meshvm_arm::Refusal;
use meshvm_provider_api::{ErrorClass, Power};
use serde_json::json;

use crate::ground::{Ground, ids, on_arm};

#[test]
fn another_size_stops_the_machine_and_starts_it_again() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let template = ground.template(&json!({})).await;
        let made = ground.make(&template, 2).await;
        ground.arm.stop(&made[1].name);
        let larger = ground.template(&json!({"vmSize": "Standard_D4s_v5"})).await;
        ground.calls();
        ground.update(&larger, &made, &["vmSize"]).await.unwrap();
        let calls = ground.calls();
        assert_eq!(calls["VirtualMachines.deallocate"], 2, "{calls:?}");
        assert_eq!(
            calls["VirtualMachines.start"], 1,
            "one was stopped before: {calls:?}"
        );
        let machines = ground.arm.machines();
        assert!(
            machines
                .iter()
                .all(|machine| machine.size == "Standard_D4s_v5")
        );
        let running = machines.iter().filter(|it| it.power == Some("running"));
        assert_eq!(running.count(), 1);
    });
}

#[test]
fn a_change_by_others_between_reading_and_writing_is_kept() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let template = ground.template(&json!({"tags": {"a": "1"}})).await;
        let made = ground.make(&template, 1).await;
        let refusal = meshvm_arm::Refusal::new(
            "VirtualMachines.update",
            412,
            "PreconditionFailed",
            "Another version.",
        );
        ground.arm.behave(|now| now.refusals.push(refusal));
        ground.arm.tag(&made[0].name, "billed-by", "finance");
        let after = ground.template(&json!({"tags": {"a": "2"}})).await;
        ground.update(&after, &made, &["tags.a"]).await.unwrap();
        let tags = ground.arm.machines().remove(0).tags;
        assert_eq!(
            (tags["a"].as_str(), tags["billed-by"].as_str()),
            ("2", "finance")
        );
    });
}

#[test]
fn what_is_so_already_is_not_sent() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let block = json!({"tags": {"a": "1"}, "networkSecurityGroup": "mesh"});
        let template = ground.template(&block).await;
        let made = ground.make(&template, 1).await;
        ground.calls();
        let all = ["tags.a", "networkSecurityGroup", "vmSize"];
        ground.update(&template, &made, &all).await.unwrap();
        let calls = ground.calls();
        assert!(!calls.contains_key("VirtualMachines.update"), "{calls:?}");
        assert!(
            !calls.contains_key("NetworkInterfaces.create_or_update"),
            "{calls:?}"
        );
        let error = ground
            .update(&template, &made, &["image"])
            .await
            .unwrap_err();
        assert_eq!(error.class, ErrorClass::Invalid);
    });
}

#[test]
fn identities_come_and_go() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let id = |name: &str| {
            format!(
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
            )
        };
        let before = ground
            .template(&json!({"identity": {"user": [id("a"), id("b")]}}))
            .await;
        let made = ground.make(&before, 1).await;
        let after = ground
            .template(&json!({"identity": {"system": true, "user": [id("b")]}}))
            .await;
        let listed = ground.list(&after).await;
        let mut differs = ground.differences(&after, &listed);
        differs.sort();
        assert_eq!(differs, ["identity.system", "identity.user"]);
        let all = ["identity.system", "identity.user"];
        ground.update(&after, &made, &all).await.unwrap();
        let listed = ground.list(&after).await;
        assert_eq!(ground.differences(&after, &listed), [""; 0]);
        assert_eq!(ids(&listed), ids(&made));
    });
}

#[test]
fn another_size_is_the_next_one_where_there_is_no_room_for_the_first() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let before = ground.template(&json!({})).await;
        let made = ground.make(&before, 1).await;
        let sizes = json!({"vmSize": ["Standard_D4s_v5", "Standard_D2as_v5"]});
        let after = ground.template(&sizes).await;
        let refusal = Refusal::new("VirtualMachines.start", 409, "AllocationFailed", "No room.");
        ground.arm.behave(|now| now.refusals.push(refusal));
        ground.update(&after, &made, &["vmSize"]).await.unwrap();
        let listed = ground.list(&after).await;
        assert_eq!(listed[0].attributes["vmSize"], "Standard_D2as_v5");
        assert_eq!(listed[0].power, Power::Running);
    });
}
