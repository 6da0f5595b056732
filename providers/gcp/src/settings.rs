//! The `gcp` block of a fleet file.

mod check;
mod firewall;
mod image;
mod types;

use std::collections::BTreeMap;

use meshvm_provider_api::{Finding, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use firewall::{Firewall, OwnedRule};
pub use image::{Image, ImagePolicy};
pub use meshvm_provider_api::Gib;
pub use types::MachineTypes;

/// The provider's name, and the key of its block.
pub(crate) const NAME: &str = "gcp";

/// Machines on Google Compute Engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GcpSettings {
    /// The id of the project.
    #[schemars(regex(pattern = "^[a-z][-a-z0-9:.]{4,}[a-z0-9]$"))]
    pub project: String,
    /// The region, such as `europe-west1`; machines of another region are listed on their own.
    #[schemars(length(min = 1))]
    pub region: String,
    /// The zones to spread over, such as `europe-west1-b`; all of the region when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(min = 1)), extend("uniqueItems" = true))]
    pub zones: Vec<String>,
    /// The machine type; of several, the next one is taken when there is no room for one.
    pub machine_type: MachineTypes,
    /// What the boot disk begins as.
    pub image: Image,
    /// The network, by name; `default` when neither it nor a subnetwork is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The subnetwork of the region, by name, or `projects/…/subnetworks/…` of a shared network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnetwork: Option<String>,
    /// Whether the machines get public addresses as well.
    #[serde(default)]
    pub public_address: bool,
    /// Network tags, which firewall rules go by; they change in place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(regex(pattern = "^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")), extend("uniqueItems" = true))]
    pub tags: Vec<String>,
    /// A firewall rule of the fleet's own, beside those that go by `tags`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<Firewall>,
    /// The service account that programs on the machines act as; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccount>,
    /// The disk that the machine boots from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_disk: Option<Disk>,
    /// Further disks, which end with the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<ExtraDisk>,
    /// What of a shielded machine is on; all of it by default.
    #[serde(default)]
    pub shielded: Shielded,
    /// Makes spot machines, which cost less and may be taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<Spot>,
    /// The name of the reservation that the machines use up; any that fits when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub reservation: Option<String>,
    /// Labels of the machines; they change in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Metadata of the machines, which programs on them can read; it changes in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Whether the cloud refuses to delete the machines; changes in place.
    #[serde(default)]
    pub deletion_protection: bool,
    /// The address of a service that speaks Compute Engine's API, in place of Google's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^https?://"))]
    pub endpoint: Option<String>,
    /// The project that calls are counted against, where it is not that of the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub quota_project: Option<String>,
    /// The service account to act as, by its address, from whatever credentials there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "@"))]
    pub impersonate: Option<String>,
}

/// A disk; what is absent is the cloud's choice, or the image's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Disk {
    /// The size, such as `40GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Gib>,
    /// The type, such as `pd-balanced` or `hyperdisk-balanced`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub kind: Option<String>,
}

/// A disk beside the boot disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExtraDisk {
    /// The name that the machine sees it by: `/dev/disk/by-id/google-NAME`.
    #[schemars(regex(pattern = "^[a-z]([-a-z0-9]{0,40}[a-z0-9])?$"))]
    pub name: String,
    /// The size, such as `40GiB`.
    pub size: Gib,
    /// The type, such as `pd-balanced`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub kind: Option<String>,
}

/// The account that programs on a machine act as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccount {
    /// Its address, or `default`.
    #[schemars(length(min = 1))]
    pub email: String,
    /// What it may be used for; `cloud-platform`, which leaves that to its roles, when absent.
    #[serde(default = "every_scope")]
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub scopes: Vec<String>,
}

/// The scope that leaves what an account may do to its roles.
pub(crate) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

fn every_scope() -> Vec<String> {
    vec![CLOUD_PLATFORM.to_owned()]
}

/// What of a shielded machine is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Shielded {
    /// Whether only signed software may boot; off where drivers are not signed.
    pub secure_boot: bool,
    /// Whether there is a virtual trusted platform module.
    pub vtpm: bool,
    /// Whether it is watched that the machine boots as it did before.
    pub integrity_monitoring: bool,
}

impl Default for Shielded {
    fn default() -> Self {
        Self {
            secure_boot: true,
            vtpm: true,
            integrity_monitoring: true,
        }
    }
}

/// How spot machines are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Spot {
    /// What happens to a machine that is taken away.
    pub interruption: Interruption,
}

/// What happens to a spot machine that is taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Interruption {
    /// It is deleted, and the next run makes another.
    #[default]
    Delete,
    /// It is stopped, and the next run starts it.
    Stop,
}

impl GcpSettings {
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
        let key = [
            (PROJECT, Some(self.project.clone())),
            (REGION, Some(self.region.clone())),
            (ENDPOINT, self.endpoint.clone()),
        ];
        let access = [
            (QUOTA_PROJECT, self.quota_project.clone()),
            (IMPERSONATE, self.impersonate.clone()),
        ];
        Scope::new(NAME, key, access)
    }
}

/// The keys of a scope.
pub(crate) const REGION: &str = Scope::REGION;
/// The project.
pub(crate) const PROJECT: &str = "project";
/// The address of the service.
pub(crate) const ENDPOINT: &str = "endpoint";
/// The project that calls are counted against.
pub(crate) const QUOTA_PROJECT: &str = "quotaProject";
/// The service account to act as.
pub(crate) const IMPERSONATE: &str = "impersonate";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_least_block_is_shielded_and_without_a_public_address() {
        let block = json!({"project": "acme-vms", "region": "europe-west1",
            "machineType": "e2-small", "image": "projects/debian-cloud/global/images/debian-12-x"});
        let settings = GcpSettings::read(&block).unwrap();
        assert_eq!(settings.shielded, Shielded::default());
        assert!(settings.shielded.secure_boot && !settings.public_address);
        assert_eq!(settings.scope().to_string(), "gcp:acme-vms/europe-west1");
    }
}
