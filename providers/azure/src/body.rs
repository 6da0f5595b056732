//! The request that makes a machine with all that belongs to it. Pure: the same batch and number
//! always make the same request.
//!
//! One `PUT` makes machine, interface, disks and public address together, and each says that it
//! goes when the machine goes
//! (<https://learn.microsoft.com/azure/virtual-machines/delete>).

use std::io::{self, Write as _};

use base64::Engine as _;
use flate2::{Compression, GzBuilder};
use meshvm_provider_api::{Batch, ErrorClass, Labels, ProviderError};
use serde_json::{Map, Value, json};

use crate::kind::USER_DATA_LIMIT;
use crate::recipe::{Found, Recipe};
use crate::settings::{self, AzureSettings, DataDisk, Eviction, Image, ManagedIdentity};
use crate::tags;

/// The version of the network's API that interfaces inside of a machine's request are made by.
const NETWORK_API: &str = "2022-11-01";

/// Returns the name of a machine's OS disk.
pub(crate) fn os_disk_name(machine: &str) -> String {
    format!("{machine}-os")
}

/// Returns the name of a machine's further disk.
pub(crate) fn data_disk_name(machine: &str, lun: u8) -> String {
    format!("{machine}-data-{lun}")
}

/// Returns the request for one machine of a batch.
///
/// # Errors
/// `Environment` when the user-data cannot be packed.
pub(crate) fn machine(
    recipe: &Recipe,
    found: &Found,
    batch: &Batch,
    name: &str,
    zone: &str,
    size: &str,
    all_tags: &Labels,
) -> Result<Value, ProviderError> {
    let asked = &recipe.asked;
    let mut properties = json!({
        "hardwareProfile": {"vmSize": size},
        "storageProfile": {
            "imageReference": image(&asked.image, found),
            "osDisk": os_disk(asked, name),
            "dataDisks": asked.data_disks.iter().map(|disk| data_disk(asked, name, disk)).collect::<Vec<_>>(),
        },
        "osProfile": {
            "computerName": name,
            "adminUsername": asked.admin_user,
            "customData": encoded(&batch.user_data)?,
            "linuxConfiguration": {
                "disablePasswordAuthentication": true,
                "ssh": {"publicKeys": [{
                    "path": format!("/home/{}/.ssh/authorized_keys", asked.admin_user),
                    "keyData": asked.ssh_public_key,
                }]},
            },
        },
        "networkProfile": {
            "networkApiVersion": NETWORK_API,
            "networkInterfaceConfigurations": [interface(asked, name, all_tags)],
        },
    });
    let mut add = |key: &str, value: Value| properties[key] = value;
    let security = match asked.trusted_launch {
        true => json!({
            "securityType": "TrustedLaunch",
            "uefiSettings": {"secureBootEnabled": true, "vTpmEnabled": true},
        }),
        // Of images that can, Azure makes trusted machines where nothing is said
        // (<https://learn.microsoft.com/azure/virtual-machines/trusted-launch#trusted-launch-as-default>).
        false => json!({"securityType": "Standard"}),
    };
    add("securityProfile", security);
    if let Some(spot) = &asked.spot {
        add("priority", json!("Spot"));
        add("evictionPolicy", json!(eviction(spot.eviction)));
        let most = spot
            .max_price
            .as_ref()
            .and_then(|text| text.parse::<f64>().ok());
        // The price of others, in Azure's words.
        add("billingProfile", json!({"maxPrice": most.unwrap_or(-1.0)}));
    }
    let mut body = json!({
        "location": asked.location,
        "tags": all_tags,
        "properties": properties,
    });
    if let Some(number) = zone.strip_prefix(&format!("{}-", asked.location)) {
        body["zones"] = json!([number]);
    }
    if let Some(wanted) = &asked.identity {
        body["identity"] = identity(wanted, []);
    }
    if let Some(plan) = &found.plan {
        let terms =
            json!({"name": plan.name, "publisher": plan.publisher, "product": plan.product});
        body["plan"] = terms;
    }
    Ok(body)
}

/// Returns Azure's name of what happens to a spot machine that is taken away.
pub(crate) fn eviction(eviction: Eviction) -> &'static str {
    match eviction {
        Eviction::Delete => "Delete",
        Eviction::Deallocate => "Deallocate",
    }
}

/// Returns identities as a request has them; those that shall go are said so by name.
pub(crate) fn identity<'a>(
    wanted: &ManagedIdentity,
    gone: impl IntoIterator<Item = &'a String>,
) -> Value {
    let kind = match (wanted.system, wanted.user.is_empty()) {
        (true, true) => "SystemAssigned",
        (true, false) => "SystemAssigned, UserAssigned",
        (false, true) => "None",
        (false, false) => "UserAssigned",
    };
    let mut users: Map<String, Value> = gone
        .into_iter()
        .map(|id| (id.clone(), Value::Null))
        .collect();
    users.extend(wanted.user.iter().map(|id| (id.clone(), json!({}))));
    match users.is_empty() {
        true => json!({"type": kind}),
        false => json!({"type": kind, "userAssignedIdentities": users}),
    }
}

fn image(image: &Image, found: &Found) -> Value {
    match image {
        Image::Gallery(id) => json!({"id": id}),
        Image::Marketplace {
            publisher,
            offer,
            sku,
            version: _,
            policy: _,
        } => json!({
            "publisher": publisher, "offer": offer, "sku": sku, "version": found.version,
        }),
    }
}

fn os_disk(asked: &AzureSettings, machine: &str) -> Value {
    let disk = asked.os_disk.clone().unwrap_or_default();
    let mut body = json!({
        "name": os_disk_name(machine),
        "createOption": "FromImage",
        "deleteOption": "Delete",
        "managedDisk": managed(asked, disk.kind),
    });
    if let Some(size) = disk.size {
        body["diskSizeGB"] = json!(size.count());
    }
    body
}

fn data_disk(asked: &AzureSettings, machine: &str, disk: &DataDisk) -> Value {
    json!({
        "lun": disk.lun,
        "name": data_disk_name(machine, disk.lun),
        "createOption": "Empty",
        "deleteOption": "Delete",
        "diskSizeGB": disk.size.count(),
        "managedDisk": managed(asked, disk.kind),
    })
}

fn managed(asked: &AzureSettings, kind: Option<settings::DiskType>) -> Value {
    let mut body = json!({});
    if let Some(kind) = kind {
        body["storageAccountType"] = json!(kind);
    }
    if let Some(set) = &asked.disk_encryption_set {
        body["diskEncryptionSet"] = json!({"id": set});
    }
    body
}

fn interface(asked: &AzureSettings, machine: &str, all_tags: &Labels) -> Value {
    let part_tags = tags::of_part(all_tags, machine);
    let mut address = json!({
        "primary": true,
        "subnet": {"id": settings::subnet_id(asked)},
    });
    if asked.public_address {
        address["publicIPAddressConfiguration"] = json!({
            "name": format!("{machine}-public"),
            "tags": part_tags,
            "sku": {"name": "Standard"},
            "properties": {"deleteOption": "Delete", "publicIPAllocationMethod": "Static"},
        });
    }
    let mut properties = json!({
        "primary": true,
        "deleteOption": "Delete",
        "ipConfigurations": [{"name": "primary", "properties": address}],
    });
    if let Some(group) = settings::group_id(asked) {
        properties["networkSecurityGroup"] = json!({"id": group});
    }
    json!({"name": format!("{machine}-nic"), "tags": part_tags, "properties": properties})
}

/// Encodes user-data as Azure takes it: packed only when it is too large, since cloud-init
/// unpacks it by itself, and people who look at it do not.
fn encoded(user_data: &str) -> Result<String, ProviderError> {
    let plain = user_data.as_bytes();
    let bytes = match plain.len() <= USER_DATA_LIMIT {
        true => plain.to_vec(),
        false => packed(plain).map_err(|error| {
            let class = ErrorClass::Environment;
            ProviderError::new(class, "the user-data cannot be packed").with_source(error)
        })?,
    };
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// Packs bytes without the time: a repeated request must be the same, byte for byte.
fn packed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    writer.write_all(bytes)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn user_data_is_packed_only_when_it_is_too_large() {
        let small = "#cloud-config\n{}\n";
        let sent = STANDARD.decode(encoded(small).unwrap()).unwrap();
        assert_eq!(sent, small.as_bytes());
        let large = "# a line like the others\n".repeat(USER_DATA_LIMIT / 20);
        let sent = STANDARD.decode(encoded(&large).unwrap()).unwrap();
        assert!(sent.len() <= USER_DATA_LIMIT, "{}", sent.len());
        let mut back = String::new();
        let mut reader = flate2::read::GzDecoder::new(sent.as_slice());
        reader.read_to_string(&mut back).unwrap();
        assert_eq!(back, large);
        assert_eq!(encoded(&large).unwrap(), encoded(&large).unwrap());
    }

    #[test]
    fn identities_that_go_are_named() {
        let wanted = ManagedIdentity {
            system: true,
            user: vec!["/new".to_owned()],
        };
        let gone = ["/old".to_owned()];
        assert_eq!(
            identity(&wanted, &gone),
            json!({
                "type": "SystemAssigned, UserAssigned",
                "userAssignedIdentities": {"/old": null, "/new": {}},
            })
        );
        let none = identity(&ManagedIdentity::default(), []);
        assert_eq!(none, json!({"type": "None"}));
    }
}
