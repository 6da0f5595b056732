//! Who may do what: the rights that a call needs, and those that its body needs on other things.

use serde_json::{Value, json};

use crate::server::Reply;
use crate::world::{World, text};

/// Returns whether the caller has a right.
pub(crate) fn is_allowed(world: &World, right: &str) -> bool {
    let role = world.manners.role.as_ref();
    role.is_none_or(|role| role.iter().any(|it| it.eq_ignore_ascii_case(right)))
}

/// Tells the caller what it may do, which is the same everywhere.
pub(crate) fn granted(world: &World) -> Reply {
    let all = || ["*".to_owned()].into();
    let actions = world.manners.role.clone().unwrap_or_else(all);
    let own =
        json!({"actions": actions, "notActions": [], "dataActions": [], "notDataActions": []});
    Reply::of(200, Some(json!({"value": [own]})))
}

/// Refuses who lacks a right.
pub(crate) fn forbidden(right: &str) -> Reply {
    let message = format!("The client does not have authorization to perform action '{right}'.");
    Reply::error(403, "AuthorizationFailed", &message)
}

/// Returns the rights that a body needs on what it names, and on what it makes beside itself.
pub(crate) fn linked(body: Option<&Value>) -> Vec<&'static str> {
    let mut needed = Vec::new();
    let Some(body) = body else {
        return needed;
    };
    if body["identity"]["userAssignedIdentities"].is_object() {
        needed.push("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action");
    }
    if text(body, "/properties/networkSecurityGroup/id").is_some() {
        needed.push("Microsoft.Network/networkSecurityGroups/join/action");
    }
    let inline = &body["properties"]["networkProfile"]["networkInterfaceConfigurations"][0];
    if inline.is_object() {
        needed.push("Microsoft.Network/networkInterfaces/write");
        needed.push("Microsoft.Network/networkInterfaces/join/action");
        needed.push("Microsoft.Network/virtualNetworks/subnets/join/action");
        needed.push("Microsoft.Compute/disks/write");
        if inline["properties"]["networkSecurityGroup"].is_object() {
            needed.push("Microsoft.Network/networkSecurityGroups/join/action");
        }
        let address = &inline["properties"]["ipConfigurations"][0]["properties"];
        if address["publicIPAddressConfiguration"].is_object() {
            needed.push("Microsoft.Network/publicIPAddresses/write");
            needed.push("Microsoft.Network/publicIPAddresses/join/action");
        }
    }
    if text(
        body,
        "/properties/storageProfile/osDisk/managedDisk/diskEncryptionSet/id",
    )
    .is_some()
    {
        needed.push("Microsoft.Compute/diskEncryptionSets/read");
    }
    needed
}
