//! What a machine is, by attribute, in the words of the fleet's block: asked for, and seen.

use std::collections::BTreeSet;

use meshvm_provider_api::{Attributes, Labels};
use serde_json::{Value, json};

use crate::recipe::Recipe;
use crate::settings::{AwsSettings, OwnedGroup, Volume};
use crate::tags::{self, Launch};

/// The image's id.
pub(crate) const IMAGE: &str = "image";
/// The image's name, for people: machines do not show it, and are not compared by it.
pub(crate) const IMAGE_NAME: &str = "imageName";
/// What the image was found by; of machines, a hash of that.
pub(crate) const IMAGE_SOURCE: &str = "imageSource";
/// The instance types: the machine has one of them.
pub(crate) const INSTANCE_TYPE: &str = "instanceType";
/// The security groups, sorted.
pub(crate) const SECURITY_GROUPS: &str = "securityGroups";
/// What the fleet's own security group lets in: one attribute, as it is one thing.
pub(crate) const OWNED_GROUP: &str = "securityGroup.owned";
/// The instance profile's name or ARN.
pub(crate) const INSTANCE_PROFILE: &str = "instanceProfile";
/// The subnets: the machine is in one of them.
pub(crate) const SUBNETS: &str = "subnets";
/// Whether EC2 refuses to terminate the machine.
pub(crate) const TERMINATION_PROTECTION: &str = "terminationProtection";
/// Whether a session token is required of those who ask for metadata.
pub(crate) const METADATA_TOKENS: &str = "metadata.tokens";
/// How many hops an answer about metadata may travel.
pub(crate) const METADATA_HOP_LIMIT: &str = "metadata.hopLimit";
/// What the names of tags begin with.
pub(crate) const TAG: &str = "tags.";
/// What the names of the root volume's attributes begin with.
pub(crate) const ROOT_VOLUME: &str = "rootVolume";

/// Returns what machines are compared with: where they stand, and what reaches the cloud only
/// by way of the connection, are left out.
pub(crate) fn wanted(recipe: &Recipe) -> Attributes {
    let AwsSettings {
        region: _,
        zones: _,
        subnets,
        instance_type,
        image,
        key_pair,
        security_groups,
        security_group,
        instance_profile,
        root_volume,
        volumes,
        metadata,
        tags,
        placement,
        spot,
        termination_protection,
        public_address,
        ipv6,
        endpoint: _,
        profile: _,
        assume_role: _,
    } = &recipe.asked;
    let mut all = Attributes::from([
        (INSTANCE_TYPE.to_owned(), json!(instance_type)),
        (METADATA_TOKENS.to_owned(), json!(metadata.tokens)),
        (METADATA_HOP_LIMIT.to_owned(), json!(metadata.hop_limit)),
        (
            TERMINATION_PROTECTION.to_owned(),
            json!(termination_protection),
        ),
        ("spot".to_owned(), json!(spot.is_some())),
        ("ipv6".to_owned(), json!(ipv6)),
    ]);
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            all.insert(name.to_owned(), value);
        }
    };
    let found = recipe.found.as_ref();
    match image.source() {
        None => add(IMAGE, Some(json!(image.to_string()))),
        Some(_) => {
            add(IMAGE_SOURCE, Some(json!(image.to_string())));
            add(IMAGE, found.map(|found| json!(found.image)));
        }
    }
    let name = found.and_then(|found| found.image_name.as_ref());
    add(IMAGE_NAME, name.map(|name| json!(name)));
    add("keyPair", key_pair.as_ref().map(|name| json!(name)));
    if !security_groups.is_empty() {
        let mut groups = security_groups.clone();
        groups.sort();
        add(SECURITY_GROUPS, Some(json!(groups)));
    }
    let group = security_group.as_ref();
    add(OWNED_GROUP, group.map(|group| rules(&group.owned)));
    add(
        INSTANCE_PROFILE,
        instance_profile.as_ref().map(|it| json!(it)),
    );
    if !subnets.is_empty() {
        add(SUBNETS, Some(json!(subnets)));
    }
    if let Some(placement) = placement {
        add(
            "placement.group",
            placement.group.as_ref().map(|it| json!(it)),
        );
        add("placement.tenancy", placement.tenancy.map(|it| json!(it)));
    }
    if let Some(spot) = spot {
        add("spot.interruption", Some(json!(spot.interruption)));
    }
    add("publicAddress", public_address.map(|it| json!(it)));
    for (key, value) in tags {
        add(&format!("{TAG}{key}"), Some(json!(value)));
    }
    if let Some(root) = root_volume {
        all.extend(volume(ROOT_VOLUME, root));
    }
    for extra in volumes {
        all.extend(volume(&of_device(&extra.device), &extra.volume));
    }
    all
}

/// Returns what a group lets in, as it is compared.
pub(crate) fn rules(group: &OwnedGroup) -> Value {
    let OwnedGroup { ports, from } = group;
    let (ports, from): (BTreeSet<_>, BTreeSet<_>) = (ports.iter().collect(), from.iter().collect());
    json!({"ports": ports, "from": from})
}

/// Returns what the names of a further volume's attributes begin with.
pub(crate) fn of_device(device: &str) -> String {
    format!("volumes.{device}")
}

/// Returns a volume's attributes below a prefix.
pub(crate) fn volume(prefix: &str, volume: &Volume) -> Attributes {
    let Volume {
        size,
        kind,
        iops,
        throughput,
        encrypted,
        key,
    } = volume;
    let all = [
        ("size", size.map(|it| json!(it))),
        ("type", kind.map(|it| json!(it))),
        ("iops", iops.map(|it| json!(it))),
        ("throughput", throughput.map(|it| json!(it))),
        ("encrypted", encrypted.map(|it| json!(it))),
        ("key", key.as_ref().map(|it| json!(it))),
    ];
    all.into_iter()
        .filter_map(|(name, value)| Some((format!("{prefix}.{name}"), value?)))
        .collect()
}

/// Returns the attributes that a machine's tags say.
pub(crate) fn of_tags(tags: &Labels) -> Attributes {
    let launch = Launch::read(
        tags.get(tags::LAUNCH)
            .map(String::as_str)
            .unwrap_or_default(),
    );
    let own = tags::OWN;
    let mut all: Attributes = tags
        .iter()
        .filter(|(key, _)| !own.contains(&key.as_str()))
        .map(|(key, value)| (format!("{TAG}{key}"), json!(value)))
        .collect();
    let Launch {
        image,
        public,
        is_protected,
        interruption,
        has_volumes: _,
        has_group: _,
    } = launch;
    all.insert(TERMINATION_PROTECTION.to_owned(), json!(is_protected));
    all.extend(image.map(|hash| (IMAGE_SOURCE.to_owned(), json!(hash))));
    all.extend(public.map(|public| ("publicAddress".to_owned(), json!(public))));
    all.extend(interruption.map(|it| ("spot.interruption".to_owned(), json!(it))));
    all
}
