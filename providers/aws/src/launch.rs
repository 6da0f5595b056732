//! The request that makes machines. Pure: the same batch always makes the same request.

use std::io::{self, Write as _};

use aws_sdk_ec2::operation::run_instances::RunInstancesInput;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesInputBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, HostnameType, HttpTokensState,
    IamInstanceProfileSpecification, InstanceInterruptionBehavior, InstanceMarketOptionsRequest,
    InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification, InstanceType,
    MarketType, Placement, PrivateDnsNameOptionsRequest, ResourceType, SpotInstanceType,
    SpotMarketOptions, Tag, TagSpecification, Tenancy, VolumeType,
};
use base64::Engine as _;
use flate2::{Compression, GzBuilder};
use meshvm_provider_api::{Batch, Labels, ProviderError};

use crate::kind::USER_DATA_LIMIT;
use crate::recipe::{Found, Recipe};
use crate::settings::{self, Interruption};
use crate::tags;

/// One way to make what a batch still lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Its number in the batch: the same number is always the same type and subnet.
    pub number: usize,
    /// The label of machines that stand in for those of another zone.
    pub label: Option<(String, String)>,
    /// The type to make.
    pub instance_type: String,
    /// Where to make it.
    pub subnet: String,
}

/// Returns the ways to make a batch's machines: each type in each subnet of its zone, in the file's
/// order, and then those of the fleet's other zones.
pub(crate) fn attempts(recipe: &Recipe, found: &Found, batch: &Batch) -> Vec<Attempt> {
    let types = &recipe.asked.instance_type.0;
    let ways = batch.places().flat_map(|place| {
        let subnets = found.subnets.get(place.zone).map(Vec::as_slice);
        let subnets = subnets.unwrap_or_default();
        let of_type = move |kind| subnets.iter().map(move |subnet| (place, kind, subnet));
        types.iter().flat_map(of_type)
    });
    ways.enumerate()
        .map(|(number, (place, kind, subnet))| Attempt {
            number,
            label: place.label(),
            instance_type: kind.clone(),
            subnet: subnet.clone(),
        })
        .collect()
}

/// Returns the client token of an attempt, of at most 64 ASCII characters
/// (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>).
pub(crate) fn token(batch: &Batch, attempt: &Attempt) -> String {
    format!("{}-{}", batch.key, attempt.number)
}

/// Returns the request of an attempt for `count` machines, or as many as there is room for.
///
/// # Errors
/// `Environment` when the user-data cannot be packed.
pub(crate) fn request(
    recipe: &Recipe,
    found: &Found,
    batch: &Batch,
    attempt: &Attempt,
    count: i32,
    tags: &Labels,
    own_group: Option<&str>,
) -> Result<RunInstancesInputBuilder, ProviderError> {
    let asked = &recipe.asked;
    let mut request = RunInstancesInput::builder()
        .client_token(token(batch, attempt))
        .image_id(&found.image)
        .instance_type(InstanceType::from(attempt.instance_type.as_str()))
        .min_count(1)
        .max_count(count)
        .user_data(encoded(&batch.user_data)?)
        .disable_api_termination(asked.termination_protection)
        .metadata_options(
            InstanceMetadataOptionsRequest::builder()
                .http_tokens(HttpTokensState::from(asked.metadata.tokens.as_str()))
                .http_put_response_hop_limit(i32::from(asked.metadata.hop_limit))
                .build(),
        )
        // The machine's host name is then its id, by which the mesh knows it too.
        .private_dns_name_options(
            PrivateDnsNameOptionsRequest::builder()
                .hostname_type(HostnameType::ResourceName)
                .enable_resource_name_dns_a_record(true)
                .build(),
        )
        .set_key_name(asked.key_pair.clone())
        .set_iam_instance_profile(asked.instance_profile.as_deref().map(profile))
        .set_block_device_mappings(Some(devices(recipe, found)))
        .set_instance_market_options(asked.spot.as_ref().map(market))
        .set_placement(asked.placement.as_ref().map(placement));
    let ipv6 = asked.ipv6.then_some(1);
    let mut groups = asked.security_groups.clone();
    groups.extend(own_group.map(str::to_owned));
    let groups = (!groups.is_empty()).then_some(groups);
    request = match asked.public_address {
        // Only an interface can be told, and then it is told of all else that is the network's.
        Some(public) => request.network_interfaces(
            InstanceNetworkInterfaceSpecification::builder()
                .device_index(0)
                .associate_public_ip_address(public)
                .delete_on_termination(true)
                .subnet_id(&attempt.subnet)
                .set_groups(groups)
                .set_ipv6_address_count(ipv6)
                .build(),
        ),
        None => request
            .subnet_id(&attempt.subnet)
            .set_security_group_ids(groups)
            .set_ipv6_address_count(ipv6),
    };
    for kind in [
        ResourceType::Instance,
        ResourceType::Volume,
        ResourceType::NetworkInterface,
    ] {
        let label = attempt.label.iter().map(|(key, value)| (key, value));
        let all = tags.iter().chain(label);
        let all = all.map(|(key, value)| tag(key, value)).collect();
        let specification = TagSpecification::builder()
            .resource_type(kind)
            .set_tags(Some(all))
            .build();
        request = request.tag_specifications(specification);
    }
    Ok(request)
}

/// Makes a tag.
pub(crate) fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// Returns all tags of a batch's machines.
pub(crate) fn tags(recipe: &Recipe, batch: &Batch, request: &str) -> Labels {
    let owner = &batch.ownership;
    let name = format!("{}-{}", owner.stack, owner.fleet);
    tags::of_new(recipe, &batch.all_labels(), &name, request)
}

/// Encodes user-data as EC2 takes it: packed only when it is too large, since cloud-init unpacks
/// it by itself, and people who look at it do not.
fn encoded(user_data: &str) -> Result<String, ProviderError> {
    let plain = user_data.as_bytes();
    let bytes = match plain.len() <= USER_DATA_LIMIT {
        true => plain.to_vec(),
        false => packed(plain).map_err(|error| {
            let class = meshvm_provider_api::ErrorClass::Environment;
            ProviderError::new(class, "the user-data cannot be packed").with_source(error)
        })?,
    };
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// Packs bytes without the time: a repeated request must be the same, byte for byte.
fn packed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    writer.write_all(bytes)?;
    writer.finish()
}

fn profile(wanted: &str) -> IamInstanceProfileSpecification {
    let specification = IamInstanceProfileSpecification::builder();
    match wanted.starts_with("arn:") {
        true => specification.arn(wanted).build(),
        false => specification.name(wanted).build(),
    }
}

fn devices(recipe: &Recipe, found: &Found) -> Vec<BlockDeviceMapping> {
    let asked = &recipe.asked;
    let root = asked.root_volume.as_ref().zip(found.root_device.as_ref());
    let root = root.map(|(volume, device)| mapping(device, volume));
    let extra = asked.volumes.iter();
    root.into_iter()
        .chain(extra.map(|extra| mapping(&extra.device, &extra.volume)))
        .collect()
}

fn mapping(device: &str, volume: &settings::Volume) -> BlockDeviceMapping {
    let settings::Volume {
        size,
        kind,
        iops,
        throughput,
        encrypted,
        key,
    } = volume;
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let ebs = EbsBlockDevice::builder()
        .set_volume_size(size.map(|size| number(size.count())))
        .set_volume_type(kind.map(|kind| VolumeType::from(kind.as_str())))
        .set_iops(iops.map(number))
        .set_throughput(throughput.map(number))
        .set_encrypted(*encrypted)
        .set_kms_key_id(key.clone())
        // It was made for the machine alone.
        .delete_on_termination(true)
        .build();
    BlockDeviceMapping::builder()
        .device_name(device)
        .ebs(ebs)
        .build()
}

fn market(spot: &settings::Spot) -> InstanceMarketOptionsRequest {
    let (kind, interruption) = match spot.interruption {
        Interruption::Terminate => (
            SpotInstanceType::OneTime,
            InstanceInterruptionBehavior::Terminate,
        ),
        // Only a request that persists brings the machine back.
        Interruption::Stop => (
            SpotInstanceType::Persistent,
            InstanceInterruptionBehavior::Stop,
        ),
        Interruption::Hibernate => (
            SpotInstanceType::Persistent,
            InstanceInterruptionBehavior::Hibernate,
        ),
    };
    InstanceMarketOptionsRequest::builder()
        .market_type(MarketType::Spot)
        .spot_options(
            SpotMarketOptions::builder()
                .set_max_price(spot.max_price.clone())
                .spot_instance_type(kind)
                .instance_interruption_behavior(interruption)
                .build(),
        )
        .build()
}

fn placement(placement: &settings::Placement) -> Placement {
    let tenancy = placement.tenancy.map(|it| Tenancy::from(it.as_str()));
    Placement::builder()
        .set_group_name(placement.group.clone())
        .set_tenancy(tenancy)
        .build()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn user_data_is_packed_only_when_it_is_too_large() {
        let small = "#cloud-config\n{}\n";
        assert_eq!(
            STANDARD.decode(encoded(small).unwrap()).unwrap(),
            small.as_bytes()
        );
        let large = "# a line like the others\n".repeat(USER_DATA_LIMIT / 20);
        let sent = STANDARD.decode(encoded(&large).unwrap()).unwrap();
        assert!(sent.len() <= USER_DATA_LIMIT, "{}", sent.len());
        let mut back = String::new();
        let mut reader = flate2::read::GzDecoder::new(sent.as_slice());
        reader.read_to_string(&mut back).unwrap();
        assert_eq!(back, large);
        assert_eq!(encoded(&large).unwrap(), encoded(&large).unwrap());
    }
}
