//! Looking up what a block names, and whether such machines can be had.

use std::collections::BTreeSet;

use meshvm_provider_api::{Effort, ErrorClass, Growth};
use meshvm_provider_azure::{denied, policy};
use serde_json::json;

use crate::ground::{Ground, counts, on_arm};

#[test]
fn the_newest_version_is_taken_and_what_a_plan_froze_is_not_looked_up_again() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let named = ground.named(&json!({}));
        let provider = ground.open(&named).await;
        let frozen = provider.prepare(&named, Effort::Look).await.unwrap();
        let image = frozen.attributes["image"].as_str().unwrap();
        assert_eq!(image, "debian:debian-12:12-gen2:0.20261010.10");
        let calls = [
            ("VirtualMachineImages.list", 1),
            ("VirtualMachineImages.get", 1),
        ];
        assert_eq!(ground.calls(), counts(&calls));
        let again = provider.prepare(&frozen, Effort::Look).await.unwrap();
        assert_eq!(again, frozen);
        assert_eq!(ground.calls(), counts(&[]));
    });
}

#[test]
fn what_cannot_be_had_is_told_before_anything_is_made() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        ground.arm.make("other", &json!({}));
        let one = || Growth::from([("1".to_owned(), 1)]);
        use ErrorClass::{Capacity, Invalid, NotFound};
        let image = |sku: &str| json!({"publisher": "Debian", "offer": "debian-12", "sku": sku});
        for (change, growth, class, what) in [
            (json!({"image": image("none")}), None, NotFound, "none"),
            (
                json!({"resourceGroup": "none", "subnet": "net/default"}),
                Some(one()),
                NotFound,
                "none",
            ),
            (
                json!({"subnet": "net/none"}),
                Some(one()),
                NotFound,
                "net/none",
            ),
            (
                json!({"networkSecurityGroup": "none"}),
                Some(one()),
                NotFound,
                "none",
            ),
            (
                json!({"networkSecurityGroup": "far"}),
                Some(one()),
                Invalid,
                "northeurope",
            ),
            (
                json!({"vmSize": "Standard_None"}),
                Some(one()),
                NotFound,
                "Standard_None",
            ),
            (
                json!({"image": image("12-arm64")}),
                Some(one()),
                Invalid,
                "Arm64",
            ),
            (json!({"image": image("12")}), Some(one()), Invalid, "V1"),
            (
                json!({"vmSize": "Standard_M8ms"}),
                Some(one()),
                Invalid,
                "trusted",
            ),
            (
                json!({"vmSize": "Standard_D2as_v5", "zones": ["1", "3"]}),
                Some(one()),
                Capacity,
                "zone 3",
            ),
        ] {
            let named = ground.named(&change);
            let provider = ground.open(&named).await;
            let answer = match growth {
                None => provider.prepare(&named, Effort::Look).await.map(drop),
                Some(growth) => provider.check(&named, &growth).await.map(drop),
            };
            let error = answer.unwrap_err();
            assert_eq!(error.class, class, "{change}: {error}");
            assert!(error.message.contains(what), "{change}: {}", error.message);
        }
        ground.arm.behave(|now| now.cores = 3);
        let named = ground.named(&json!({}));
        let provider = ground.open(&named).await;
        let error = provider.check(&named, &one()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Quota, "{error}");
        assert!(error.message.contains("1 of 3"), "{}", error.message);
        let machines = ground.arm.machines();
        assert_eq!(machines.len(), 1, "nothing was made");
    });
}

#[test]
fn what_these_credentials_may_not_is_told_at_once_and_only_where_it_is_needed() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let block = json!({"networkSecurityGroup": "mesh", "subnet": "net/default"});
        let template = ground.template(&block).await;
        let provider = ground.open(&template).await;
        let one = || Growth::from([("1".to_owned(), 1)]);
        let least = policy::least(&[]);
        let least = least["Actions"].as_array().unwrap().iter();
        let least: BTreeSet<String> = least.map(|it| it.as_str().unwrap().to_owned()).collect();
        let without = |rights: &[&str]| {
            let mut role = least.clone();
            for right in rights {
                assert!(role.remove(*right), "{right} is in the role");
            }
            ground.arm.behave(|now| now.role = Some(role));
        };
        without(&[]);
        provider.check(&template, &one()).await.unwrap();
        assert_eq!(denied(&template).await.unwrap(), [""; 0]);
        for (lacking, on) in [
            (
                "Microsoft.Compute/virtualMachines/write",
                "resource group `shop`",
            ),
            ("Microsoft.Compute/disks/write", "resource group `shop`"),
            (
                "Microsoft.Network/networkInterfaces/join/action",
                "resource group `shop`",
            ),
            (
                "Microsoft.Network/virtualNetworks/subnets/join/action",
                "subnet `net/default`",
            ),
            (
                "Microsoft.Network/networkSecurityGroups/join/action",
                "network security group `mesh`",
            ),
        ] {
            without(&[lacking]);
            let error = provider.check(&template, &one()).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::PermissionDenied, "{error}");
            let told = format!("these credentials lack {lacking} on {on}");
            assert_eq!(error.message, told);
            let told = format!("{lacking} on {on}");
            assert_eq!(denied(&template).await.unwrap(), [told]);
        }
        // What it does not take it does not ask for.
        let public = "Microsoft.Network/publicIPAddresses/join/action";
        without(&[public]);
        provider.check(&template, &one()).await.unwrap();
        let with_address = ground.template(&json!({"publicAddress": true})).await;
        let error = provider.check(&with_address, &one()).await.unwrap_err();
        assert!(error.message.contains(public), "{}", error.message);
        // Deleting is no part of making, and doctor tells it.
        let delete = "Microsoft.Compute/virtualMachines/delete";
        without(&[delete]);
        provider.check(&template, &one()).await.unwrap();
        let told = format!("{delete} on resource group `shop`");
        assert_eq!(denied(&template).await.unwrap(), [told]);
        // Who may not ask learns it from the calls.
        without(&["Microsoft.Authorization/permissions/read"]);
        provider.check(&template, &one()).await.unwrap();
    });
}

#[test]
fn a_subnet_that_is_full_is_told() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        // Of eight addresses five are Azure's own.
        let template = ground.template(&json!({"subnet": "net/tiny"})).await;
        let provider = ground.open(&template).await;
        let one = || Growth::from([("1".to_owned(), 1)]);
        provider.check(&template, &one()).await.unwrap();
        ground.make(&template, 3).await;
        let error = provider.check(&template, &one()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Capacity);
        assert!(error.message.contains("net/tiny"), "{}", error.message);
    });
}
