//! What a machine is asked to be, by attribute, in the words of the fleet's block. Pure.

use meshvm_provider_api::Attributes;
use serde_json::{Value, json};

use crate::recipe::Recipe;
use crate::settings::{GcpSettings, Image, OwnedRule};

/// The image's name.
pub(crate) const IMAGE: &str = "image";
/// The hash of what the image was found by.
pub(crate) const IMAGE_SOURCE: &str = "imageSource";
/// The machine types: the machine has one of them.
pub(crate) const MACHINE_TYPE: &str = "machineType";
/// The network, by its own name.
pub(crate) const NETWORK: &str = "network";
/// The subnetwork, by its own name.
pub(crate) const SUBNETWORK: &str = "subnetwork";
/// The network tags, sorted.
pub(crate) const TAGS: &str = "tags";
/// What the fleet's own firewall rule lets in: one attribute, as it is one thing.
pub(crate) const FIREWALL: &str = "firewall.owned";
/// Whether the cloud refuses to delete the machine.
pub(crate) const DELETION_PROTECTION: &str = "deletionProtection";
/// The service account's address.
pub(crate) const EMAIL: &str = "serviceAccount.email";
/// What it may be used for, sorted.
pub(crate) const SCOPES: &str = "serviceAccount.scopes";
/// What the names of the file's labels begin with. (`labels.` is the engine's.)
pub(crate) const LABEL: &str = "label.";
/// What the names of metadata's attributes begin with.
pub(crate) const METADATA: &str = "metadata.";
/// The name of the boot disk among the disks.
pub(crate) const BOOT: &str = "boot";

/// Returns the last part of a resource's address: its own name.
pub(crate) fn last(address: &str) -> &str {
    address.rsplit('/').next().unwrap_or(address)
}

/// Returns the attribute of a disk: of the boot disk, or of a further one.
pub(crate) fn of_disk(name: &str, what: &str) -> String {
    match name {
        BOOT => format!("bootDisk.{what}"),
        name => format!("disks.{name}.{what}"),
    }
}

/// Returns what a firewall rule lets in, as it is compared.
pub(crate) fn rules(rule: &OwnedRule) -> Value {
    let OwnedRule { ports, from } = rule;
    let (mut ports, mut from) = (ports.clone(), from.clone());
    ports.sort_unstable();
    from.sort();
    json!({"ports": ports, "from": from})
}

/// Returns what machines are compared with: where they stand, and what reaches the cloud only
/// by way of the connection, are left out.
pub(crate) fn wanted(recipe: &Recipe) -> Attributes {
    let GcpSettings {
        project: _,
        region: _,
        zones: _,
        machine_type,
        image,
        network,
        subnetwork,
        public_address,
        tags,
        firewall,
        service_account,
        boot_disk,
        disks,
        shielded,
        spot,
        reservation,
        labels,
        metadata,
        deletion_protection,
        endpoint: _,
        quota_project: _,
        impersonate: _,
    } = &recipe.asked;
    let mut sorted = tags.clone();
    sorted.sort();
    let mut all: Attributes = [
        (MACHINE_TYPE, json!(machine_type)),
        (TAGS, json!(sorted)),
        (DELETION_PROTECTION, json!(deletion_protection)),
        ("publicAddress", json!(public_address)),
        ("spot", json!(spot.is_some())),
        ("shielded.secureBoot", json!(shielded.secure_boot)),
        ("shielded.vtpm", json!(shielded.vtpm)),
        (
            "shielded.integrityMonitoring",
            json!(shielded.integrity_monitoring),
        ),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            all.insert(name.to_owned(), value);
        }
    };
    let found = recipe.found.as_ref();
    match image {
        Image::Name(name) => add(IMAGE, Some(json!(name))),
        Image::Family { .. } => {
            add(IMAGE_SOURCE, image.source().map(|hash| json!(hash)));
            add(IMAGE, found.map(|found| json!(found.image)));
        }
    }
    let firewall = firewall.as_ref();
    add(FIREWALL, firewall.map(|firewall| rules(&firewall.owned)));
    add(NETWORK, network.as_deref().map(|it| json!(last(it))));
    add(SUBNETWORK, subnetwork.as_deref().map(|it| json!(last(it))));
    if let Some(account) = service_account {
        let mut scopes = account.scopes.clone();
        scopes.sort();
        // `default` stands for an address that only the cloud knows.
        let email = (account.email != "default").then(|| json!(account.email));
        add(EMAIL, email);
        add(SCOPES, Some(json!(scopes)));
    } else {
        add(SCOPES, Some(json!([])));
    }
    if let Some(spot) = spot {
        add("spot.interruption", Some(json!(spot.interruption)));
    }
    add("reservation", reservation.as_ref().map(|it| json!(it)));
    if let Some(disk) = boot_disk {
        add(&of_disk(BOOT, "size"), disk.size.map(|it| json!(it)));
        add(
            &of_disk(BOOT, "type"),
            disk.kind.as_ref().map(|it| json!(it)),
        );
    }
    for disk in disks {
        add(&of_disk(&disk.name, "size"), Some(json!(disk.size)));
        let kind = disk.kind.as_ref().map(|it| json!(it));
        add(&of_disk(&disk.name, "type"), kind);
    }
    for (key, value) in labels {
        add(&format!("{LABEL}{key}"), Some(json!(value)));
    }
    for (key, value) in metadata {
        add(&format!("{METADATA}{key}"), Some(json!(value)));
    }
    all
}
