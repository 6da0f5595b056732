//! What machines that went wrong leave behind is found and removed.

use meshvm_arm::Refusal;
use meshvm_provider_api::{ErrorClass, Labels, Power, Update, labels};
use serde_json::json;

use crate::ground::{Ground, batch, ids, on_arm};

#[test]
fn an_interface_that_a_refused_machine_left_goes_at_once() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let template = ground.template(&json!({"publicAddress": true})).await;
        let mut refusal = Refusal::new(
            "VirtualMachines.create_or_update",
            409,
            "OperationNotAllowed",
            "Exceeding approved standardDSv5Family Cores quota.",
        );
        refusal.leaves_interface = true;
        ground.arm.behave(|now| now.refusals.push(refusal));
        let error = ground.create(&batch(&template, 1)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Quota);
        assert!(error.hint.unwrap().contains("list-usage"));
        assert_eq!(ground.arm.parts(), [""; 0]);
    });
}

#[test]
fn what_is_left_of_a_machine_is_listed_as_broken_and_deleted() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let template = ground.template(&json!({"publicAddress": true})).await;
        let made = ground.make(&template, 2).await;
        ground.arm.end_without_the_rest(&made[0].name);
        // An interface, its address and a disk are left of one; the other is whole.
        assert_eq!(ground.arm.parts().len(), 3 + 4);
        let listed = ground.list(&template).await;
        let broken: Vec<_> = listed
            .iter()
            .filter(|machine| machine.power == Power::Broken)
            .cloned()
            .collect();
        assert_eq!(ids(&broken), ids(&made[..1]));
        assert_eq!(broken[0].labels["meshvm-fleet"], "web");
        ground.delete(&template, &broken).await;
        assert_eq!(ground.arm.parts().len(), 4);
        assert_eq!(ids(&ground.list(&template).await), ids(&made[1..]));
    });
}

#[test]
fn what_is_left_of_another_stacks_machine_stays() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let template = ground.template(&json!({})).await;
        let made = ground.make(&template, 1).await;
        ground.arm.end_without_the_rest(&made[0].name);
        let provider = ground.open(&template).await;
        let answer = provider.delete("other", &ids(&made)).await;
        assert_eq!(answer.unwrap_err().class, ErrorClass::Conflict);
        assert_eq!(ground.arm.parts().len(), 2);
    });
}

#[test]
fn what_an_adopted_machine_was_made_with_goes_as_its_owner_said() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let template = ground.template(&json!({})).await;
        ground.arm.make(
            "db-1",
            &json!({"meshvm-stack": "shop", "meshvm-fleet": "web"}),
        );
        let listed = ground.list(&template).await;
        assert_eq!(listed.len(), 1);
        ground.delete(&template, &listed).await;
        // Its own interface and disk were to be kept.
        assert_eq!(ground.arm.machines(), []);
        assert_eq!(ground.arm.parts().len(), 2);
    });
}

#[test]
fn what_belongs_to_a_machine_that_was_let_go_is_its_new_owners() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let block = json!({"publicAddress": true, "tags": {"team": "a"}});
        let template = ground.template(&block).await;
        let made = ground.make(&template, 2).await;
        let update = Update {
            machines: ids(&made[..1]),
            template: None,
            attributes: Vec::new(),
            start: false,
            set_labels: Labels::new(),
            remove_labels: labels::ALL.map(str::to_owned).to_vec(),
        };
        ground.open(&template).await.update(&update).await.unwrap();
        let sent = ["NetworkInterfaces", "PublicIPAddresses"].map(|kind| {
            let sent = ground.arm.sent(&format!("{kind}.update_tags"));
            assert_eq!(sent.len(), 1, "{kind}");
            sent[0]["tags"].clone()
        });
        assert_eq!(sent, [json!({"team": "a"}), json!({"team": "a"})]);
        // Its owner deletes it, and keeps the rest.
        ground.arm.end_without_the_rest(&made[0].name);
        let listed = ground.list(&template).await;
        assert_eq!(ids(&listed), ids(&made[1..]), "nothing is left over");
    });
}
