//! What the schema of the block cannot say.

use std::collections::BTreeSet;

use meshvm_provider_api::{Finding, is_network, labels};

use super::{AwsSettings, Image, InstanceTypes, Volume, VolumeType};
use crate::tags;

/// How many tags the user may give: EC2 takes 50, ours and the user's labels among them
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions>).
const MOST_TAGS: usize = 30;

/// How many security groups a machine may be in
/// (<https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html>).
const MOST_GROUPS: usize = 16;

/// Returns every problem.
pub(super) fn findings(settings: &AwsSettings) -> Vec<Finding> {
    let mut found = Vec::new();
    if settings.region.is_empty() {
        found.push(Finding::at("region", "must not be empty"));
    }
    for (index, zone) in settings.zones.iter().enumerate() {
        if !zone.starts_with(&settings.region) || zone == &settings.region {
            let finding = Finding::at(
                &format!("zones.{index}"),
                format!("`{zone}` is not a zone of {}", settings.region),
            );
            let hint = format!(
                "a zone is the region and a letter, such as {}a",
                settings.region
            );
            found.push(finding.with_hint(hint));
        }
    }
    let InstanceTypes(types) = &settings.instance_type;
    if types.is_empty() || types.iter().any(String::is_empty) {
        found.push(Finding::at("instanceType", "needs at least one type"));
    }
    for (field, list) in [
        ("zones", &settings.zones),
        ("subnets", &settings.subnets),
        ("instanceType", types),
        ("securityGroups", &settings.security_groups),
    ] {
        let mut seen = BTreeSet::new();
        for (index, item) in list.iter().enumerate() {
            if !seen.insert(item) {
                let message = format!("`{item}` is listed twice");
                found.push(Finding::at(&format!("{field}.{index}"), message));
            }
        }
    }
    if let Some(group) = &settings.security_group {
        if group.owned.ports.is_empty() {
            let finding = Finding::at("securityGroup.owned", "there is no port to let in");
            found
                .push(finding.with_hint("write its `ports`, or those of the fleet's `membership`"));
        }
        let from = group.owned.from.iter().enumerate();
        for (index, from) in from.filter(|(_, from)| !from.starts_with("sg-") && !is_network(from))
        {
            let path = format!("securityGroup.owned.from.{index}");
            let finding = Finding::at(&path, format!("`{from}` is neither a network nor a group"));
            found.push(finding.with_hint("write 10.0.0.0/16, or the id of a security group"));
        }
        if settings.security_groups.len() == MOST_GROUPS {
            let message = "with the fleet's own group, a machine has one too many";
            found.push(Finding::at("securityGroups", message));
        }
    }
    image(&settings.image, &mut found);
    if let Some(root) = &settings.root_volume {
        volume("rootVolume", root, &mut found);
    }
    let mut devices = BTreeSet::new();
    for (index, extra) in settings.volumes.iter().enumerate() {
        let path = format!("volumes.{index}");
        volume(&format!("{path}.volume"), &extra.volume, &mut found);
        if extra.volume.size.is_none() {
            let path = format!("{path}.volume.size");
            found.push(Finding::at(&path, "a new volume needs its size"));
        }
        if !devices.insert(&extra.device) {
            let message = format!("`{}` is listed twice", extra.device);
            found.push(Finding::at(&format!("{path}.device"), message));
        }
    }
    tags_of(settings, &mut found);
    let hop_limit = settings.metadata.hop_limit;
    if !(1..=64).contains(&hop_limit) {
        found.push(Finding::at("metadata.hopLimit", "must be from 1 to 64"));
    }
    if settings.termination_protection && settings.spot.is_some() {
        let finding = Finding::at(
            "terminationProtection",
            "EC2 does not protect spot machines from being terminated",
        );
        found.push(finding.with_hint("drop `spot`, or the protection"));
    }
    found
}

fn image(image: &Image, found: &mut Vec<Finding>) {
    match image {
        Image::Id(id) if !id.starts_with("ami-") => {
            let finding = Finding::at("image", format!("`{id}` is not the id of an image"));
            found
                .push(finding.with_hint("an id begins with `ami-`; write a map for anything else"));
        }
        Image::Parameter { ssm, .. } if !ssm.starts_with('/') => {
            let finding = Finding::at("image.ssm", format!("`{ssm}` is not a public parameter"));
            found.push(finding.with_hint("a public parameter begins with `/aws/service/`"));
        }
        Image::Id(_) | Image::Parameter { .. } | Image::Newest { .. } => {}
    }
}

/// The rules of EBS (<https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html>).
fn volume(path: &str, volume: &Volume, found: &mut Vec<Finding>) {
    let takes_iops = matches!(
        volume.kind,
        None | Some(VolumeType::Gp3 | VolumeType::Io1 | VolumeType::Io2)
    );
    if volume.iops.is_some() && !takes_iops {
        let message = "only gp3, io1 and io2 have a number of operations";
        found.push(Finding::at(&format!("{path}.iops"), message));
    }
    if matches!(volume.kind, Some(VolumeType::Io1 | VolumeType::Io2)) && volume.iops.is_none() {
        let message = "io1 and io2 need a number of operations";
        found.push(Finding::at(&format!("{path}.iops"), message));
    }
    if volume.throughput.is_some() && !matches!(volume.kind, None | Some(VolumeType::Gp3)) {
        let message = "only gp3 has a throughput of its own";
        found.push(Finding::at(&format!("{path}.throughput"), message));
    }
    if volume.key.is_some() && volume.encrypted != Some(true) {
        let finding = Finding::at(&format!("{path}.key"), "a key is for an encrypted volume");
        found.push(finding.with_hint("write `encrypted: true` beside it"));
    }
}

fn tags_of(settings: &AwsSettings, found: &mut Vec<Finding>) {
    if settings.tags.len() > MOST_TAGS {
        let message = format!("{} tags, {MOST_TAGS} are allowed", settings.tags.len());
        found.push(Finding::at("tags", message));
    }
    for (key, value) in &settings.tags {
        let problem = if key.is_empty() {
            Some("a tag needs a name".to_owned())
        } else if key.to_ascii_lowercase().starts_with("aws:") {
            Some(format!("`{key}`: names beginning with `aws:` are Amazon's"))
        } else if labels::ALL.contains(&key.as_str()) || tags::OWN.contains(&key.as_str()) {
            Some(format!("`{key}` is meshvm's own"))
        } else if key.contains(' ') {
            Some(format!(
                "`{key}`: a name with blanks cannot be kept track of"
            ))
        } else if key.chars().count() > 128 {
            Some(format!("`{key}` has more than 128 characters"))
        } else if value.chars().count() > 256 {
            Some(format!("the value of `{key}` has more than 256 characters"))
        } else {
            None
        };
        found.extend(problem.map(|message| Finding::at("tags", message)));
    }
    if tags::names(settings.tags.keys()).chars().count() > 256 {
        let finding = Finding::at("tags", "the names have more than 256 characters together");
        found.push(finding.with_hint("their list is a tag itself, so that one that left is known"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(change: &Value) -> Vec<String> {
        let mut block =
            json!({"region": "eu-west-1", "instanceType": "m7g.large", "image": "ami-1"});
        for (key, value) in change.as_object().unwrap() {
            block[key] = value.clone();
        }
        match AwsSettings::read(&block) {
            Ok(_) => Vec::new(),
            Err(found) => found.iter().map(|f| f.path.join(".")).collect(),
        }
    }

    #[test]
    fn every_problem_is_found_at_its_place() {
        for (change, places) in [
            (json!({}), vec![]),
            (
                json!({"zones": ["eu-west-1a", "us-east-1a"]}),
                vec!["zones.1"],
            ),
            (json!({"instanceType": []}), vec!["instanceType"]),
            (
                json!({"subnets": ["subnet-1", "subnet-1"]}),
                vec!["subnets.1"],
            ),
            (
                json!({"securityGroup": {"owned": {"ports": [1], "from": ["10.0.0.0/33", "sg-1", "::/0"]}}}),
                vec!["securityGroup.owned.from.0"],
            ),
            (
                json!({"securityGroup": {"owned": {"from": ["10.0.0.0/8"]}}}),
                vec!["securityGroup.owned"],
            ),
            (json!({"image": "debian"}), vec!["image"]),
            (json!({"image": {"ssm": "debian"}}), vec!["image.ssm"]),
            (
                json!({"rootVolume": {"type": "gp2", "iops": 200}}),
                vec!["rootVolume.iops"],
            ),
            (
                json!({"rootVolume": {"type": "io2"}}),
                vec!["rootVolume.iops"],
            ),
            (
                json!({"rootVolume": {"type": "st1", "throughput": 200}}),
                vec!["rootVolume.throughput"],
            ),
            (
                json!({"rootVolume": {"key": "arn:x"}}),
                vec!["rootVolume.key"],
            ),
            (
                json!({"volumes": [{"device": "/dev/sdf", "volume": {}}]}),
                vec!["volumes.0.volume.size"],
            ),
            (json!({"tags": {"aws:x": "1"}}), vec!["tags"]),
            (json!({"tags": {"meshvm-stack": "1"}}), vec!["tags"]),
            (json!({"tags": {"a b": "1"}}), vec!["tags"]),
            (
                json!({"metadata": {"hopLimit": 65}}),
                vec!["metadata.hopLimit"],
            ),
            (
                json!({"spot": {}, "terminationProtection": true}),
                vec!["terminationProtection"],
            ),
        ] {
            assert_eq!(found(&change), places, "{change}");
        }
    }
}
