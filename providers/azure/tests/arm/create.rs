//! Making machines: what is sent, how often, and what comes of too little room.

use meshvm_arm::{Manners, Refusal, Way};
use meshvm_provider_api::{ErrorClass, Growth, Kind as _, NoPrivateFiles, Template, labels};
use serde_json::json;

use crate::ground::{Ground, STACK, batch, counts, ids, on_arm};

const PUT: &str = "VirtualMachines.create_or_update";

#[test]
fn a_machine_is_one_call_with_all_that_belongs_to_it() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let template = ground.template(&json!({"publicAddress": true})).await;
        ground.calls();
        let batch = batch(&template, 5);
        let created = ground.create(&batch).await.unwrap();
        assert_eq!(created.machines.len(), 5);
        let expected = [
            ("VirtualMachines.list", 1),
            ("VirtualMachines.get", 1),
            (PUT, 5),
            ("Operations.get", 5),
            ("NetworkInterfaces.list", 1),
        ];
        let sent = ground.arm.sent(PUT);
        assert_eq!(ground.calls(), counts(&expected));
        let names: Vec<&str> = created.machines.iter().map(|it| it.name.as_str()).collect();
        assert!(
            names.contains(&batch.key.machine_name("web", 4).as_str()),
            "{names:?}"
        );
        let nic = &sent[0]["properties"]["networkProfile"]["networkInterfaceConfigurations"][0];
        let public =
            &nic["properties"]["ipConfigurations"][0]["properties"]["publicIPAddressConfiguration"];
        let disk = &sent[0]["properties"]["storageProfile"]["osDisk"];
        for (what, option) in [
            ("interface", &nic["properties"]),
            ("address", &public["properties"]),
            ("disk", disk),
        ] {
            assert_eq!(option["deleteOption"], "Delete", "{what}");
        }
        for tags in [&sent[0]["tags"], &nic["tags"], &public["tags"]] {
            for label in labels::ALWAYS {
                assert!(tags[label].is_string(), "{label} in {tags}");
            }
        }
        let security = &sent[0]["properties"]["securityProfile"];
        assert_eq!(security["securityType"], "TrustedLaunch");
        assert_eq!(security["uefiSettings"]["secureBootEnabled"], json!(true));
        ground.delete(&template, &created.machines).await;
        assert_eq!(ground.arm.parts(), [""; 0]);
    });
}

#[test]
fn a_lost_reply_makes_nothing_twice_though_listings_lag() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let template = ground.template(&json!({})).await;
        ground.arm.behave(|now| {
            now.lag = 50;
            now.lose_every = 2;
        });
        let batch = batch(&template, 3);
        // The second call of the same name says that it is there.
        let created = ground.create(&batch).await.unwrap();
        assert!(ground.arm.lost() >= 2);
        ground.arm.behave(|now| now.lose_every = 0);
        let again = ground.create(&batch).await.unwrap();
        ground.arm.settle();
        assert_eq!(ids(&again.machines), ids(&created.machines));
        assert_eq!(ground.arm.machines().len(), 3);
    });
}

#[test]
fn the_next_size_is_taken_for_what_one_has_no_room_for() {
    on_arm(async |authority| {
        let ground = Ground::with(
            &authority,
            Manners {
                room: [("Standard_D2s_v5".to_owned(), 2)].into(),
                ..Manners::default()
            },
        )
        .await;
        let sizes = json!({"vmSize": ["Standard_D2s_v5", "Standard_D2as_v5"], "zones": ["1"]});
        let template = ground.template(&sizes).await;
        let created = ground.create(&batch(&template, 5)).await.unwrap();
        assert_eq!(created.shortfall, None);
        let mut sizes: Vec<String> = ground
            .arm
            .machines()
            .into_iter()
            .map(|it| it.size)
            .collect();
        sizes.sort();
        let (other, first) = ("Standard_D2as_v5", "Standard_D2s_v5");
        assert_eq!(sizes, [other, other, other, first, first]);
        assert_eq!(ground.differences(&template, &created.machines), [""; 0]);
        // Those that failed left nothing: a machine, an interface and a disk each.
        assert_eq!(ground.arm.parts().len(), 15);
    });
}

#[test]
fn what_an_earlier_run_began_and_could_not_be_made_is_made_of_another_size() {
    on_arm(async |authority| {
        let ground = Ground::with(
            &authority,
            Manners {
                room: [("Standard_D2s_v5".to_owned(), 1)].into(),
                pending: 4,
                // The reply of every second change is lost, and with it where to look.
                lose_every: 2,
                way: Way::State,
                ..Manners::default()
            },
        )
        .await;
        let sizes = json!({"vmSize": ["Standard_D2s_v5", "Standard_D2as_v5"]});
        let template = ground.template(&sizes).await;
        let batch = batch(&template, 4);
        let provider = ground.patient(&template).await;
        let created = provider.create(&batch, &NoPrivateFiles).await.unwrap();
        assert_eq!((created.machines.len(), created.shortfall), (4, None));
        let machines = ground.arm.machines();
        assert!(
            machines.iter().all(|it| it.power == Some("running")),
            "{machines:?}"
        );
        assert_eq!(ground.arm.parts().len(), 12);
    });
}

#[test]
fn a_zone_without_room_hands_on_to_the_next() {
    on_arm(async |authority| {
        let ground = Ground::with(
            &authority,
            Manners {
                full: ["1".to_owned()].into(),
                ..Manners::default()
            },
        )
        .await;
        let template = ground.template(&json!({"zones": ["1", "2"]})).await;
        let asked = batch(&template, 3);
        let created = ground.create(&asked).await.unwrap();
        assert_eq!((created.machines.len(), created.shortfall), (3, None));
        for machine in &created.machines {
            assert_eq!(machine.zone, template.zones[1]);
            assert_eq!(machine.labels["meshvm-zone"], template.zones[0]);
        }
        assert_eq!(ground.differences(&template, &created.machines), [""; 0]);
        assert_eq!(ground.arm.parts().len(), 9, "what failed left nothing");
        let again = ground.create(&asked).await.unwrap();
        assert_eq!(ids(&again.machines), ids(&created.machines));
    });
}

#[test]
fn too_little_room_is_a_shortfall_and_none_an_error() {
    on_arm(async |authority| {
        let ground = Ground::with(
            &authority,
            Manners {
                room: [("Standard_D2s_v5".to_owned(), 2)].into(),
                ..Manners::default()
            },
        )
        .await;
        let template = ground.template(&json!({})).await;
        let created = ground.create(&batch(&template, 5)).await.unwrap();
        assert_eq!(created.machines.len(), 2);
        let shortfall = created.shortfall.unwrap();
        assert_eq!(shortfall.class, ErrorClass::Capacity);
        assert!(
            shortfall.message.contains("AllocationFailed"),
            "{shortfall:?}"
        );
        let error = ground.create(&batch(&template, 1)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Capacity);
        assert!(error.hint.unwrap().contains("vmSize"));
        // What the subscription may not have is refused at once, with nothing made.
        ground
            .arm
            .behave(|now| now.unavailable = ["Standard_D4s_v5".to_owned()].into());
        let other = ground.template(&json!({"vmSize": "Standard_D4s_v5"})).await;
        let error = ground.create(&batch(&other, 1)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Capacity);
        assert_eq!(ground.arm.machines().len(), 2);
    });
}

#[test]
fn machines_have_all_that_the_block_asks_for() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let user = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/Web";
        let set =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/diskEncryptionSets/keys";
        let block = json!({
            "zones": ["2"],
            "networkSecurityGroup": "mesh",
            "osDisk": {"size": "64GiB", "type": "StandardSSD_LRS"},
            "dataDisks": [{"lun": 3, "size": "128GiB", "type": "Premium_LRS"}],
            "diskEncryptionSet": set,
            "identity": {"system": true, "user": [user]},
            "spot": {"maxPrice": "0.05", "eviction": "deallocate"},
            "trustedLaunch": false,
            "adminUser": "ops",
            "tags": {"team": "a", "cost-center": "7"},
            "publicAddress": true,
        });
        let template = ground.template(&block).await;
        let made = ground.make(&template, 1).await;
        assert_eq!(made[0].zone, "westeurope-2");
        let listed = ground.list(&template).await;
        assert_eq!(ground.differences(&template, &listed), [""; 0]);
        let sent = ground.arm.sent(PUT).remove(0);
        assert_eq!(
            sent["properties"]["billingProfile"]["maxPrice"],
            json!(0.05)
        );
        let standard = json!({"securityType": "Standard"});
        assert_eq!(sent["properties"]["securityProfile"], standard);
        let plain = ground.template(&json!({"zones": ["2"]})).await;
        let mut differs = ground.differences(&plain, &listed);
        differs.sort();
        let expected = [
            "adminUser",
            "publicAddress",
            "spot",
            "tags.cost-center",
            "tags.team",
            "trustedLaunch",
        ];
        assert_eq!(differs, expected);
        ground.delete(&template, &made).await;
        assert_eq!(ground.arm.parts(), [""; 0]);
    });
}

#[test]
fn terms_of_the_marketplace_are_repeated_and_galleries_are_taken_by_id() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let image = json!({"image": {"publisher": "CIS", "offer": "hardened", "sku": "cis"}});
        let template = ground.template(&image).await;
        ground.make(&template, 1).await;
        let plan = json!({"name": "cis", "publisher": "cis", "product": "hardened"});
        assert_eq!(ground.arm.sent(PUT)[0]["plan"], plan);
        let id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/galleries/shared/images/web/versions/1.0.0";
        let template = ground.template(&json!({"image": id})).await;
        ground.make(&template, 1).await;
        let sent = ground.arm.sent(PUT).remove(1);
        assert_eq!(
            sent["properties"]["storageProfile"]["imageReference"],
            json!({"id": id})
        );
    });
}

#[test]
fn a_template_that_the_cloud_has_not_seen_makes_nothing() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let named = ground.named(&json!({}));
        let provider = ground.open(&named).await;
        let answer = provider.create(&batch(&named, 1), &NoPrivateFiles).await;
        assert_eq!(answer.unwrap_err().class, ErrorClass::Invalid);
        assert_eq!(ground.calls(), counts(&[]));
    });
}

#[test]
fn a_size_whose_quota_is_used_up_leaves_it_to_the_next() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let sizes = json!({"vmSize": ["Standard_D2s_v5", "Standard_D2as_v5"]});
        let template = ground.template(&sizes).await;
        let operation = "VirtualMachines.create_or_update";
        let refusal = Refusal::new(operation, 409, "QuotaExceeded", "No more of this family.");
        ground.arm.behave(|now| now.refusals.push(refusal));
        let made = ground.make(&template, 1).await;
        assert_eq!(made[0].attributes["vmSize"], "Standard_D2as_v5");
    });
}

#[test]
fn spot_machines_have_a_quota_of_their_own() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let template = ground.template(&json!({"spot": {}})).await;
        let provider = ground.open(&template).await;
        let one = || Growth::from([("1".to_owned(), 1)]);
        ground.arm.behave(|now| now.cores = 0);
        provider.check(&template, &one()).await.unwrap();
        ground.make(&template, 1).await;
        ground.arm.behave(|now| now.spot_cores = 3);
        let error = provider.check(&template, &one()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Quota);
        assert!(error.message.contains("1 of 3"), "{}", error.message);
    });
}

#[test]
fn a_deallocated_machine_is_started_and_not_replaced() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let disks = json!({
            "osDisk": {"size": "64GiB", "type": "Premium_LRS"},
            "dataDisks": [{"lun": 0, "size": "8GiB", "type": "Premium_LRS"}],
        });
        let template = ground.template(&disks).await;
        let made = ground.make(&template, 1).await;
        ground.arm.stop(&made[0].name);
        let listed = ground.list(&template).await;
        assert!(!listed[0].attributes.contains_key("osDisk.size"));
        assert_eq!(ground.differences(&template, &listed), [""; 0]);
    });
}

#[test]
fn a_run_that_made_something_in_a_group_leaves_it_whatever_another_location_lists() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let net = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/shop/providers/Microsoft.Network/virtualNetworks/net/subnets/default";
        let block = |location: &str| {
            json!({
                "resourceGroup": "own", "createResourceGroup": true, "subnet": net,
                "location": location,
            })
        };
        let here = ground.template(&block("westeurope")).await;
        let there = ground.template(&block("northeurope")).await;
        let before = ground.make(&there, 1).await;
        // Another run: it makes a machine that ends before the other location's last one goes.
        let context = ground.context();
        let open = async |template: &Template| {
            let opened = ground.kind.open(Some(template), &template.scope, &context);
            opened.await.unwrap()
        };
        let making = open(&here).await;
        let made = making.create(&batch(&here, 1), &NoPrivateFiles).await;
        ground.arm.end_in("own", &made.unwrap().machines[0].name);
        open(&there)
            .await
            .delete(STACK, &ids(&before))
            .await
            .unwrap();
        assert!(ground.arm.has_group("own"));
    });
}

#[test]
fn an_operation_that_cannot_be_seen_takes_no_machine_with_it() {
    on_arm(async |authority| {
        let manners = Manners {
            pending: 2,
            ..Manners::default()
        };
        let ground = Ground::with(&authority, manners).await;
        let template = ground.template(&json!({})).await;
        for (status, code) in [(404, "NotFound"), (403, "AuthorizationFailed")] {
            let refusal = Refusal::new("Operations.get", status, code, "It is not to be seen.");
            ground.arm.behave(|now| now.refusals.push(refusal));
            let made = ground.make(&template, 2).await;
            assert_eq!(made.len(), 2, "{code}");
        }
        assert_eq!(ground.calls().get("VirtualMachines.delete"), None);
        assert_eq!(ground.list(&template).await.len(), 4);
    });
}
