//! The block as it is read, and the least one, which other tests begin with.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

/// The least block with these changes.
pub(crate) fn block(change: &Value) -> Value {
    let mut block = json!({
        "subscription": "00000000-0000-0000-0000-000000000001",
        "location": "westeurope",
        "resourceGroup": "shop",
        "vmSize": "Standard_D2s_v5",
        "image": {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2"},
        "subnet": "net/default",
        "sshPublicKey": "ssh-ed25519 AAAA",
    });
    for (key, value) in change.as_object().unwrap() {
        block[key] = value.clone();
    }
    block
}

#[test]
fn the_least_block_boots_trusted_and_without_a_public_address() {
    let settings = AzureSettings::read(&block(&json!({}))).unwrap();
    assert!(settings.trusted_launch && !settings.public_address);
    let scope = settings.scope().to_string();
    assert_eq!(
        scope,
        "azure:westeurope/shop/00000000-0000-0000-0000-000000000001"
    );
    assert_eq!(settings.zone_names(), ["westeurope"]);
}

#[test]
fn what_a_connection_needs_is_in_the_scope() {
    let all = json!({
        "cloud": "china", "credential": "environment", "tenant": "t", "clientId": "c",
        "endpoints": {"resourceManager": "https://127.0.0.1:1", "authority": "https://a"},
        "zones": ["1", "3"], "resourceGroup": "Shop",
    });
    let settings = AzureSettings::read(&block(&all)).unwrap();
    let scope = settings.scope();
    let names = |of: &BTreeMap<String, String>| Vec::from_iter(of.keys().cloned());
    let key = [
        CLOUD,
        REGION,
        RESOURCE_GROUP,
        RESOURCE_MANAGER,
        SUBSCRIPTION,
    ];
    assert_eq!(names(&scope.key), key);
    let access = [AUTHORITY, CLIENT_ID, CREDENTIAL, TENANT];
    assert_eq!(names(&scope.access), access);
    assert_eq!(scope.key[RESOURCE_GROUP], "shop", "ARM knows no case");
    assert_eq!(settings.zone_names(), ["westeurope-1", "westeurope-3"]);
    let locality = scope.locality("westeurope-3");
    assert_eq!(locality.as_deref(), Some("westeurope/westeurope-3"));
}
