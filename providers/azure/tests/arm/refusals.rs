//! What goes wrong: throttling, rights, endpoints; and that nothing is asked that the role lacks.

use std::collections::{BTreeMap, BTreeSet};

use meshvm_arm::{Authority, Login, Refusal};
use meshvm_provider_api::{ErrorClass, Growth, Labels, Query, Update, labels};
use meshvm_provider_azure::policy::{self, ACTIONS};
use serde_json::json;

use crate::ground::{Ground, STACK, batch, ids, on_arm, on_arm_by};

#[test]
fn being_throttled_slows_down_and_is_no_error() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let template = ground.template(&json!({})).await;
        let operation = "VirtualMachines.create_or_update".to_owned();
        ground
            .arm
            .behave(|now| now.throttle_every = [(operation, 3)].into());
        // No layer retries here: the provider itself does.
        ground.make(&template, 6).await;
        assert!(ground.arm.throttled() > 0, "nothing was throttled");
        assert_eq!(ground.list(&template).await.len(), 6);
    });
}

#[test]
fn refusals_have_their_class_and_what_to_do() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let template = ground.template(&json!({})).await;
        for (code, status, class, hint) in [
            (
                "AuthorizationFailed",
                403,
                ErrorClass::PermissionDenied,
                "doctor --iam azure",
            ),
            ("QuotaExceeded", 409, ErrorClass::Quota, "list-usage"),
            (
                "OverconstrainedAllocationRequest",
                409,
                ErrorClass::Capacity,
                "vmSize",
            ),
            ("InvalidParameter", 400, ErrorClass::Invalid, ""),
            ("ServiceUnavailable", 503, ErrorClass::Unavailable, ""),
        ] {
            let refusal = Refusal::new("VirtualMachines.create_or_update", status, code, "No.");
            ground.arm.behave(|now| now.refusals.push(refusal));
            let error = ground.create(&batch(&template, 1)).await.unwrap_err();
            assert_eq!(error.class, class, "{code}");
            assert!(error.message.contains(code), "{}", error.message);
            assert!(error.hint.unwrap_or_default().contains(hint), "{code}");
        }
        assert_eq!(ground.list(&template).await, []);
    });
}

#[test]
fn where_nobody_answers_and_who_is_not_known_is_told() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let nowhere = format!("https://{}", listener.local_addr().unwrap());
        drop(listener);
        let here = ground.arm.endpoint();
        let query = Query::Stack(STACK.to_owned());
        for (manager, authority) in [(&nowhere, &here), (&here, &nowhere)] {
            let endpoints = json!({"resourceManager": manager, "authority": authority});
            let named = ground.named(&json!({"endpoints": endpoints}));
            let error = ground.open(&named).await.observe(&query).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Unavailable, "{error}");
        }
        let named = ground.named(&json!({"tenant": "another"}));
        let error = ground.open(&named).await.observe(&query).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Environment, "{error}");
        let told = format!("{error:?}");
        assert!(!told.contains(meshvm_arm::SECRET), "{told}");
    });
}

#[test]
fn a_service_principal_shows_itself_by_its_certificate() {
    on_arm_by(Login::Certificate, async |authority| {
        let ground = Ground::new(&authority).await;
        for credential in ["environment", "automatic"] {
            let template = ground.named(&json!({"credential": credential}));
            assert_eq!(ground.list(&template).await, []);
        }
        // Another certificate signs as well, and is none that the directory knows.
        let folder = tempfile::tempdir().unwrap();
        let other = Authority::in_folder(folder.path()).application();
        std::fs::copy(other, authority.application()).unwrap();
        let template = ground.named(&json!({"credential": "environment"}));
        let query = Query::Stack(STACK.to_owned());
        let provider = ground.open(&template).await;
        let error = provider.observe(&query).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Environment, "{error}");
    });
}

#[test]
fn the_least_role_is_enough_and_every_call_is_in_it_and_counted() {
    on_arm(async |authority| {
        let ground = Ground::new(&authority).await;
        let role = policy::least(&[]);
        let rights = role["Actions"].as_array().unwrap().iter();
        let rights: BTreeSet<String> = rights.map(|it| it.as_str().unwrap().to_owned()).collect();
        // The double knows by itself what each call and each body needs.
        ground.arm.behave(|now| now.role = Some(rights.clone()));
        let user = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/web";
        let set =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/diskEncryptionSets/keys";
        let subnet = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/shop/providers/Microsoft.Network/virtualNetworks/net/subnets/default";
        let groups = |name: &str| {
            subnet.replace(
                "virtualNetworks/net/subnets/default",
                &format!("networkSecurityGroups/{name}"),
            )
        };
        let block = |group: &str, size: &str, tag: &str| {
            json!({
                "resourceGroup": "own", "createResourceGroup": true, "subnet": subnet,
                "networkSecurityGroup": groups(group), "identity": {"user": [user]},
                "diskEncryptionSet": set, "publicAddress": true, "tags": {"a": tag}, "vmSize": size,
            })
        };
        let before = ground
            .template(&block("mesh", "Standard_D2s_v5", "1"))
            .await;
        let provider = ground.open(&before).await;
        let two = Growth::from([("1".to_owned(), 2)]);
        provider.check(&before, &two).await.unwrap();
        let batch = batch(&before, 2);
        let made = ground.create(&batch).await.unwrap().machines;
        ground.create(&batch).await.unwrap();
        let after = ground
            .template(&block("strict", "Standard_D4s_v5", "2"))
            .await;
        let attributes = ["networkSecurityGroup", "vmSize", "tags.a"];
        ground.update(&after, &made, &attributes).await.unwrap();
        ground.arm.end_without_the_rest_in("own", &made[0].name);
        ground.list(&after).await;
        let gallery = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/galleries/shared/images/web/versions/1.0.0";
        ground.template(&json!({"image": gallery})).await;
        let forgotten = Update {
            machines: ids(&made[1..]),
            template: None,
            attributes: Vec::new(),
            start: false,
            set_labels: Labels::new(),
            remove_labels: vec![labels::STACK.to_owned()],
        };
        ground.open(&after).await.update(&forgotten).await.unwrap();
        let adopted = Update {
            set_labels: [(labels::STACK.to_owned(), STACK.to_owned())].into(),
            remove_labels: Vec::new(),
            ..forgotten
        };
        ground.open(&after).await.update(&adopted).await.unwrap();
        // A connection of its own, as one that made something leaves the group.
        let provider = ground.open(&before).await;
        provider.delete(STACK, &ids(&made)).await.unwrap();
        assert_eq!(ground.arm.parts(), [""; 0]);
        assert!(!ground.arm.has_group("own"));

        let needed: BTreeSet<String> = ground.arm.rights().into_keys().collect();
        let lacking: Vec<_> = needed.difference(&rights).collect();
        assert!(lacking.is_empty(), "{lacking:?} are not in the role");
        let own: BTreeSet<String> = ACTIONS.iter().map(|it| it.right().to_owned()).collect();
        let unused: Vec<_> = own.difference(&needed).collect();
        assert!(
            unused.is_empty(),
            "{unused:?} are in the role and were not needed"
        );
        // What is counted for the user is what went over the wire.
        let counted: u64 = ground.requests.snapshot().values().sum();
        let wire: BTreeMap<String, u64> = ground.arm.calls();
        assert_eq!(counted, wire.values().sum::<u64>(), "{wire:?}");
    });
}
