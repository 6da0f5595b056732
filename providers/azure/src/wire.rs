//! The few resources of Azure that are read, as they are on the wire; what is not read is left out.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Vm {
    pub id: String,
    pub name: String,
    pub location: String,
    pub etag: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub zones: Vec<String>,
    pub identity: Option<Identity>,
    pub properties: VmProperties,
}

/// The managed identities of a machine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Identity {
    #[serde(rename = "type")]
    pub kind: String,
    pub user_assigned_identities: BTreeMap<String, Value>,
}

/// What a machine is like.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VmProperties {
    pub provisioning_state: String,
    pub hardware_profile: Hardware,
    pub storage_profile: Storage,
    pub os_profile: Option<Os>,
    pub network_profile: Network,
    pub security_profile: Option<Security>,
    pub priority: Option<String>,
    pub eviction_policy: Option<String>,
    pub instance_view: Option<View>,
}

/// Its size.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Hardware {
    pub vm_size: String,
}

/// Its disks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Storage {
    pub image_reference: Option<ImageReference>,
    pub os_disk: Option<Disk>,
    pub data_disks: Vec<Disk>,
}

/// What its OS disk was made from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ImageReference {
    pub id: Option<String>,
    pub publisher: String,
    pub offer: String,
    pub sku: String,
    pub version: String,
    pub exact_version: Option<String>,
}

/// A disk of a machine's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Disk {
    pub lun: u8,
    #[serde(rename = "diskSizeGB")]
    pub size: Option<u32>,
    pub managed_disk: Option<ManagedDisk>,
}

/// Its interfaces.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Network {
    pub network_interfaces: Vec<Reference>,
}

/// The resource that a disk is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ManagedDisk {
    pub storage_account_type: Option<String>,
    pub disk_encryption_set: Option<Reference>,
}

/// Another resource.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Reference {
    pub id: String,
}

/// Who may log in.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Os {
    pub admin_username: String,
    pub linux_configuration: Option<Linux>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Linux {
    pub ssh: Ssh,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Ssh {
    pub public_keys: Vec<PublicKey>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PublicKey {
    pub key_data: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Security {
    pub security_type: Option<String>,
}

/// What goes on with a machine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct View {
    pub statuses: Vec<Status>,
}

/// One part of it, such as `PowerState/running`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub code: String,
}

/// A network interface; the whole of it is kept, as it is put back whole when it changes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "Value")]
pub(crate) struct Interface {
    pub name: String,
    pub location: String,
    pub tags: BTreeMap<String, String>,
    /// The machine that it is of.
    pub machine: Option<String>,
    /// Its address in its network.
    pub address: Option<String>,
    pub subnet: Option<String>,
    pub security_group: Option<String>,
    pub public_address: Option<String>,
    pub whole: Value,
}

impl From<Value> for Interface {
    fn from(whole: Value) -> Self {
        let at = |path: &str| {
            whole
                .pointer(path)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let tags = whole.get("tags").cloned().unwrap_or_default();
        let primary = "/properties/ipConfigurations/0/properties";
        Self {
            name: at("/name").unwrap_or_default(),
            location: at("/location").unwrap_or_default(),
            tags: BTreeMap::deserialize(tags).unwrap_or_default(),
            machine: at("/properties/virtualMachine/id"),
            address: at(&format!("{primary}/privateIPAddress")),
            subnet: at(&format!("{primary}/subnet/id")),
            security_group: at("/properties/networkSecurityGroup/id"),
            public_address: at(&format!("{primary}/publicIPAddress/id")),
            whole,
        }
    }
}

/// A disk or a public address, where it is looked for because its machine is gone.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Part {
    pub name: String,
    pub tags: BTreeMap<String, String>,
    pub managed_by: Option<String>,
    pub properties: PartProperties,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PartProperties {
    /// The interface that an address is of.
    pub ip_configuration: Option<Reference>,
}
