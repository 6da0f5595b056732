//! What may be wrong with an instance that somebody wants, beyond its shape.

use serde_json::{Map, Value};

use crate::cloud::ROOT;
use crate::instances::last;
use crate::refusal::Refusal;
use crate::things;

/// Checks that something is an address, of a whole or a part, and no bare name.
pub fn address(value: &Value, field: &str) -> Result<(), Refusal> {
    let text = value.as_str().unwrap_or_default();
    match text.contains('/') {
        true => Ok(()),
        false => Err(Refusal::invalid(format!(
            "Invalid value for field 'resource.{field}': '{text}'. The URL is malformed."
        ))),
    }
}

/// Checks that something is a bare name, as the description says of the properties of machines
/// that are made in bulk.
pub fn name(value: &Value, field: &str) -> Result<(), Refusal> {
    let text = value.as_str().unwrap_or_default();
    match text.contains('/') {
        true => Err(Refusal::invalid(format!(
            "Invalid value for field 'resource.{field}': '{text}'. Only a name is accepted."
        ))),
        false => Ok(()),
    }
}

/// Checks what the description does not say of a machine's properties.
pub fn check(wanted: &Value, project: &str, zone: &str) -> Result<(), Refusal> {
    let region = zone.rsplit_once('-').map_or(zone, |(region, _)| region);
    let wrong = |field: &str, value: &str| {
        let message = format!(
            "Invalid value for field 'resource.{field}': '{value}'. The referenced resource does not exist or cannot be used."
        );
        Err(Refusal::invalid(message))
    };
    let kind = last(&wanted["machineType"]);
    if !things::is_type(kind, zone) {
        let message = format!(
            "Invalid value for field 'resource.instanceProperties.machineType': '{kind}'. Machine type with name '{kind}' does not exist in zone '{zone}'."
        );
        return Err(Refusal::invalid(message));
    }
    let disks = wanted["disks"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if disks.first().is_none_or(|disk| disk["boot"] != true) {
        return wrong("disks", "");
    }
    let image = disks[0]["initializeParams"]["sourceImage"]
        .as_str()
        .unwrap_or_default();
    if things::image_at(ROOT, image).is_none() {
        return wrong("disks[0].initializeParams.sourceImage", image);
    }
    let interface = &wanted["networkInterfaces"][0];
    let network = last(&interface["network"]);
    let is_known = network.is_empty() || things::is_network(network);
    if interface.is_null() || !is_known {
        return wrong("networkInterfaces[0].network", network);
    }
    let subnetwork = last(&interface["subnetwork"]);
    let is_known =
        subnetwork.is_empty() || things::subnetwork(ROOT, project, region, subnetwork).is_some();
    if !is_known {
        return wrong("networkInterfaces[0].subnetwork", subnetwork);
    }
    metadata(&wanted["metadata"])?;
    labels(&wanted["labels"].as_object().cloned().unwrap_or_default())
}

/// The rules of labels (<https://cloud.google.com/compute/docs/labeling-resources#requirements>).
pub fn labels(labels: &Map<String, Value>) -> Result<(), Refusal> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    for (key, value) in labels {
        let value = value.as_str().unwrap_or_default();
        let begins = key.starts_with(|c: char| c.is_ascii_lowercase());
        let fits = key.len() <= 63 && value.len() <= 63;
        if !begins || !fits || !key.chars().chain(value.chars()).all(is_plain) {
            let message = format!("Invalid value for field 'resource.labels': '{key}: {value}'.");
            return Err(Refusal::invalid(message));
        }
    }
    match labels.len() > 64 {
        true => Err(Refusal::invalid(
            "Invalid value for field 'resource.labels': too many.",
        )),
        false => Ok(()),
    }
}

/// The limits of metadata
/// (<https://cloud.google.com/compute/docs/metadata/setting-custom-metadata#limitations>).
pub fn metadata(metadata: &Value) -> Result<(), Refusal> {
    let items = metadata["items"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let size = |item: &Value| item["value"].as_str().unwrap_or_default().len();
    if items.iter().any(|item| size(item) > 256 * 1024)
        || items.iter().map(size).sum::<usize>() > 512 * 1024
    {
        let message = "Invalid value for field 'metadata.items': it is too large.";
        return Err(Refusal::invalid(message));
    }
    let mut keys: Vec<&str> = items
        .iter()
        .filter_map(|item| item["key"].as_str())
        .collect();
    keys.sort_unstable();
    match keys.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err(Refusal::invalid("Metadata has duplicate key.")),
        false => Ok(()),
    }
}
