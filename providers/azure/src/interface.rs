//! Changes network interfaces, which are put back whole: others' settings stay as they are.

use meshvm_provider_api::ProviderError;
use serde_json::{Value, json};

use crate::client::{Call, Client};
use crate::cloud::is_same;
use crate::operation;
use crate::policy::Action;
use crate::wire::Interface;

/// What of an interface is Azure's to say, and refused when it is sent back.
const READ_ONLY: [&str; 5] = ["etag", "id", "name", "type", "systemData"];
/// The same, of its properties
/// (<https://learn.microsoft.com/rest/api/virtualnetwork/network-interfaces/create-or-update>).
const READ_ONLY_PROPERTIES: [&str; 13] = [
    "provisioningState",
    "resourceGuid",
    "macAddress",
    "primary",
    "virtualMachine",
    "hostedWorkloads",
    "tapConfigurations",
    "dscpConfiguration",
    "privateEndpoint",
    "privateLinkService",
    "vnetEncryptionSupported",
    "defaultOutboundConnectivityEnabled",
    "allowedFeatures",
];
/// The same, of its addresses.
const READ_ONLY_ADDRESS: [&str; 2] = ["provisioningState", "privateLinkConnectionProperties"];

/// Changes the group of an interface; safe to repeat.
pub(crate) async fn set_group(
    client: &Client,
    interface: &Interface,
    group: Option<&str>,
) -> Result<(), ProviderError> {
    let seen = interface.security_group.as_deref().unwrap_or_default();
    match is_same(seen, group.unwrap_or_default()) {
        true => Ok(()),
        false => put(client, interface, with_group(&interface.whole, group)).await,
    }
}

/// Takes the public addresses off an interface, which are free from then on; safe to repeat.
pub(crate) async fn free_addresses(
    client: &Client,
    interface: &Interface,
) -> Result<(), ProviderError> {
    match interface.public_address {
        None => Ok(()),
        Some(_) => put(client, interface, without_addresses(&interface.whole)).await,
    }
}

async fn put(client: &Client, interface: &Interface, body: Value) -> Result<(), ProviderError> {
    let path = format!("Microsoft.Network/networkInterfaces/{}", interface.name);
    let call = Call::put(Action::PutInterface, client.place.path(&path), body);
    let answer = client.send(&call).await?;
    operation::ended(client, Action::PutInterface, &answer, None).await
}

fn with_group(whole: &Value, group: Option<&str>) -> Value {
    let mut body = writable(whole);
    match group {
        Some(id) => body["properties"]["networkSecurityGroup"] = json!({"id": id}),
        None => remove(&mut body, "/properties", &["networkSecurityGroup"]),
    }
    body
}

fn without_addresses(whole: &Value) -> Value {
    let mut body = writable(whole);
    for at in addresses(whole) {
        remove(&mut body, &format!("{at}/properties"), &["publicIPAddress"]);
    }
    body
}

/// Returns an interface as it may be put back: without what is Azure's to say.
fn writable(whole: &Value) -> Value {
    let mut body = whole.clone();
    remove(&mut body, "", &READ_ONLY);
    remove(&mut body, "/properties", &READ_ONLY_PROPERTIES);
    for at in addresses(whole) {
        remove(&mut body, &at, &["etag", "type", "id"]);
        remove(&mut body, &format!("{at}/properties"), &READ_ONLY_ADDRESS);
    }
    body
}

/// Returns where an interface tells of its addresses.
fn addresses(whole: &Value) -> impl Iterator<Item = String> {
    let all = whole.pointer("/properties/ipConfigurations");
    let count = all.and_then(Value::as_array).map_or(0, Vec::len);
    (0..count).map(|index| format!("/properties/ipConfigurations/{index}"))
}

fn remove(body: &mut Value, at: &str, names: &[&str]) {
    if let Some(object) = body.pointer_mut(at).and_then(Value::as_object_mut) {
        object.retain(|name, _| !names.contains(&name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_put_back_with_all_that_others_set() {
        let whole = json!({
            "id": "/i", "name": "i", "etag": "e", "location": "westeurope", "tags": {"a": "1"},
            "properties": {
                "provisioningState": "Succeeded", "macAddress": "00",
                "enableAcceleratedNetworking": true,
                "ipConfigurations": [{"name": "primary", "id": "/c", "etag": "e", "properties": {
                    "provisioningState": "Succeeded", "privateIPAddress": "10.0.0.4",
                    "publicIPAddress": {"id": "/p"},
                    "applicationSecurityGroups": [{"id": "/asg"}],
                }}],
            },
        });
        let mut expected = json!({
            "location": "westeurope", "tags": {"a": "1"},
            "properties": {
                "enableAcceleratedNetworking": true,
                "networkSecurityGroup": {"id": "/g"},
                "ipConfigurations": [{"name": "primary", "properties": {
                    "privateIPAddress": "10.0.0.4",
                    "publicIPAddress": {"id": "/p"},
                    "applicationSecurityGroups": [{"id": "/asg"}],
                }}],
            },
        });
        assert_eq!(with_group(&whole, Some("/g")), expected);
        remove(&mut expected, "/properties", &["networkSecurityGroup"]);
        assert_eq!(with_group(&whole, None), expected);
        let address = "/properties/ipConfigurations/0/properties";
        remove(&mut expected, address, &["publicIPAddress"]);
        assert_eq!(without_addresses(&whole), expected);
    }
}
