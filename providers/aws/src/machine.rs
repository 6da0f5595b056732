//! An instance of EC2 as a machine. Pure.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    Instance, InstanceLifecycleType, InstanceStateName, Tag, Volume as Ec2Volume,
};
use meshvm_provider_api::{Attributes, Labels, Machine, MachineId, Power, Readiness};
use serde_json::json;

use crate::attributes::{
    self, IMAGE, INSTANCE_PROFILE, INSTANCE_TYPE, METADATA_HOP_LIMIT, METADATA_TOKENS, ROOT_VOLUME,
    SECURITY_GROUPS, SUBNETS,
};

/// Returns an instance as a machine; `None` when it is gone or going for good.
///
/// `impaired` holds the instances whose checks fail.
pub(crate) fn of(instance: &Instance, impaired: &BTreeSet<String>) -> Option<Machine> {
    seen(instance, impaired).filter(|machine| machine.power != Power::Gone)
}

/// Returns an instance as a machine, also one that is gone: EC2 shows it for about an hour.
pub(crate) fn seen(instance: &Instance, impaired: &BTreeSet<String>) -> Option<Machine> {
    let id = instance.instance_id()?;
    let state = instance.state().and_then(|state| state.name())?;
    let power = match state {
        InstanceStateName::Pending => Power::Starting,
        InstanceStateName::Running if impaired.contains(id) => Power::Broken,
        InstanceStateName::Running => Power::Running,
        InstanceStateName::Stopping | InstanceStateName::Stopped => Power::Stopped,
        InstanceStateName::ShuttingDown | InstanceStateName::Terminated => Power::Gone,
        // A state of a newer API: it exists, and is not known to run.
        _ => Power::Starting,
    };
    let labels = labels(instance.tags());
    Some(Machine {
        id: MachineId(id.to_owned()),
        // It is told so to the machine as its host name, and fits a DNS label.
        name: id.to_owned(),
        zone: instance
            .placement()
            .and_then(|placement| placement.availability_zone())
            .unwrap_or_default()
            .to_owned(),
        power,
        readiness: Readiness::Unknown,
        address: instance
            .private_ip_address()
            .or(instance.ipv6_address())
            .and_then(|text| text.parse().ok()),
        attributes: attributes(instance, &labels),
        labels,
    })
}

/// Returns the tags that are not Amazon's own.
pub(crate) fn labels(tags: &[Tag]) -> Labels {
    tags.iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or("").to_owned())))
        .filter(|(key, _)| !key.starts_with("aws:"))
        .collect()
}

fn attributes(instance: &Instance, labels: &Labels) -> Attributes {
    let mut all = attributes::of_tags(labels);
    let mut add = |name: &str, value: Option<serde_json::Value>| {
        if let Some(value) = value {
            all.insert(name.to_owned(), value);
        }
    };
    add(IMAGE, instance.image_id().map(|it| json!(it)));
    add(
        INSTANCE_TYPE,
        instance.instance_type().map(|it| json!(it.as_str())),
    );
    add("keyPair", instance.key_name().map(|it| json!(it)));
    let groups: BTreeSet<&str> = instance
        .security_groups()
        .iter()
        .filter_map(|group| group.group_id())
        .collect();
    add(SECURITY_GROUPS, Some(json!(groups)));
    let profile = instance
        .iam_instance_profile()
        .and_then(|profile| profile.arn());
    add(INSTANCE_PROFILE, profile.map(|it| json!(it)));
    add(SUBNETS, instance.subnet_id().map(|it| json!(it)));
    if let Some(options) = instance.metadata_options() {
        let tokens = options.http_tokens().map(|it| json!(it.as_str()));
        add(METADATA_TOKENS, tokens);
        let hops = options.http_put_response_hop_limit();
        add(METADATA_HOP_LIMIT, hops.map(|it| json!(it)));
    }
    if let Some(placement) = instance.placement() {
        let group = placement.group_name().filter(|name| !name.is_empty());
        add("placement.group", group.map(|it| json!(it)));
        let tenancy = placement.tenancy().map(|it| json!(it.as_str()));
        add("placement.tenancy", tenancy);
    }
    let is_spot = instance.instance_lifecycle() == Some(&InstanceLifecycleType::Spot);
    add("spot", Some(json!(is_spot)));
    let has_ipv6 = instance.ipv6_address().is_some()
        || instance
            .network_interfaces()
            .iter()
            .any(|interface| !interface.ipv6_addresses().is_empty());
    add("ipv6", Some(json!(has_ipv6)));
    all
}

/// Adds what volumes say to the machines that they are attached to.
pub(crate) fn add_volumes(
    machines: &mut [Machine],
    roots: &BTreeMap<String, String>,
    volumes: &[Ec2Volume],
) {
    let mut by_id: BTreeMap<String, &mut Machine> = machines
        .iter_mut()
        .map(|machine| (machine.id.0.clone(), machine))
        .collect();
    for volume in volumes {
        for attachment in volume.attachments() {
            let (Some(id), Some(device)) = (attachment.instance_id(), attachment.device()) else {
                continue;
            };
            let Some(machine) = by_id.get_mut(id) else {
                continue;
            };
            let prefix = match roots.get(id).map(String::as_str) == Some(device) {
                true => ROOT_VOLUME.to_owned(),
                false => attributes::of_device(device),
            };
            let seen = [
                ("size", volume.size().map(|it| json!(format!("{it}GiB")))),
                ("type", volume.volume_type().map(|it| json!(it.as_str()))),
                ("iops", volume.iops().map(|it| json!(it))),
                ("throughput", volume.throughput().map(|it| json!(it))),
                ("encrypted", volume.encrypted().map(|it| json!(it))),
                ("key", volume.kms_key_id().map(|it| json!(it))),
            ];
            let seen = seen
                .into_iter()
                .filter_map(|(name, value)| Some((format!("{prefix}.{name}"), value?)));
            machine.attributes.extend(seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::InstanceState;

    use super::*;

    fn instance(state: InstanceStateName) -> Instance {
        Instance::builder()
            .instance_id("i-1")
            .state(InstanceState::builder().name(state).build())
            .private_ip_address("10.0.0.5")
            .tags(Tag::builder().key("aws:x").value("1").build())
            .tags(Tag::builder().key("team").value("a").build())
            .build()
    }

    #[test]
    fn each_state_has_its_power() {
        use InstanceStateName as State;
        let power = |state: State, impaired: &[&str]| {
            let impaired = impaired.iter().map(|&id| id.to_owned()).collect();
            of(&instance(state), &impaired).map(|machine| machine.power)
        };
        assert_eq!(power(State::Pending, &[]), Some(Power::Starting));
        assert_eq!(power(State::Running, &["i-2"]), Some(Power::Running));
        assert_eq!(power(State::Running, &["i-1"]), Some(Power::Broken));
        assert_eq!(power(State::Stopping, &["i-1"]), Some(Power::Stopped));
        assert_eq!(power(State::Stopped, &[]), Some(Power::Stopped));
        assert_eq!(power(State::ShuttingDown, &[]), None);
        assert_eq!(power(State::Terminated, &[]), None);
        let gone = seen(&instance(State::Terminated), &[].into()).unwrap();
        assert_eq!(gone.power, Power::Gone);
    }

    #[test]
    fn amazons_own_tags_are_no_labels() {
        let machine = of(&instance(InstanceStateName::Running), &[].into()).unwrap();
        assert_eq!(
            machine.labels,
            Labels::from([("team".to_owned(), "a".to_owned())])
        );
        assert_eq!(machine.address, Some([10, 0, 0, 5].into()));
    }
}
