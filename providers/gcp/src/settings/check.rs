//! What the schema of the block cannot say.

use std::collections::BTreeSet;

use meshvm_provider_api::{Finding, is_network, labels};

use super::{GcpSettings, Image, MachineTypes, OwnedRule};
use crate::kept;

/// How many labels the file may give: Compute Engine takes 64, meshvm's own among them
/// (<https://cloud.google.com/compute/docs/labeling-resources#requirements>).
const MOST_LABELS: usize = 48;
/// The most bytes of a metadata value
/// (<https://cloud.google.com/compute/docs/metadata/setting-custom-metadata#limitations>).
const METADATA_LIMIT: usize = 256 * 1024;

/// Returns every problem.
pub(super) fn findings(settings: &GcpSettings) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, zone) in settings.zones.iter().enumerate() {
        if zone.rsplit_once('-').map(|(region, _)| region) != Some(settings.region.as_str()) {
            let message = format!("`{zone}` is not a zone of {}", settings.region);
            let hint = format!(
                "a zone is the region and a letter, such as {}-b",
                settings.region
            );
            found.push(Finding::at(&format!("zones.{index}"), message).with_hint(hint));
        }
    }
    let MachineTypes(types) = &settings.machine_type;
    if types.is_empty() || types.iter().any(String::is_empty) {
        found.push(Finding::at("machineType", "needs at least one type"));
    }
    for (field, list) in [
        ("zones", &settings.zones),
        ("machineType", types),
        ("tags", &settings.tags),
    ] {
        let mut seen = BTreeSet::new();
        for (index, item) in list.iter().enumerate() {
            if !seen.insert(item) {
                let message = format!("`{item}` is listed twice");
                found.push(Finding::at(&format!("{field}.{index}"), message));
            }
        }
    }
    match &settings.image {
        Image::Name(name) if Image::parts(name).is_none() => {
            let finding = Finding::at("image", format!("`{name}` is not the name of an image"));
            let hint = "write `projects/PROJECT/global/images/NAME`, or `{project: …, family: …}`";
            found.push(finding.with_hint(hint));
        }
        Image::Name(_) | Image::Family { .. } => {}
    }
    let mut names = BTreeSet::new();
    for (index, disk) in settings.disks.iter().enumerate() {
        if !names.insert(&disk.name) {
            let message = format!("`{}` is listed twice", disk.name);
            found.push(Finding::at(&format!("disks.{index}.name"), message));
        }
    }
    if settings.shielded.integrity_monitoring && !settings.shielded.vtpm {
        let finding = Finding::at("shielded.integrityMonitoring", "needs `vtpm`");
        found.push(finding.with_hint("switch both on, or both off"));
    }
    if settings.deletion_protection && settings.spot.is_some() {
        let message = "spot machines cannot be protected from being deleted";
        let finding = Finding::at("deletionProtection", message);
        found.push(finding.with_hint("drop `spot`, or the protection"));
    }
    if settings.reservation.is_some() && settings.spot.is_some() {
        let message = "spot machines do not use reservations";
        found.push(Finding::at("reservation", message));
    }
    firewall_of(settings, &mut found);
    labels_of(settings, &mut found);
    metadata_of(settings, &mut found);
    found
}

fn firewall_of(settings: &GcpSettings, found: &mut Vec<Finding>) {
    let Some(firewall) = &settings.firewall else {
        return;
    };
    let OwnedRule { ports, from } = &firewall.owned;
    if ports.is_empty() {
        let finding = Finding::at("firewall.owned", "there is no port to let in");
        found.push(finding.with_hint("write its `ports`, or those of the fleet's `membership`"));
    }
    for (index, from) in from.iter().enumerate() {
        if from.contains('/') && !is_network(from) {
            let path = format!("firewall.owned.from.{index}");
            let finding = Finding::at(&path, format!("`{from}` is no network"));
            found.push(finding.with_hint("write 10.0.0.0/16, or a network tag"));
        }
    }
    let networks = from.iter().filter(|from| is_network(from));
    let (wide, plain): (Vec<_>, Vec<_>) = networks.partition(|from| from.contains(':'));
    if !wide.is_empty() && !plain.is_empty() {
        let message = "a rule has networks of one version of the protocol only";
        found.push(Finding::at("firewall.owned.from", message));
    }
    let names = [&settings.network, &settings.subnetwork].into_iter();
    if names.flatten().any(|name| name.starts_with("projects/")) {
        let finding = Finding::at("firewall", "the network's rules are another project's");
        found.push(finding.with_hint("let the project that shares it have a rule for `tags`"));
    }
}

fn labels_of(settings: &GcpSettings, found: &mut Vec<Finding>) {
    if settings.labels.len() > MOST_LABELS {
        let message = format!(
            "{} labels, {MOST_LABELS} are allowed",
            settings.labels.len()
        );
        found.push(Finding::at("labels", message));
    }
    for (key, value) in &settings.labels {
        let problem = if labels::ALL.contains(&key.as_str()) || key == kept::REQUEST {
            Some(format!("`{key}` is meshvm's own"))
        } else if !kept::fits(key, value) {
            Some(format!("`{key}: {value}` is no label of Compute Engine's"))
        } else {
            None
        };
        let hint = "lower-case letters, digits, `-` and `_`, at most 63, beginning with a letter; \
            anything else can be `metadata`";
        found.extend(problem.map(|message| Finding::at("labels", message).with_hint(hint)));
    }
}

fn metadata_of(settings: &GcpSettings, found: &mut Vec<Finding>) {
    for (key, value) in &settings.metadata {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let problem = if kept::ITEMS.contains(&key.as_str()) {
            Some(format!("`{key}` is meshvm's own"))
        } else if key.is_empty() || key.len() > 127 || !key.chars().all(is_plain) {
            Some(format!("`{key}` is no key of metadata"))
        } else if value.len() > METADATA_LIMIT {
            Some(format!("the value of `{key}` has more than 256 KiB"))
        } else {
            None
        };
        found.extend(problem.map(|message| Finding::at("metadata", message)));
    }
    let sizes = settings.metadata.values().map(String::len);
    let is_each_small = sizes.clone().all(|size| size <= METADATA_LIMIT);
    if is_each_small && sizes.sum::<usize>() > METADATA_LIMIT {
        let message = "has more than 256 KiB, and a machine takes 512 KiB with its user-data";
        found.push(Finding::at("metadata", message));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(change: &Value) -> Vec<String> {
        let mut block = json!({"project": "acme-vms", "region": "europe-west1",
            "machineType": "e2-small", "image": "projects/debian-cloud/global/images/debian-12-x"});
        for (key, value) in change.as_object().unwrap() {
            block[key] = value.clone();
        }
        match GcpSettings::read(&block) {
            Ok(_) => Vec::new(),
            Err(found) => found.iter().map(|f| f.path.join(".")).collect(),
        }
    }

    #[test]
    fn every_problem_is_found_at_its_place() {
        for (change, places) in [
            (json!({}), vec![]),
            (
                json!({"zones": ["europe-west1-b", "us-east1-b", "europe-west1"]}),
                vec!["zones.1", "zones.2"],
            ),
            (json!({"machineType": []}), vec!["machineType"]),
            (json!({"tags": ["a", "a"]}), vec!["tags.1"]),
            (json!({"image": "debian-12"}), vec!["image"]),
            (json!({"labels": {"Team": "a"}}), vec!["labels"]),
            (json!({"labels": {"team": "A b"}}), vec!["labels"]),
            (json!({"labels": {"meshvm-stack": "a"}}), vec!["labels"]),
            (json!({"metadata": {"user-data": "x"}}), vec!["metadata"]),
            (json!({"metadata": {"a b": "x"}}), vec!["metadata"]),
            (
                json!({"metadata": {"a": "x".repeat(200 << 10), "b": "x".repeat(100 << 10)}}),
                vec!["metadata"],
            ),
            (json!({"metadata": {"a": "x".repeat(200 << 10)}}), vec![]),
            (
                json!({"firewall": {"owned": {"from": ["10.0.0.0/33", "gateway", "::/0"]}}}),
                vec!["firewall.owned", "firewall.owned.from.0"],
            ),
            (
                json!({"firewall": {"owned": {"ports": [1], "from": ["10.0.0.0/8", "fd00::/8"]}},
                    "network": "projects/host/global/networks/n"}),
                vec!["firewall.owned.from", "firewall"],
            ),
            (
                json!({"shielded": {"vtpm": false}}),
                vec!["shielded.integrityMonitoring"],
            ),
            (
                json!({"spot": {}, "deletionProtection": true}),
                vec!["deletionProtection"],
            ),
            (
                json!({"disks": [{"name": "a", "size": "1GiB"}, {"name": "a", "size": "1GiB"}]}),
                vec!["disks.1.name"],
            ),
        ] {
            assert_eq!(found(&change), places, "{change}");
        }
    }
}
