//! The request that makes machines. Pure: the same batch always makes the same request.

use google_cloud_compute_v1::model::{
    AccessConfig, AttachedDisk, AttachedDiskInitializeParams, BulkInsertInstanceResource,
    BulkInsertInstanceResourcePerInstanceProperties, InstanceProperties, Metadata,
    NetworkInterface, ReservationAffinity, Scheduling, ServiceAccount, ShieldedInstanceConfig,
    Tags, access_config, metadata::Items, reservation_affinity::ConsumeReservationType, scheduling,
};
use meshvm_provider_api::{Batch, BatchKey, Labels, Place};
use uuid::Uuid;

use crate::attributes::BOOT;
use crate::firewall::Owner;
use crate::kept::{self, Made, Named};
use crate::recipe::{Found, Recipe};
use crate::settings::{ExtraDisk, GcpSettings, Interruption, Spot};

/// What a reservation is named by in a request.
const RESERVATION: &str = "compute.googleapis.com/reservation-name";

/// Returns the names of a batch's machines: the same key always means the same names.
pub(crate) fn names(batch: &Batch) -> Vec<String> {
    let fleet = &batch.ownership.fleet;
    (0..batch.count)
        .map(|index| batch.key.machine_name(fleet, index))
        .collect()
}

/// Returns the ways to make a batch's machines: each type in its zone, in the file's order, and then in
/// the fleet's other zones.
pub(crate) fn attempts<'a>(
    recipe: &'a Recipe,
    found: &Found,
    batch: &'a Batch,
) -> Vec<(Place<'a>, &'a str)> {
    let types = &recipe.asked.machine_type.0;
    let places = batch.places();
    let places = places.filter(|place| found.zones.iter().any(|zone| zone == place.zone));
    places
        .flat_map(|place| types.iter().map(move |kind| (place, kind.as_str())))
        .collect()
}

/// Returns the request id of a try of an attempt, which Compute Engine answers once: what failed
/// for a reason of its own is answered so again under the same id
/// (<https://cloud.google.com/compute/docs/reference/rest/v1/instances/bulkInsert#query-parameters>).
pub(crate) fn request_id(key: BatchKey, attempt: usize, again: u32) -> String {
    let which = match again {
        0 => format!("bulkInsert {attempt}"),
        again => format!("bulkInsert {attempt} again {again}"),
    };
    Uuid::new_v5(&key.0, which.as_bytes()).to_string()
}

/// Returns the request for machines of these names, or as many as there is room for.
pub(crate) fn request(
    recipe: &Recipe,
    found: &Found,
    batch: &Batch,
    place: Place<'_>,
    machine_type: &str,
    names: &[String],
    request: &str,
) -> BulkInsertInstanceResource {
    let one = BulkInsertInstanceResourcePerInstanceProperties::new();
    let each = names.iter().map(|name| (name.clone(), one.clone()));
    BulkInsertInstanceResource::new()
        .set_count(i64::try_from(names.len()).unwrap_or(i64::MAX))
        .set_min_count(1)
        .set_per_instance_properties(each)
        .set_instance_properties(properties(
            recipe,
            found,
            batch,
            place,
            machine_type,
            request,
        ))
}

fn properties(
    recipe: &Recipe,
    found: &Found,
    batch: &Batch,
    place: Place<'_>,
    machine_type: &str,
    request: &str,
) -> InstanceProperties {
    let asked = &recipe.asked;
    let (mut labels, others) = labels(asked, batch, place);
    labels.insert(kept::REQUEST.to_owned(), request.to_owned());
    let shielded = ShieldedInstanceConfig::new()
        .set_enable_secure_boot(asked.shielded.secure_boot)
        .set_enable_vtpm(asked.shielded.vtpm)
        .set_enable_integrity_monitoring(asked.shielded.integrity_monitoring);
    let owner = Owner {
        stack: &batch.ownership.stack,
        fleet: &batch.ownership.fleet,
    };
    let mut tags = asked.tags.clone();
    tags.extend(asked.firewall.as_ref().map(|_| owner.rule()));
    let accounts = asked.service_account.iter().map(|account| {
        ServiceAccount::new()
            .set_email(&account.email)
            .set_scopes(account.scopes.clone())
    });
    let boot = AttachedDisk::new()
        .set_boot(true)
        .set_auto_delete(true)
        .set_initialize_params(boot_disk(asked, found, &labels));
    let disks = asked.disks.iter().map(|disk| extra_disk(disk, &labels));
    InstanceProperties::new()
        .set_machine_type(machine_type)
        .set_disks([boot].into_iter().chain(disks))
        .set_network_interfaces([interface(asked)])
        .set_tags(Tags::new().set_items(tags))
        .set_service_accounts(accounts)
        .set_shielded_instance_config(shielded)
        .set_or_clear_scheduling(asked.spot.as_ref().map(spot))
        .set_or_clear_reservation_affinity(asked.reservation.as_deref().map(reservation))
        .set_metadata(Metadata::new().set_items(metadata(recipe, found, batch, &others)))
        .set_labels(labels)
}

/// Returns the labels of new machines: those that the cloud takes, and the others.
fn labels(asked: &GcpSettings, batch: &Batch, place: Place<'_>) -> (Labels, Labels) {
    let mut all = asked.labels.clone();
    all.extend(batch.all_labels());
    all.extend(place.label());
    kept::part(&all)
}

fn metadata(recipe: &Recipe, found: &Found, batch: &Batch, others: &Labels) -> Vec<Items> {
    let asked = &recipe.asked;
    let boot = asked.boot_disk.as_ref().and_then(|disk| disk.kind.clone());
    let boot = boot.map(|kind| (BOOT.to_owned(), kind));
    let extra = asked.disks.iter();
    let extra = extra.filter_map(|disk| Some((disk.name.clone(), disk.kind.clone()?)));
    let made = Made {
        image: Some(found.image.clone()),
        source: asked.image.source().map(|hash| hash.to_string()),
        disk_types: boot.into_iter().chain(extra).collect(),
    };
    let mut items = asked.metadata.clone();
    items.insert(kept::USER_DATA.to_owned(), batch.user_data.clone());
    items.insert(kept::MADE.to_owned(), kept::write(&made));
    items.insert(kept::NAMED.to_owned(), kept::write(&Named::of(recipe)));
    if !others.is_empty() {
        items.insert(kept::LABELS.to_owned(), kept::write(others));
    }
    items
        .into_iter()
        .map(|(key, value)| item(key, value))
        .collect()
}

/// Makes an item of metadata.
pub(crate) fn item(key: String, value: String) -> Items {
    Items::new().set_key(key).set_value(value)
}

fn boot_disk(asked: &GcpSettings, found: &Found, labels: &Labels) -> AttachedDiskInitializeParams {
    let disk = asked.boot_disk.clone().unwrap_or_default();
    AttachedDiskInitializeParams::new()
        .set_source_image(&found.image)
        .set_labels(labels.clone())
        .set_or_clear_disk_size_gb(disk.size.map(|size| i64::from(size.count())))
        .set_or_clear_disk_type(disk.kind)
}

fn extra_disk(disk: &ExtraDisk, labels: &Labels) -> AttachedDisk {
    let parameters = AttachedDiskInitializeParams::new()
        .set_labels(labels.clone())
        .set_disk_size_gb(i64::from(disk.size.count()))
        .set_or_clear_disk_type(disk.kind.clone());
    AttachedDisk::new()
        // It was made for the machine alone.
        .set_auto_delete(true)
        .set_device_name(&disk.name)
        .set_initialize_params(parameters)
}

fn interface(asked: &GcpSettings) -> NetworkInterface {
    let subnetwork = asked
        .subnetwork
        .as_deref()
        .map(|name| match name.contains('/') {
            true => name.to_owned(),
            false => format!("regions/{}/subnetworks/{name}", asked.region),
        });
    let network = match (&asked.network, &subnetwork) {
        (Some(name), _) if name.contains('/') => Some(name.clone()),
        (Some(name), _) => Some(format!("global/networks/{name}")),
        (None, Some(_)) => None,
        (None, None) => Some("global/networks/default".to_owned()),
    };
    let public = asked.public_address.then(|| {
        AccessConfig::new()
            .set_name("External NAT")
            .set_type(access_config::Type::OneToOneNat)
    });
    NetworkInterface::new()
        .set_or_clear_network(network)
        .set_or_clear_subnetwork(subnetwork)
        .set_access_configs(public)
}

fn spot(spot: &Spot) -> Scheduling {
    let action = match spot.interruption {
        Interruption::Delete => scheduling::InstanceTerminationAction::Delete,
        Interruption::Stop => scheduling::InstanceTerminationAction::Stop,
    };
    Scheduling::new()
        .set_provisioning_model(scheduling::ProvisioningModel::Spot)
        .set_instance_termination_action(action)
        .set_on_host_maintenance(scheduling::OnHostMaintenance::Terminate)
        .set_automatic_restart(false)
}

fn reservation(name: &str) -> ReservationAffinity {
    ReservationAffinity::new()
        .set_consume_reservation_type(ConsumeReservationType::SpecificReservation)
        .set_key(RESERVATION)
        .set_values([name])
}
