//! What there is from the beginning: regions, zones, types, images, networks.

use serde_json::{Value, json};

/// The regions, with their zones.
pub const REGIONS: [(&str, &[&str]); 2] = [
    (
        "europe-west1",
        &["europe-west1-b", "europe-west1-c", "europe-west1-d"],
    ),
    ("us-east1", &["us-east1-b", "us-east1-c"]),
];

/// The project that there is; those of public images have nothing else.
pub const PROJECT: &str = "acme-vms";

/// The service account of machines that are to have the default one.
pub const ACCOUNT: &str = "1234-compute@developer.gserviceaccount.com";

const TYPES: [(&str, &str, u32); 7] = [
    ("n1-standard-1", "X86_64", 1),
    ("e2-small", "X86_64", 2),
    ("e2-medium", "X86_64", 2),
    ("n2-standard-2", "X86_64", 2),
    ("t2a-standard-1", "ARM64", 1),
    ("c4a-standard-1", "ARM64", 1),
    ("c3-standard-4", "X86_64", 4),
];

/// A type that one zone does not have, as newer ones are not everywhere.
const ELSEWHERE: (&str, &str) = ("c3-standard-4", "europe-west1-c");

/// Images: project, family, name, architecture; the last of a family is its newest.
const IMAGES: [(&str, &str, &str, &str); 6] = [
    (
        "ubuntu-os-cloud",
        "ubuntu-2404-lts-amd64",
        "ubuntu-2404-noble-amd64-v20260901",
        "X86_64",
    ),
    (
        "ubuntu-os-cloud",
        "ubuntu-2404-lts-arm64",
        "ubuntu-2404-noble-arm64-v20260901",
        "ARM64",
    ),
    (
        "debian-cloud",
        "debian-12",
        "debian-12-bookworm-v20260801",
        "X86_64",
    ),
    (
        "debian-cloud",
        "debian-12",
        "debian-12-bookworm-v20260901",
        "X86_64",
    ),
    (
        "debian-cloud",
        "debian-13",
        "debian-13-trixie-v20260901",
        "X86_64",
    ),
    (
        "debian-cloud",
        "debian-12-arm64",
        "debian-12-bookworm-arm64-v20260901",
        "ARM64",
    ),
];

/// The subnetworks of each region, with their networks.
const SUBNETWORKS: [(&str, &str); 2] = [("default", "default"), ("vms", "acme")];

/// Returns all zones.
pub fn zones() -> impl Iterator<Item = &'static str> {
    REGIONS.iter().flat_map(|(_, zones)| zones.iter().copied())
}

/// Returns a zone.
pub fn zone(root: &str, project: &str, name: &str) -> Value {
    let region = name.rsplit_once('-').map_or(name, |(region, _)| region);
    let number = zones().position(|zone| zone == name).unwrap_or_default();
    json!({
        "kind": "compute#zone",
        "id": (2000 + number).to_string(),
        "name": name,
        "description": name,
        "status": "UP",
        "region": format!("{root}/projects/{project}/regions/{region}"),
        "selfLink": format!("{root}/projects/{project}/zones/{name}"),
    })
}

/// Returns the machine types of a zone.
pub fn types(root: &str, project: &str, zone: &str) -> Vec<Value> {
    let types = TYPES
        .iter()
        .enumerate()
        .filter(|(_, (name, _, _))| is_type(name, zone))
        .map(|(index, (name, architecture, cpus))| {
            json!({
                "kind": "compute#machineType",
                "id": (1000 + index).to_string(),
                "name": name,
                "architecture": architecture,
                "guestCpus": cpus,
                "memoryMb": cpus * 2048,
                "zone": zone,
                "selfLink": format!("{root}/projects/{project}/zones/{zone}/machineTypes/{name}"),
            })
        });
    types.collect()
}

/// Returns how many processors a type has.
pub fn processors(name: &str) -> u64 {
    let found = TYPES.iter().find(|(known, _, _)| *known == name);
    let named = found.map(|(_, _, processors)| u64::from(*processors));
    named.or_else(|| measured(name)).unwrap_or_default()
}

/// Returns the processors of a type that is made to measure, as `n2-custom-4-8192`; no list has it.
fn measured(name: &str) -> Option<u64> {
    let (_, size) = name.split_once("custom-")?;
    size.split('-').next()?.parse().ok()
}

/// Returns whether a zone has such a machine type.
pub fn is_type(name: &str, zone: &str) -> bool {
    let is_known = TYPES.iter().any(|(known, _, _)| *known == name) || measured(name).is_some();
    is_known && (name, zone) != ELSEWHERE
}

/// Finds an image of a project.
pub fn image(root: &str, project: &str, is_it: impl Fn(&str, &str) -> bool) -> Option<Value> {
    let mut found = IMAGES.iter().enumerate().rev();
    let (number, (_, family, name, architecture)) =
        found.find(|(_, (of, family, name, _))| *of == project && is_it(family, name))?;
    Some(json!({
        "kind": "compute#image",
        "id": (5000 + number).to_string(),
        "name": name,
        "description": name,
        "family": family,
        "architecture": architecture,
        "status": "READY",
        "diskSizeGb": "10",
        "selfLink": format!("{root}/projects/{project}/global/images/{name}"),
    }))
}

/// Finds the image at an address, whole or from `projects/` on: an image, the newest of a family,
/// or the newest of a family in a zone.
pub fn image_at(root: &str, address: &str) -> Option<Value> {
    let (_, address) = address.split_once("projects/")?;
    let parts: Vec<&str> = address.split('/').collect();
    match parts[..] {
        [of, "global", "images", name] => image(root, of, |_, known| known == name),
        [of, "global", "images", "family", name] | [of, "zones", _, "imageFamilyViews", name] => {
            image(root, of, |family, _| family == name)
        }
        _ => None,
    }
}

/// Finds a region.
pub fn region(root: &str, project: &str, name: &str, quotas: &Value) -> Option<Value> {
    let (_, zones) = REGIONS.iter().find(|(known, _)| *known == name)?;
    let zones = zones
        .iter()
        .map(|zone| format!("{root}/projects/{project}/zones/{zone}"));
    Some(json!({
        "kind": "compute#region",
        "id": "100",
        "name": name,
        "status": "UP",
        "zones": zones.collect::<Vec<_>>(),
        "quotas": quotas,
        "selfLink": format!("{root}/projects/{project}/regions/{name}"),
    }))
}

/// Finds a subnetwork.
pub fn subnetwork(root: &str, project: &str, region: &str, name: &str) -> Option<Value> {
    let (_, network) = SUBNETWORKS.iter().find(|(known, _)| *known == name)?;
    Some(json!({
        "kind": "compute#subnetwork",
        "id": "200",
        "name": name,
        "ipCidrRange": "10.128.0.0/14",
        "network": format!("{root}/projects/{project}/global/networks/{network}"),
        "region": format!("{root}/projects/{project}/regions/{region}"),
        "selfLink": format!("{root}/projects/{project}/regions/{region}/subnetworks/{name}"),
    }))
}

/// Returns whether there is such a network.
pub fn is_network(name: &str) -> bool {
    SUBNETWORKS.iter().any(|(_, network)| *network == name)
}
