//! An instance of Compute Engine as a machine. Pure.

use std::collections::BTreeMap;

use google_cloud_compute_v1::model::{
    Instance, instance::Status, reservation_affinity, scheduling,
};
use meshvm_provider_api::{Attributes, Labels, Machine, MachineId, Power, Readiness};
use serde_json::{Value, json};

use crate::attributes::{
    self, BOOT, DELETION_PROTECTION, EMAIL, FIREWALL, IMAGE, IMAGE_SOURCE, LABEL, MACHINE_TYPE,
    METADATA, NETWORK, SCOPES, SUBNETWORK, TAGS, last,
};
use crate::firewall::{self, Owner};
use crate::kept::{self, Made, Named};
use crate::settings::Gib;

/// Returns an instance as a machine; `None` when it says neither its id nor its name.
pub(crate) fn of(instance: &Instance) -> Option<Machine> {
    let id = instance.id?;
    let power = match instance.status.as_ref() {
        Some(Status::Running | Status::PendingStop) => Power::Running,
        Some(
            Status::Stopping
            | Status::Stopped
            | Status::Suspending
            | Status::Suspended
            | Status::Terminated,
        ) => Power::Stopped,
        // Being mended, or a state of a newer API: it exists, and is not known to run.
        _ => Power::Starting,
    };
    let items = items(instance);
    let labels = labels(instance, &items);
    let interface = instance.network_interfaces.first();
    Some(Machine {
        id: MachineId(id.to_string()),
        // It is told so to the machine as its host name, and fits a DNS label.
        name: instance.name.clone()?,
        zone: zone(instance).to_owned(),
        power,
        readiness: Readiness::Unknown,
        address: interface
            .and_then(|interface| interface.network_ip.as_ref())
            .and_then(|text| text.parse().ok()),
        attributes: attributes(instance, &items),
        labels,
    })
}

/// Returns the name of an instance's zone.
pub(crate) fn zone(instance: &Instance) -> &str {
    instance.zone.as_deref().map(last).unwrap_or_default()
}

/// Returns an instance's metadata.
pub(crate) fn items(instance: &Instance) -> BTreeMap<String, String> {
    let items = instance.metadata.iter().flat_map(|all| &all.items);
    items
        .filter_map(|item| Some((item.key.clone()?, item.value.clone().unwrap_or_default())))
        .collect()
}

/// Returns all labels: those of the cloud, and those that it does not take as such.
pub(crate) fn labels(instance: &Instance, items: &BTreeMap<String, String>) -> Labels {
    let mut labels: Labels = kept::read(items.get(kept::LABELS));
    let own = instance.labels.iter();
    labels.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    labels
}

fn attributes(instance: &Instance, items: &BTreeMap<String, String>) -> Attributes {
    let mut all = Attributes::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            all.insert(name.to_owned(), value);
        }
    };
    let made: Made = kept::read(items.get(kept::MADE));
    add(IMAGE, made.image.as_ref().map(|it| json!(it)));
    add(IMAGE_SOURCE, made.source.as_ref().map(|it| json!(it)));
    let machine_type = instance.machine_type.as_deref();
    add(MACHINE_TYPE, machine_type.map(|it| json!(last(it))));
    if let Some(interface) = instance.network_interfaces.first() {
        let network = interface.network.as_deref();
        add(NETWORK, network.map(|it| json!(last(it))));
        let subnetwork = interface.subnetwork.as_deref();
        add(SUBNETWORK, subnetwork.map(|it| json!(last(it))));
        let is_public = !interface.access_configs.is_empty();
        add("publicAddress", Some(json!(is_public)));
    }
    let mut tags: Vec<&String> = instance.tags.iter().flat_map(|tags| &tags.items).collect();
    tags.sort();
    if firewall::reaches(instance) {
        // It is told by itself: what the file names are the others.
        let own = Owner::of(|key| instance.labels.get(key)).map(Owner::rule);
        tags.retain(|tag| Some(*tag) != own.as_ref());
        add(FIREWALL, Some(Value::Null));
    }
    add(TAGS, Some(json!(tags)));
    let is_protected = instance.deletion_protection.unwrap_or_default();
    add(DELETION_PROTECTION, Some(json!(is_protected)));
    let account = instance.service_accounts.first();
    add(
        EMAIL,
        account.and_then(|it| it.email.as_ref()).map(|it| json!(it)),
    );
    let mut scopes: Vec<&String> = account.iter().flat_map(|account| &account.scopes).collect();
    scopes.sort();
    add(SCOPES, Some(json!(scopes)));
    if let Some(shielded) = &instance.shielded_instance_config {
        let secure_boot = shielded.enable_secure_boot.unwrap_or_default();
        add("shielded.secureBoot", Some(json!(secure_boot)));
        let vtpm = shielded.enable_vtpm.unwrap_or_default();
        add("shielded.vtpm", Some(json!(vtpm)));
        let monitoring = shielded.enable_integrity_monitoring.unwrap_or_default();
        add("shielded.integrityMonitoring", Some(json!(monitoring)));
    }
    let scheduling = instance.scheduling.as_ref();
    let model = scheduling.and_then(|it| it.provisioning_model.as_ref());
    let is_spot = model == Some(&scheduling::ProvisioningModel::Spot);
    add("spot", Some(json!(is_spot)));
    let action = scheduling.and_then(|it| it.instance_termination_action.as_ref());
    let interruption = action
        .and_then(|action| action.name())
        .map(str::to_lowercase);
    add(
        "spot.interruption",
        interruption.filter(|_| is_spot).map(|it| json!(it)),
    );
    if let Some(affinity) = &instance.reservation_affinity {
        use reservation_affinity::ConsumeReservationType::SpecificReservation;
        let is_one = affinity.consume_reservation_type == Some(SpecificReservation);
        let name = affinity.values.first().filter(|_| is_one);
        add("reservation", name.map(|it| json!(last(it))));
    }
    for disk in &instance.disks {
        let name = match disk.boot.unwrap_or_default() {
            true => BOOT,
            false => disk.device_name.as_deref().unwrap_or_default(),
        };
        let size = disk.disk_size_gb.and_then(|size| u32::try_from(size).ok());
        let size = size.map(|size| json!(Gib::of(size)));
        add(&attributes::of_disk(name, "size"), size);
        let kind = made.disk_types.get(name);
        add(&attributes::of_disk(name, "type"), kind.map(|it| json!(it)));
    }
    for (key, value) in &instance.labels {
        add(&format!("{LABEL}{key}"), Some(json!(value)));
    }
    let named: Named = kept::read(items.get(kept::NAMED));
    for (key, value) in items {
        // What others wrote there may be a secret of theirs: only what the file names is shown.
        if named.metadata.contains(key) {
            add(&format!("{METADATA}{key}"), Some(json!(value)));
        }
    }
    // The keys themselves say which of them came from the file.
    add("named", Some(json!(named)));
    all
}

/// Returns which labels and metadata of a machine came from the file.
pub(crate) fn named(machine: &Machine) -> Named {
    let named = machine.attributes.get("named").cloned();
    named
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_power() {
        for (status, power) in [
            ("PROVISIONING", Power::Starting),
            ("STAGING", Power::Starting),
            ("REPAIRING", Power::Starting),
            ("RUNNING", Power::Running),
            ("STOPPING", Power::Stopped),
            ("SUSPENDED", Power::Stopped),
            ("TERMINATED", Power::Stopped),
        ] {
            let instance = Instance::new()
                .set_id(7_u64)
                .set_name("web-1")
                .set_zone("https://www.googleapis.com/compute/v1/projects/p/zones/europe-west1-b")
                .set_status(Status::from(status));
            let machine = of(&instance).unwrap();
            assert_eq!(
                (machine.power, machine.zone.as_str()),
                (power, "europe-west1-b"),
                "{status}"
            );
        }
    }
}
