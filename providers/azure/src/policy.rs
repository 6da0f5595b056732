//! The calls that are made, and the least role that allows them.

use serde_json::{Value, json};

/// A call to Azure Resource Manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Lists the machines of a resource group.
    ListMachines,
    /// Lists which machines of a subscription run.
    ListStatuses,
    /// Reads one machine that was made before.
    GetMachine,
    /// Makes a machine with all that belongs to it.
    PutMachine,
    /// Changes a machine.
    PatchMachine,
    /// Deletes a machine and what was made for it.
    DeleteMachine,
    /// Starts a machine.
    StartMachine,
    /// Stops a machine whose size changes.
    DeallocateMachine,
    /// Lists network interfaces, for addresses and for leftovers.
    ListInterfaces,
    /// Changes the network security group of an interface, or takes a public address off one that is
    /// left over.
    PutInterface,
    /// Changes the tags of an interface whose machine is let go.
    PatchInterface,
    /// Deletes an interface whose machine is gone.
    DeleteInterface,
    /// Lists public addresses, for leftovers.
    ListAddresses,
    /// Changes the tags of a public address whose machine is let go.
    PatchAddress,
    /// Deletes a public address whose machine is gone.
    DeleteAddress,
    /// Lists disks, for leftovers.
    ListDisks,
    /// Deletes a disk whose machine is gone.
    DeleteDisk,
    /// Tells the addresses that a subnet has left.
    GetSubnet,
    /// Tells where a network security group is.
    GetSecurityGroup,
    /// Lists the versions of an image of the marketplace.
    ListImageVersions,
    /// Reads a version of an image of the marketplace.
    GetImageVersion,
    /// Reads the image of a gallery.
    GetGalleryImage,
    /// Reads a version of a gallery's image.
    GetGalleryImageVersion,
    /// Tells what sizes there are, and where.
    ListSizes,
    /// Tells what of the quota is used.
    ListUsages,
    /// Reads a resource group.
    GetResourceGroup,
    /// Makes a resource group.
    PutResourceGroup,
    /// Deletes a resource group that is empty.
    DeleteResourceGroup,
    /// Tells whether a resource group is empty.
    ListResources,
    /// Tells what the caller may do on a group or a thing.
    ListPermissions,
    /// Looks at an operation on machines or disks.
    GetComputeOperation,
    /// Looks at an operation on what networks are made of.
    GetNetworkOperation,
    /// Looks at an operation on a resource group.
    GetGroupOperation,
}

/// Every call that is made.
pub const ACTIONS: [Action; 33] = [
    Action::ListMachines,
    Action::ListStatuses,
    Action::GetMachine,
    Action::PutMachine,
    Action::PatchMachine,
    Action::DeleteMachine,
    Action::StartMachine,
    Action::DeallocateMachine,
    Action::ListInterfaces,
    Action::PutInterface,
    Action::PatchInterface,
    Action::DeleteInterface,
    Action::ListAddresses,
    Action::PatchAddress,
    Action::DeleteAddress,
    Action::ListDisks,
    Action::DeleteDisk,
    Action::GetSubnet,
    Action::GetSecurityGroup,
    Action::ListImageVersions,
    Action::GetImageVersion,
    Action::GetGalleryImage,
    Action::GetGalleryImageVersion,
    Action::ListSizes,
    Action::ListUsages,
    Action::GetResourceGroup,
    Action::PutResourceGroup,
    Action::DeleteResourceGroup,
    Action::ListResources,
    Action::ListPermissions,
    Action::GetComputeOperation,
    Action::GetNetworkOperation,
    Action::GetGroupOperation,
];

/// The rights on what a call names without sending anything to it
/// (<https://learn.microsoft.com/azure/role-based-access-control/permissions/compute>).
///
/// A machine's request makes an interface in a subnet, with a group, with disks and an address;
/// identities and encryption sets are used by it.
pub const LINKED: [&str; 7] = [
    "Microsoft.Compute/disks/write",
    "Microsoft.Compute/diskEncryptionSets/read",
    "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
    "Microsoft.Network/networkInterfaces/join/action",
    "Microsoft.Network/networkSecurityGroups/join/action",
    "Microsoft.Network/publicIPAddresses/join/action",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
];

impl Action {
    /// Returns the call's name, as it is counted.
    pub fn as_str(self) -> &'static str {
        self.call().0
    }

    /// Returns the right that the call needs.
    pub fn right(self) -> &'static str {
        self.call().1
    }

    /// Returns whether the call changes nothing, so that a lost reply lost nothing.
    pub(crate) fn is_reading(self) -> bool {
        self.right().ends_with("/read")
    }

    /// Returns the call's name and the right that it needs.
    fn call(self) -> (&'static str, &'static str) {
        match self {
            Self::ListMachines => ("ListMachines", "Microsoft.Compute/virtualMachines/read"),
            Self::ListStatuses => ("ListStatuses", "Microsoft.Compute/virtualMachines/read"),
            Self::GetMachine => ("GetMachine", "Microsoft.Compute/virtualMachines/read"),
            Self::PutMachine => ("PutMachine", "Microsoft.Compute/virtualMachines/write"),
            Self::PatchMachine => ("PatchMachine", "Microsoft.Compute/virtualMachines/write"),
            Self::DeleteMachine => ("DeleteMachine", "Microsoft.Compute/virtualMachines/delete"),
            Self::StartMachine => (
                "StartMachine",
                "Microsoft.Compute/virtualMachines/start/action",
            ),
            Self::DeallocateMachine => (
                "DeallocateMachine",
                "Microsoft.Compute/virtualMachines/deallocate/action",
            ),
            Self::ListInterfaces => ("ListInterfaces", "Microsoft.Network/networkInterfaces/read"),
            Self::PutInterface => ("PutInterface", "Microsoft.Network/networkInterfaces/write"),
            Self::PatchInterface => (
                "PatchInterface",
                "Microsoft.Network/networkInterfaces/write",
            ),
            Self::DeleteInterface => (
                "DeleteInterface",
                "Microsoft.Network/networkInterfaces/delete",
            ),
            Self::ListAddresses => ("ListAddresses", "Microsoft.Network/publicIPAddresses/read"),
            Self::PatchAddress => ("PatchAddress", "Microsoft.Network/publicIPAddresses/write"),
            Self::DeleteAddress => (
                "DeleteAddress",
                "Microsoft.Network/publicIPAddresses/delete",
            ),
            Self::ListDisks => ("ListDisks", "Microsoft.Compute/disks/read"),
            Self::DeleteDisk => ("DeleteDisk", "Microsoft.Compute/disks/delete"),
            Self::GetSubnet => (
                "GetSubnet",
                "Microsoft.Network/virtualNetworks/subnets/read",
            ),
            Self::GetSecurityGroup => (
                "GetSecurityGroup",
                "Microsoft.Network/networkSecurityGroups/read",
            ),
            Self::ListImageVersions => (
                "ListImageVersions",
                "Microsoft.Compute/locations/publishers/artifacttypes/vmimage/offers/skus/versions/read",
            ),
            Self::GetImageVersion => (
                "GetImageVersion",
                "Microsoft.Compute/locations/publishers/artifacttypes/vmimage/offers/skus/versions/read",
            ),
            Self::GetGalleryImage => ("GetGalleryImage", "Microsoft.Compute/galleries/images/read"),
            Self::GetGalleryImageVersion => (
                "GetGalleryImageVersion",
                "Microsoft.Compute/galleries/images/versions/read",
            ),
            Self::ListSizes => ("ListSizes", "Microsoft.Compute/skus/read"),
            Self::ListUsages => ("ListUsages", "Microsoft.Compute/locations/usages/read"),
            Self::GetResourceGroup => (
                "GetResourceGroup",
                "Microsoft.Resources/subscriptions/resourceGroups/read",
            ),
            Self::PutResourceGroup => (
                "PutResourceGroup",
                "Microsoft.Resources/subscriptions/resourceGroups/write",
            ),
            Self::DeleteResourceGroup => (
                "DeleteResourceGroup",
                "Microsoft.Resources/subscriptions/resourceGroups/delete",
            ),
            Self::ListResources => (
                "ListResources",
                "Microsoft.Resources/subscriptions/resourceGroups/resources/read",
            ),
            Self::ListPermissions => (
                "ListPermissions",
                "Microsoft.Authorization/permissions/read",
            ),
            Self::GetComputeOperation => (
                "GetComputeOperation",
                "Microsoft.Compute/locations/operations/read",
            ),
            Self::GetNetworkOperation => (
                "GetNetworkOperation",
                "Microsoft.Network/locations/operations/read",
            ),
            Self::GetGroupOperation => (
                "GetGroupOperation",
                "Microsoft.Resources/subscriptions/operationresults/read",
            ),
        }
    }

    /// Returns the version of its API: each provider of resources has its own.
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::ListMachines
            | Self::ListStatuses
            | Self::GetMachine
            | Self::PutMachine
            | Self::PatchMachine
            | Self::DeleteMachine
            | Self::StartMachine
            | Self::DeallocateMachine
            | Self::ListImageVersions
            | Self::GetImageVersion
            | Self::ListUsages
            | Self::GetComputeOperation => "2026-04-01",
            Self::ListDisks | Self::DeleteDisk => "2026-03-02",
            Self::GetGalleryImage | Self::GetGalleryImageVersion => "2026-03-03",
            Self::ListSizes => "2021-07-01",
            Self::ListPermissions => "2022-04-01",
            Self::ListInterfaces
            | Self::PutInterface
            | Self::PatchInterface
            | Self::DeleteInterface
            | Self::ListAddresses
            | Self::PatchAddress
            | Self::DeleteAddress
            | Self::GetSubnet
            | Self::GetSecurityGroup
            | Self::GetNetworkOperation => "2026-03-01",
            Self::GetResourceGroup
            | Self::PutResourceGroup
            | Self::DeleteResourceGroup
            | Self::ListResources
            | Self::GetGroupOperation => "2025-04-01",
        }
    }
}

/// Returns the least role that works, as `az role definition create` takes it
/// (<https://learn.microsoft.com/azure/role-based-access-control/role-definitions>).
///
/// It is for the subscription, whose statuses and quota are read; those who keep the writing
/// rights to one resource group assign the others there.
pub fn least(subscriptions: &[String]) -> Value {
    let mut rights: Vec<&str> = ACTIONS.into_iter().map(Action::right).collect();
    rights.extend(LINKED);
    rights.sort_unstable();
    rights.dedup();
    let scopes: Vec<String> = match subscriptions {
        [] => vec!["/subscriptions/SUBSCRIPTION".to_owned()],
        some => some
            .iter()
            .map(|it| format!("/subscriptions/{it}"))
            .collect(),
    };
    json!({
        "Name": "meshvm",
        "IsCustom": true,
        "Description": "Makes, changes and deletes the machines of fleets.",
        "Actions": rights,
        "NotActions": [],
        "DataActions": [],
        "NotDataActions": [],
        "AssignableScopes": scopes,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_role_allows_each_call_and_what_it_names() {
        let role = least(&[]);
        let allowed: BTreeSet<&str> = role["Actions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|right| right.as_str().unwrap())
            .collect();
        let rights: BTreeSet<&str> = ACTIONS.iter().map(|action| action.right()).collect();
        assert!(allowed.is_superset(&rights));
        assert_eq!(allowed.len(), rights.len() + LINKED.len());
        assert!(allowed.iter().all(|right| !right.contains('*')));
        let names: BTreeSet<&str> = ACTIONS.iter().map(|action| action.as_str()).collect();
        assert_eq!(names.len(), ACTIONS.len(), "each has a name of its own");
    }
}
