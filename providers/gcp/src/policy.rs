//! The calls that are made, and the least role that allows them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// A call to Compute Engine's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Lists machines of all zones.
    AggregatedListInstances,
    /// Looks at one machine.
    GetInstance,
    /// Makes machines.
    BulkInsert,
    /// Deletes a machine.
    DeleteInstance,
    /// Starts a machine.
    StartInstance,
    /// Goes on with a machine that was suspended.
    ResumeInstance,
    /// Stops a machine whose type changes.
    StopInstance,
    /// Sets all labels of a machine.
    SetLabels,
    /// Sets all network tags of a machine.
    SetTags,
    /// Sets all metadata of a machine.
    SetMetadata,
    /// Changes the type of a machine.
    SetMachineType,
    /// Changes whether a machine may be deleted.
    SetDeletionProtection,
    /// Waits for one operation.
    WaitOperation,
    /// Looks at many operations.
    ListOperations,
    /// Finds an image by its name.
    GetImage,
    /// Finds the newest image of a family.
    GetImageFromFamily,
    /// Tells the zones of a region and what is left of its quotas.
    GetRegion,
    /// Tells the architectures of types.
    AggregatedListMachineTypes,
    /// Tells that a subnetwork is there, and has addresses left.
    GetSubnetwork,
    /// Tells whether machines may be put in a subnetwork.
    TestSubnetworkPermissions,
    /// Lists firewall rules.
    ListFirewalls,
    /// Makes a fleet's own firewall rule.
    InsertFirewall,
    /// Changes a fleet's own firewall rule.
    UpdateFirewall,
    /// Deletes a fleet's own firewall rule.
    DeleteFirewall,
    /// Tells which machines were deleted.
    AggregatedListOperations,
    /// Looks at an operation of the whole project.
    GetGlobalOperation,
    /// Tells that the credentials reach the project.
    GetProject,
    /// Tells what one may do on the whole project; a call to Resource Manager's API.
    TestProjectPermissions,
}

/// Every call that is made.
pub const ACTIONS: [Action; 28] = [
    Action::AggregatedListInstances,
    Action::GetInstance,
    Action::BulkInsert,
    Action::DeleteInstance,
    Action::StartInstance,
    Action::ResumeInstance,
    Action::StopInstance,
    Action::SetLabels,
    Action::SetTags,
    Action::SetMetadata,
    Action::SetMachineType,
    Action::SetDeletionProtection,
    Action::WaitOperation,
    Action::ListOperations,
    Action::GetImage,
    Action::GetImageFromFamily,
    Action::GetRegion,
    Action::AggregatedListMachineTypes,
    Action::GetSubnetwork,
    Action::TestSubnetworkPermissions,
    Action::ListFirewalls,
    Action::InsertFirewall,
    Action::UpdateFirewall,
    Action::DeleteFirewall,
    Action::AggregatedListOperations,
    Action::GetGlobalOperation,
    Action::GetProject,
    Action::TestProjectPermissions,
];

impl Action {
    /// Returns the call's name in its API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AggregatedListInstances => "instances.aggregatedList",
            Self::GetInstance => "instances.get",
            Self::BulkInsert => "instances.bulkInsert",
            Self::DeleteInstance => "instances.delete",
            Self::StartInstance => "instances.start",
            Self::ResumeInstance => "instances.resume",
            Self::StopInstance => "instances.stop",
            Self::SetLabels => "instances.setLabels",
            Self::SetTags => "instances.setTags",
            Self::SetMetadata => "instances.setMetadata",
            Self::SetMachineType => "instances.setMachineType",
            Self::SetDeletionProtection => "instances.setDeletionProtection",
            Self::WaitOperation => "zoneOperations.wait",
            Self::ListOperations => "zoneOperations.list",
            Self::GetImage => "images.get",
            Self::GetImageFromFamily => "images.getFromFamily",
            Self::GetRegion => "regions.get",
            Self::AggregatedListMachineTypes => "machineTypes.aggregatedList",
            Self::GetSubnetwork => "subnetworks.get",
            Self::TestSubnetworkPermissions => "subnetworks.testIamPermissions",
            Self::ListFirewalls => "firewalls.list",
            Self::InsertFirewall => "firewalls.insert",
            Self::UpdateFirewall => "firewalls.update",
            Self::DeleteFirewall => "firewalls.delete",
            Self::AggregatedListOperations => "globalOperations.aggregatedList",
            Self::GetGlobalOperation => "globalOperations.get",
            Self::GetProject => "projects.get",
            Self::TestProjectPermissions => "projects.testIamPermissions",
        }
    }

    /// Returns the permission that the call needs; `None` when everybody may make it
    /// (<https://cloud.google.com/compute/docs/access/iam-permissions>).
    pub fn permission(self) -> Option<&'static str> {
        Some(match self {
            Self::AggregatedListInstances => "compute.instances.list",
            Self::GetInstance => "compute.instances.get",
            Self::BulkInsert => "compute.instances.create",
            Self::DeleteInstance => "compute.instances.delete",
            Self::StartInstance => "compute.instances.start",
            Self::ResumeInstance => "compute.instances.resume",
            Self::StopInstance => "compute.instances.stop",
            Self::SetLabels => "compute.instances.setLabels",
            Self::SetTags => "compute.instances.setTags",
            Self::SetMetadata => "compute.instances.setMetadata",
            Self::SetMachineType => "compute.instances.setMachineType",
            Self::SetDeletionProtection => "compute.instances.setDeletionProtection",
            Self::WaitOperation => "compute.zoneOperations.get",
            Self::ListOperations => "compute.zoneOperations.list",
            Self::GetImage => "compute.images.get",
            Self::GetImageFromFamily => "compute.images.getFromFamily",
            Self::GetRegion => "compute.regions.get",
            Self::AggregatedListMachineTypes => "compute.machineTypes.list",
            Self::GetSubnetwork => "compute.subnetworks.get",
            Self::ListFirewalls => "compute.firewalls.list",
            Self::InsertFirewall => "compute.firewalls.create",
            Self::UpdateFirewall => "compute.firewalls.update",
            Self::DeleteFirewall => "compute.firewalls.delete",
            Self::AggregatedListOperations => "compute.globalOperations.list",
            Self::GetGlobalOperation => "compute.globalOperations.get",
            Self::GetProject => "compute.projects.get",
            // Everybody may ask what they may.
            Self::TestSubnetworkPermissions | Self::TestProjectPermissions => return None,
        })
    }

    /// Returns whether the call changes nothing, so that a lost reply lost nothing.
    pub fn is_reading(self) -> bool {
        match self {
            Self::AggregatedListInstances
            | Self::GetInstance
            | Self::WaitOperation
            | Self::ListOperations
            | Self::GetImage
            | Self::GetImageFromFamily
            | Self::GetRegion
            | Self::AggregatedListMachineTypes
            | Self::GetSubnetwork
            | Self::TestSubnetworkPermissions
            | Self::ListFirewalls
            | Self::AggregatedListOperations
            | Self::GetGlobalOperation
            | Self::GetProject
            | Self::TestProjectPermissions => true,
            Self::BulkInsert
            | Self::DeleteInstance
            | Self::StartInstance
            | Self::ResumeInstance
            | Self::StopInstance
            | Self::SetLabels
            | Self::SetTags
            | Self::SetMetadata
            | Self::SetMachineType
            | Self::SetDeletionProtection
            | Self::InsertFirewall
            | Self::UpdateFirewall
            | Self::DeleteFirewall => false,
        }
    }
}

/// The right to put machines in a subnetwork.
pub(crate) const USE_SUBNETWORK: &str = "compute.subnetworks.use";
/// The right to give them public addresses there.
pub(crate) const USE_EXTERNAL_IP: &str = "compute.subnetworks.useExternalIp";

/// What making machines and rules takes beside the calls themselves: disks and network
/// (<https://cloud.google.com/compute/docs/instances/create-start-instance#api>).
const MAKING: [&str; 9] = [
    "compute.disks.create",
    "compute.disks.setLabels",
    "compute.images.useReadOnly",
    "compute.instances.setServiceAccount",
    "compute.instances.setLabels",
    "compute.instances.setMetadata",
    "compute.instances.setTags",
    USE_SUBNETWORK,
    // Firewall rules are a network's.
    "compute.networks.updatePolicy",
];

/// Returns the least role that works, as `gcloud iam roles create --file` takes it.
///
/// Public addresses need `compute.subnetworks.useExternalIp` besides, machines with a service
/// account `iam.serviceAccounts.actAs` on it: both are the user's to grant where they are meant.
pub fn least() -> Value {
    json!({
        "title": "meshvm",
        "description": "What meshvm needs to keep fleets of machines",
        "stage": "GA",
        "includedPermissions": permissions(),
    })
}

/// Returns the permissions of the least role.
pub(crate) fn permissions() -> BTreeSet<&'static str> {
    let calls = ACTIONS.into_iter().filter_map(Action::permission);
    calls.chain(MAKING).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_has_a_permission_for_each_call() {
        let role = least();
        let permissions = role["includedPermissions"].as_array().unwrap();
        for permission in ACTIONS.into_iter().filter_map(Action::permission) {
            assert!(permissions.contains(&json!(permission)), "{permission}");
        }
        assert!(
            permissions
                .iter()
                .all(|it| it.as_str().unwrap().starts_with("compute."))
        );
    }
}
