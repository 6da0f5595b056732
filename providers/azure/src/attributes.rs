//! What a machine is, by attribute, in the words of the fleet's block: asked for, and seen.
//!
//! Ids are compared in lower case, as Resource Manager knows none.

use std::collections::BTreeSet;

use meshvm_provider_api::{Attributes, Labels};
use serde_json::{Value, json};

use crate::recipe::Recipe;
use crate::settings::{self, AzureSettings};
use crate::tags;
use crate::wire::{Disk, ImageReference, Interface, Vm};

/// The image: what it is an edition of with its version, or the id in a gallery.
pub(crate) const IMAGE: &str = "image";
/// The hash of what the image was found by.
pub(crate) const IMAGE_SOURCE: &str = "imageSource";
/// The sizes: the machine has one of them.
pub(crate) const VM_SIZE: &str = "vmSize";
/// The subnet's id.
pub(crate) const SUBNET: &str = "subnet";
/// The id of the network security group; empty without one.
pub(crate) const SECURITY_GROUP: &str = "networkSecurityGroup";
/// Whether the machine has an identity of its own.
pub(crate) const IDENTITY_SYSTEM: &str = "identity.system";
/// The ids of its user-assigned identities.
pub(crate) const IDENTITY_USER: &str = "identity.user";
/// What the names of tags begin with.
pub(crate) const TAG: &str = "tags.";

/// Returns what machines are compared with: where they stand, and what reaches the cloud only
/// by way of the connection, are left out.
pub(crate) fn wanted(recipe: &Recipe) -> Attributes {
    let AzureSettings {
        subscription: _,
        location: _,
        resource_group: _,
        create_resource_group: _,
        zones: _,
        vm_size,
        image,
        subnet: _,
        network_security_group,
        admin_user,
        ssh_public_key,
        os_disk,
        data_disks,
        disk_encryption_set,
        identity,
        trusted_launch,
        spot,
        tags,
        public_address,
        cloud: _,
        endpoints: _,
        credential: _,
        tenant: _,
        client_id: _,
    } = &recipe.asked;
    let mut all = Attributes::new();
    let mut add = |name: &str, value: Value| {
        all.insert(name.to_owned(), value);
    };
    add(VM_SIZE, json!(vm_size));
    add(SUBNET, id(&settings::subnet_id(&recipe.asked)));
    if network_security_group.is_some() {
        let group = settings::group_id(&recipe.asked).unwrap_or_default();
        add(SECURITY_GROUP, id(&group));
    }
    add("adminUser", json!(admin_user));
    add("sshPublicKey", json!(ssh_public_key.trim()));
    add("trustedLaunch", json!(trusted_launch));
    add("spot", json!(spot.is_some()));
    add("publicAddress", json!(public_address));
    match image.source() {
        None => add(IMAGE, id(&image.to_string())),
        Some(source) => {
            add(IMAGE_SOURCE, json!(source));
            if let Some(found) = &recipe.found {
                add(IMAGE, id(&image.with_version(&found.version)));
            }
        }
    }
    if let Some(spot) = spot {
        add("spot.eviction", json!(spot.eviction));
    }
    if let Some(identity) = identity {
        add(IDENTITY_SYSTEM, json!(identity.system));
        add(IDENTITY_USER, ids(identity.user.iter()));
    }
    if let Some(set) = disk_encryption_set {
        add("diskEncryptionSet", id(set));
    }
    if let Some(size) = os_disk.as_ref().and_then(|disk| disk.size) {
        add("osDisk.size", json!(size));
    }
    if let Some(kind) = os_disk.as_ref().and_then(|disk| disk.kind) {
        add("osDisk.type", json!(kind));
    }
    for disk in data_disks {
        add(&format!("dataDisks.{}.size", disk.lun), json!(disk.size));
        if let Some(kind) = disk.kind {
            add(&format!("dataDisks.{}.type", disk.lun), json!(kind));
        }
    }
    for (key, value) in tags {
        add(&format!("{TAG}{key}"), json!(value));
    }
    all
}

/// Returns what a machine is; what its interface tells is left out where that is not known.
pub(crate) fn seen(vm: &Vm, interface: Option<&Interface>) -> Attributes {
    let properties = &vm.properties;
    let mut all = of_tags(&vm.tags);
    let mut add = |name: &str, value: Value| {
        all.insert(name.to_owned(), value);
    };
    add(VM_SIZE, json!(properties.hardware_profile.vm_size));
    let storage = &properties.storage_profile;
    if let Some(image) = &storage.image_reference {
        add(IMAGE, id(&image_name(image)));
    }
    if let Some(os) = &properties.os_profile {
        add("adminUser", json!(os.admin_username));
        let key = os.linux_configuration.as_ref();
        let key = key.and_then(|linux| linux.ssh.public_keys.first());
        let key = key.map(|key| key.key_data.trim().to_owned());
        add("sshPublicKey", json!(key));
    }
    let security = properties.security_profile.as_ref();
    let kind = security.and_then(|it| it.security_type.as_deref());
    add("trustedLaunch", json!(kind == Some("TrustedLaunch")));
    add(
        "spot",
        json!(properties.priority.as_deref() == Some("Spot")),
    );
    if let Some(policy) = &properties.eviction_policy {
        add("spot.eviction", json!(policy.to_ascii_lowercase()));
    }
    let identity = vm.identity.clone().unwrap_or_default();
    add(
        IDENTITY_SYSTEM,
        json!(identity.kind.contains("SystemAssigned")),
    );
    add(IDENTITY_USER, ids(identity.user_assigned_identities.keys()));
    if let Some(disk) = &storage.os_disk {
        all.extend(of_disk("osDisk", disk));
        let set = disk.managed_disk.as_ref();
        if let Some(set) = set.and_then(|disk| disk.disk_encryption_set.as_ref()) {
            all.insert("diskEncryptionSet".to_owned(), id(&set.id));
        }
    }
    for disk in &storage.data_disks {
        all.extend(of_disk(&format!("dataDisks.{}", disk.lun), disk));
    }
    if let Some(interface) = interface {
        let subnet = interface.subnet.as_deref().unwrap_or_default();
        all.insert(SUBNET.to_owned(), id(subnet));
        let group = interface.security_group.as_deref().unwrap_or_default();
        all.insert(SECURITY_GROUP.to_owned(), id(group));
        let is_public = interface.public_address.is_some();
        all.insert("publicAddress".to_owned(), json!(is_public));
    }
    all
}

fn of_disk(prefix: &str, disk: &Disk) -> Attributes {
    let kind = disk.managed_disk.as_ref();
    let kind = kind.and_then(|disk| disk.storage_account_type.as_ref());
    let all = [
        ("size", disk.size.map(|size| json!(format!("{size}GiB")))),
        ("type", kind.map(|kind| json!(kind))),
    ];
    all.into_iter()
        .filter_map(|(name, value)| Some((format!("{prefix}.{name}"), value?)))
        .collect()
}

fn image_name(image: &ImageReference) -> String {
    let ImageReference {
        id,
        publisher,
        offer,
        sku,
        version,
        exact_version,
    } = image;
    match id {
        Some(id) => id.clone(),
        None => {
            let version = exact_version.as_ref().unwrap_or(version);
            format!("{publisher}:{offer}:{sku}:{version}")
        }
    }
}

/// Returns the attributes that a machine's tags say.
pub(crate) fn of_tags(tags: &Labels) -> Attributes {
    let mut all: Attributes = tags
        .iter()
        .filter(|(key, _)| !tags::OWN.contains(&key.as_str()))
        .map(|(key, value)| (format!("{TAG}{key}"), json!(value)))
        .collect();
    if let Some(source) = tags.get(tags::IMAGE) {
        all.insert(IMAGE_SOURCE.to_owned(), json!(source));
    }
    all
}

/// Returns an id as it is compared.
fn id(id: &str) -> Value {
    json!(id.to_ascii_lowercase())
}

fn ids<'a>(all: impl Iterator<Item = &'a String>) -> Value {
    let all: BTreeSet<String> = all.map(|id| id.to_ascii_lowercase()).collect();
    json!(all)
}
