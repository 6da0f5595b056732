//! The `azure` block of a fleet file.

mod check;
mod image;
mod network;
mod sizes;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use meshvm_provider_api::{Finding, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use image::LATEST;
pub use image::{Image, ImagePolicy};
pub use meshvm_provider_api::Gib;
pub(crate) use network::{group_id, subnet_id};
pub use sizes::VmSizes;

/// The provider's name, and the key of its block.
pub(crate) const NAME: &str = "azure";

/// Machines on Azure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AzureSettings {
    /// The id of the subscription.
    #[schemars(regex(pattern = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"))]
    pub subscription: String,
    /// The location, such as `westeurope`; machines of another location are listed on their own.
    #[schemars(regex(pattern = "^[a-z0-9]+$"))]
    pub location: String,
    /// The resource group that the machines are made in, and listed by.
    #[schemars(length(max = 90), regex(pattern = "^[-0-9A-Za-z_.()]+$"))]
    pub resource_group: String,
    /// Whether meshvm makes the resource group when it is missing, and removes it when nothing is left in it.
    #[serde(default)]
    pub create_resource_group: bool,
    /// The numbers of the zones to spread over, such as `"1"`; Azure places the machines when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = "^[0-9]$")), extend("uniqueItems" = true))]
    pub zones: Vec<String>,
    /// The size; of several, the next one is taken when there is no room for one.
    pub vm_size: VmSizes,
    /// What the OS disk begins as.
    pub image: Image,
    /// The subnet: its id, or `network/subnet` in the resource group.
    #[schemars(regex(pattern = "^/subscriptions/.+/subnets/[^/]+$|^[^/]+/[^/]+$"))]
    pub subnet: String,
    /// The network security group of the machines' interfaces: its id, or its name in the resource group. Changes in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^/subscriptions/.+/networkSecurityGroups/[^/]+$|^[^/]+$"))]
    pub network_security_group: Option<String>,
    /// The name of the user that may log in.
    #[serde(default = "default_user")]
    #[schemars(regex(pattern = "^[a-z_][a-z0-9_-]{0,31}$"))]
    pub admin_user: String,
    /// The SSH public key of that user, RSA or Ed25519, as `ssh-keygen` writes it.
    #[schemars(regex(pattern = "^ssh-(rsa|ed25519) "))]
    pub ssh_public_key: String,
    /// The disk that the machine boots from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_disk: Option<OsDisk>,
    /// Further disks, which end with the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_disks: Vec<DataDisk>,
    /// The id of the disk encryption set of all disks; Azure's own keys when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^/subscriptions/.+/diskEncryptionSets/[^/]+$"))]
    pub disk_encryption_set: Option<String>,
    /// The managed identities of the machines; changes in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<ManagedIdentity>,
    /// Whether the machines boot with secure boot and a virtual TPM.
    #[serde(default = "default_trusted_launch")]
    pub trusted_launch: bool,
    /// Makes spot machines, which cost less and may be taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<Spot>,
    /// Tags of the machines and their interfaces; those of machines change in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Whether each machine gets a public address, which ends with it.
    #[serde(default)]
    pub public_address: bool,
    /// The cloud that the subscription is of.
    #[serde(default, skip_serializing_if = "Cloud::is_public")]
    pub cloud: Cloud,
    /// The addresses of a cloud that has its own, in place of those of `cloud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// Where credentials come from.
    #[serde(default, skip_serializing_if = "CredentialSource::is_automatic")]
    pub credential: CredentialSource,
    /// The tenant of the credentials; `AZURE_TENANT_ID`, or the tool's own, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub tenant: Option<String>,
    /// The client id of the application or user-assigned identity; `AZURE_CLIENT_ID` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub client_id: Option<String>,
}

fn default_user() -> String {
    "azureuser".to_owned()
}

fn default_trusted_launch() -> bool {
    true
}

/// The OS disk; what is absent is the image's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OsDisk {
    /// The size, such as `64GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Gib>,
    /// The type; `Premium_LRS` or what the machine's size takes when absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<DiskType>,
}

/// A disk beside the OS disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataDisk {
    /// The number that the machine finds it by.
    #[schemars(range(min = 0, max = 63))]
    pub lun: u8,
    /// The size, such as `256GiB`.
    pub size: Gib,
    /// The type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<DiskType>,
}

/// A type of managed disk, in Azure's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DiskType {
    /// Hard disk.
    #[serde(rename = "Standard_LRS")]
    StandardLrs,
    /// Standard SSD.
    #[serde(rename = "StandardSSD_LRS")]
    StandardSsdLrs,
    /// Standard SSD, kept in several zones.
    #[serde(rename = "StandardSSD_ZRS")]
    StandardSsdZrs,
    /// Premium SSD.
    #[serde(rename = "Premium_LRS")]
    PremiumLrs,
    /// Premium SSD, kept in several zones.
    #[serde(rename = "Premium_ZRS")]
    PremiumZrs,
    /// Premium SSD of the second generation; data disks only.
    #[serde(rename = "PremiumV2_LRS")]
    PremiumV2Lrs,
}

/// The managed identities of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ManagedIdentity {
    /// Whether the machine has one of its own.
    pub system: bool,
    /// Ids of user-assigned ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = "^/subscriptions/.+/userAssignedIdentities/[^/]+$")), extend("uniqueItems" = true))]
    pub user: Vec<String>,
}

/// How spot machines are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Spot {
    /// The most to pay for an hour, in US dollars such as `"0.05"`; the price of others when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]+(\\.[0-9]{1,5})?$"))]
    pub max_price: Option<String>,
    /// What happens to a machine that is taken away.
    pub eviction: Eviction,
}

/// What happens to a spot machine that is taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Eviction {
    /// It is deleted, and the next run makes another.
    #[default]
    Delete,
    /// It is stopped and keeps its disks; the next run starts it.
    Deallocate,
}

/// A cloud of Microsoft's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Cloud {
    /// The one that most use.
    #[default]
    Public,
    /// China's, which 21Vianet runs.
    China,
    /// That of the government of the United States.
    Government,
}

impl Cloud {
    fn is_public(&self) -> bool {
        *self == Self::Public
    }

    /// Returns its name in a scope.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::China => "china",
            Self::Government => "government",
        }
    }
}

/// The addresses of a cloud that has its own; both are `https`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoints {
    /// Where Azure Resource Manager listens.
    #[schemars(regex(pattern = "^https://"))]
    pub resource_manager: String,
    /// Who gives out tokens.
    #[schemars(regex(pattern = "^https://"))]
    pub authority: String,
}

/// Where credentials come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CredentialSource {
    /// The first of the others that there is, in this order.
    #[default]
    Automatic,
    /// A service principal, from `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`.
    Environment,
    /// The token of a Kubernetes workload, from `AZURE_FEDERATED_TOKEN_FILE`.
    WorkloadIdentity,
    /// The identity of the machine that meshvm runs on.
    ManagedIdentity,
    /// Whoever is logged in with `az` or `azd`.
    DeveloperTools,
}

impl CredentialSource {
    fn is_automatic(&self) -> bool {
        *self == Self::Automatic
    }

    /// Returns its name in a scope.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Environment => "environment",
            Self::WorkloadIdentity => "workloadIdentity",
            Self::ManagedIdentity => "managedIdentity",
            Self::DeveloperTools => "developerTools",
        }
    }
}

impl AzureSettings {
    /// Reads a block.
    ///
    /// # Errors
    /// Returns every problem; one that the schema would have refused comes alone.
    pub fn read(settings: &Value) -> Result<Self, Vec<Finding>> {
        let settings = Self::deserialize(settings)
            .map_err(|error| vec![Finding::at("", error.to_string())])?;
        let findings = check::findings(&settings);
        if findings.is_empty() {
            Ok(settings)
        } else {
            Err(findings)
        }
    }

    /// Returns the scope that the machines are listed in: all that a connection needs, so that
    /// machines of a fleet that left the file are still found.
    pub fn scope(&self) -> Scope {
        let endpoints = self.endpoints.as_ref();
        let key = [
            (REGION, Some(self.location.clone())),
            (SUBSCRIPTION, Some(self.subscription.to_ascii_lowercase())),
            (
                RESOURCE_GROUP,
                Some(self.resource_group.to_ascii_lowercase()),
            ),
            (
                CLOUD,
                (!self.cloud.is_public()).then(|| self.cloud.as_str().to_owned()),
            ),
            (
                RESOURCE_MANAGER,
                endpoints.map(|it| it.resource_manager.clone()),
            ),
        ];
        let access = [
            (AUTHORITY, endpoints.map(|it| it.authority.clone())),
            (
                CREDENTIAL,
                (!self.credential.is_automatic()).then(|| self.credential.as_str().to_owned()),
            ),
            (TENANT, self.tenant.clone()),
            (CLIENT_ID, self.client_id.clone()),
        ];
        Scope::new(NAME, key, access)
    }

    /// Returns the zones as machines and meshes know them: location and number, as nodes of
    /// Kubernetes on Azure are labelled
    /// (<https://learn.microsoft.com/azure/aks/availability-zones>).
    pub(crate) fn zone_names(&self) -> Vec<String> {
        match self.zones.is_empty() {
            true => vec![self.location.clone()],
            false => self
                .zones
                .iter()
                .map(|number| format!("{}-{number}", self.location))
                .collect(),
        }
    }
}

/// The keys of a scope.
pub(crate) const REGION: &str = Scope::REGION;
/// The subscription's id.
pub(crate) const SUBSCRIPTION: &str = "subscription";
/// The resource group.
pub(crate) const RESOURCE_GROUP: &str = "resourceGroup";
/// The cloud, when it is not the public one.
pub(crate) const CLOUD: &str = "cloud";
/// The address of Resource Manager, when it is not the cloud's.
pub(crate) const RESOURCE_MANAGER: &str = "resourceManager";
/// Who gives out tokens, when it is not the cloud's authority.
pub(crate) const AUTHORITY: &str = "authority";
/// Where credentials come from, when the file says so.
pub(crate) const CREDENTIAL: &str = "credential";
/// The tenant of the credentials.
pub(crate) const TENANT: &str = "tenant";
/// Whose credentials.
pub(crate) const CLIENT_ID: &str = "clientId";
