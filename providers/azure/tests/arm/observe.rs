//! Listing machines: in pages, with their states.

use meshvm_provider_api::Power;
use serde_json::json;

use crate::ground::{Ground, counts, ids, on_arm};

#[test]
fn every_page_is_read_and_no_machine_is_asked_for() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let template = ground.template(&json!({})).await;
        ground.arm.behave(|now| now.page = 5);
        ground.make(&template, 11).await;
        ground.calls();
        assert_eq!(ground.list(&template).await.len(), 11);
        let cost = [
            ("VirtualMachines.list", 3),
            ("VirtualMachines.list_all", 3),
            ("NetworkInterfaces.list", 3),
        ];
        assert_eq!(ground.calls(), counts(&cost));
    });
}

#[test]
fn each_state_is_told() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let template = ground.template(&json!({})).await;
        let made = ids(&ground.make(&template, 3).await);
        ground.arm.stop(&made[0].0);
        ground.arm.end(&made[1].0);
        let listed = ground.list(&template).await;
        let power = |index: usize| {
            let machine = listed.iter().find(|machine| machine.id == made[index]);
            machine.map(|machine| machine.power)
        };
        let seen = [power(0), power(1), power(2)];
        assert_eq!(seen, [Some(Power::Stopped), None, Some(Power::Running)]);
        assert!(listed.iter().all(|machine| machine.address.is_some()));
    });
}

#[test]
fn a_group_that_is_not_there_yet_has_no_machines() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let block = json!({"resourceGroup": "later", "createResourceGroup": true});
        let template = ground.template(&block).await;
        assert_eq!(ground.list(&template).await, []);
    });
}
