//! What can be had: sizes, images, and how much of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::LOCATION;
use crate::server::Reply;
use crate::world::World;

/// A size of machines: name, family, cores, architecture, generations, whether it boots trusted.
pub(crate) const SIZES: [(&str, &str, u64, &str, &str, bool); 5] = [
    (
        "Standard_D2s_v5",
        "standardDSv5Family",
        2,
        "x64",
        "V1,V2",
        true,
    ),
    (
        "Standard_D2as_v5",
        "standardDASv5Family",
        2,
        "x64",
        "V1,V2",
        true,
    ),
    (
        "Standard_D4s_v5",
        "standardDSv5Family",
        4,
        "x64",
        "V1,V2",
        true,
    ),
    (
        "Standard_D2ps_v5",
        "standardDPSv5Family",
        2,
        "Arm64",
        "V2",
        true,
    ),
    (
        "Standard_M8ms",
        "standardMSFamily",
        8,
        "x64",
        "V1,V2",
        false,
    ),
];

/// An image: offer, edition, version, architecture, generation.
const IMAGES: [(&str, &str, &str, &str, &str); 5] = [
    ("debian-12", "12-gen2", "0.20260909.9", "x64", "V2"),
    ("debian-12", "12-gen2", "0.20261010.10", "x64", "V2"),
    ("debian-12", "12", "0.20261010.10", "x64", "V1"),
    ("debian-12", "12-arm64", "0.20261010.10", "Arm64", "V2"),
    ("hardened", "cis", "1.0.0", "x64", "V2"),
];

/// The image of the gallery that there is.
const GALLERY: (&str, &str, &str) = ("shared", "web", "1.0.0");

/// Returns the cores of a size.
pub(crate) fn cores(size: &str) -> Option<u64> {
    let found = SIZES.iter().find(|it| it.0.eq_ignore_ascii_case(size));
    found.map(|it| it.2)
}

/// Returns whether an image can be had.
pub(crate) fn has_image(reference: &Value) -> bool {
    let part = |name: &str| reference[name].as_str().unwrap_or_default();
    if let Some(id) = reference["id"].as_str() {
        let (gallery, image, version) = GALLERY;
        let end = format!("/galleries/{gallery}/images/{image}/versions/{version}");
        return id.to_ascii_lowercase().ends_with(&end);
    }
    IMAGES.iter().any(|(offer, sku, version, _, _)| {
        let is_version = part("version") == *version || part("version") == "latest";
        *offer == part("offer") && *sku == part("sku") && is_version
    })
}

/// Lists sizes.
pub(crate) fn sizes() -> Value {
    let all: Vec<Value> = SIZES
        .iter()
        .map(|(name, family, cores, architecture, generations, is_trusted)| {
            json!({
                "resourceType": "virtualMachines", "name": name, "family": family,
                "locations": [LOCATION],
                "locationInfo": [{"location": LOCATION, "zones": ["1", "2", "3"]}],
                "capabilities": [
                    {"name": "vCPUs", "value": cores.to_string()},
                    {"name": "CpuArchitectureType", "value": architecture},
                    {"name": "HyperVGenerations", "value": generations},
                    {"name": "TrustedLaunchDisabled", "value": if *is_trusted { "False" } else { "True" }},
                ],
                "restrictions": restrictions(name),
            })
        })
        .collect();
    json!({"value": all})
}

/// One size is not to be had in one zone.
fn restrictions(name: &str) -> Value {
    match name {
        "Standard_D2as_v5" => json!([{
            "type": "Zone", "values": [LOCATION], "reasonCode": "NotAvailableForSubscription",
            "restrictionInfo": {"locations": [LOCATION], "zones": ["3"]},
        }]),
        _ => json!([]),
    }
}

/// Lists what of the quota is used.
pub(crate) fn usages(world: &World) -> Value {
    let usage = |name: &str, text: &str, used: u64, limit: u64| {
        json!({
            "unit": "Count", "currentValue": used, "limit": limit,
            "name": {"value": name, "localizedValue": text},
        })
    };
    let (cores, spot) = (world.manners.cores, world.manners.spot_cores);
    let used = |by_spot: bool| world.cores_used(by_spot);
    json!({"value": [
        usage("cores", "Total Regional vCPUs", used(false), cores),
        usage("lowPriorityCores", "Total Regional Low-priority vCPUs", used(true), spot),
    ]})
}

/// Lists the versions of an image of the marketplace, oldest first unless asked otherwise.
pub(crate) fn versions(offer: &str, sku: &str, query: &BTreeMap<String, String>) -> Reply {
    let option = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let is_whole = option("$expand").eq_ignore_ascii_case("properties");
    let mut all: Vec<Value> = IMAGES
        .iter()
        .filter(|it| it.0.eq_ignore_ascii_case(offer) && it.1.eq_ignore_ascii_case(sku))
        .map(|it| described(it, is_whole))
        .collect();
    if all.is_empty() {
        return Reply::error(404, "NotFound", "Artifact: VMImage was not found.");
    }
    match option("$orderby") {
        "" | "name" | "name asc" => {}
        "name desc" => all.reverse(),
        other => {
            let message = format!("The value '{other}' of $orderby is not supported.");
            return Reply::error(400, "InvalidParameter", &message);
        }
    }
    if let Ok(most) = option("$top").parse() {
        all.truncate(most);
    }
    Reply::of(200, Some(json!(all)))
}

/// Reads a version of an image of the marketplace.
pub(crate) fn version(offer: &str, sku: &str, version: &str) -> Reply {
    let found = IMAGES.iter().find(|it| {
        it.0.eq_ignore_ascii_case(offer) && it.1.eq_ignore_ascii_case(sku) && it.2 == version
    });
    match found {
        Some(image) => Reply::of(200, Some(described(image, true))),
        None => Reply::error(404, "NotFound", "Artifact: VMImage was not found."),
    }
}

/// Describes an image of the marketplace, with what it is made for when that is asked for.
fn described(image: &(&str, &str, &str, &str, &str), is_whole: bool) -> Value {
    let (offer, _, name, architecture, generation) = image;
    let mut body = json!({"name": name, "location": LOCATION, "id": format!("/{name}")});
    if is_whole {
        body["properties"] = json!({
            "architecture": architecture, "hyperVGeneration": generation,
            "osDiskImage": {"operatingSystem": "Linux"},
        });
    }
    if is_whole && *offer == "hardened" {
        body["properties"]["plan"] = json!({"name": "cis", "publisher": "cis", "product": offer});
    }
    body
}

/// Reads the image of a gallery, or a version of it.
pub(crate) fn gallery(gallery: &str, image: &str, version: Option<&str>) -> Reply {
    let known = GALLERY;
    let is_it = gallery == known.0 && image == known.1 && version.is_none_or(|it| it == known.2);
    match is_it {
        false => Reply::error(404, "ResourceNotFound", "The image was not found."),
        true => Reply::of(
            200,
            Some(json!({
                "name": version.unwrap_or(image), "location": LOCATION,
                "properties": {"architecture": "x64", "hyperVGeneration": "V2", "osType": "Linux"},
            })),
        ),
    }
}
