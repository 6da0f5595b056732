//! Looks whether the machines of a template can be had: all that is in the way, at once. Changes
//! nothing.

pub(crate) mod quota;

use aws_sdk_ec2::types::{Filter, InstanceType, InstanceTypeInfo};
use meshvm_provider_api::{ErrorClass, Growth, Need, ProviderError, Scope, Template};

use crate::client::Client;
use crate::policy::Action;
use crate::recipe::{Found, Recipe};
use crate::resolve::describe_subnets;
use crate::settings::AwsSettings;

/// Looks whether machines can be had; returns what they take of what others may want, where it is
/// known: not where one of several types will do.
///
/// # Errors
/// One error of all that is in the way, in the class of the first.
pub(crate) async fn template(
    client: &Client,
    template: &Template,
    growth: &Growth,
) -> Result<Vec<Need>, ProviderError> {
    let recipe = Recipe::of(template)?;
    let (asked, found) = (&recipe.asked, recipe.found()?);
    let place = &template.scope;
    let kinds = async {
        let infos = types(client, asked).await.map_err(|error| vec![error])?;
        let mut errors = of_other_architectures(asked, found, &infos);
        match quota::need(client, asked, &infos, growth, place).await {
            Ok(need) if errors.is_empty() => return Ok(Vec::from_iter(need)),
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
        Err(errors)
    };
    let (kinds, groups, addresses, profile) = futures::join!(
        kinds,
        groups_elsewhere(client, asked, found),
        subnets(client, found, growth, place),
        missing_profile(client, asked),
    );
    let mut errors = Vec::new();
    let mut needs = Vec::new();
    for answer in [kinds, addresses] {
        match answer {
            Ok(found) => needs.extend(found),
            Err(found) => errors.extend(found),
        }
    }
    errors.extend(groups.unwrap_or_else(|error| vec![error]));
    errors.extend(profile);
    ProviderError::all(errors).map_or(Ok(needs), Err)
}

async fn types(
    client: &Client,
    asked: &AwsSettings,
) -> Result<Vec<InstanceTypeInfo>, ProviderError> {
    let types = asked.instance_type.0.iter();
    let types: Vec<InstanceType> = types.map(|kind| kind.as_str().into()).collect();
    let answer = client
        .send(Action::DescribeInstanceTypes, || {
            let call = client.ec2.describe_instance_types();
            call.set_instance_types(Some(types.clone())).send()
        })
        .await?;
    Ok(answer.instance_types.unwrap_or_default())
}

fn of_other_architectures(
    asked: &AwsSettings,
    found: &Found,
    infos: &[InstanceTypeInfo],
) -> Vec<ProviderError> {
    let unfit = infos.iter().filter(|kind| {
        let architectures = kind
            .processor_info()
            .map(|info| info.supported_architectures())
            .unwrap_or_default();
        let mut names = architectures.iter().map(|it| it.as_str());
        let is_known = !architectures.is_empty() && !found.architecture.is_empty();
        is_known && names.all(|name| name != found.architecture)
    });
    let error = |kind: &InstanceTypeInfo| {
        let name = kind.instance_type().map_or("", |kind| kind.as_str());
        let message = format!(
            "image `{}` is for {}, and {name} is not",
            asked.image, found.architecture
        );
        ProviderError::new(ErrorClass::Invalid, message)
            .with_hint("take an image for the type's architecture, or another type")
    };
    unfit.map(error).collect()
}

async fn groups_elsewhere(
    client: &Client,
    asked: &AwsSettings,
    found: &Found,
) -> Result<Vec<ProviderError>, ProviderError> {
    if asked.security_groups.is_empty() {
        return Ok(Vec::new());
    }
    let answer = client
        .send(Action::DescribeSecurityGroups, || {
            let call = client.ec2.describe_security_groups();
            call.set_group_ids(Some(asked.security_groups.clone()))
                .send()
        })
        .await?;
    let stray = answer
        .security_groups()
        .iter()
        .filter(|group| found.vpc.is_some() && group.vpc_id() != found.vpc.as_deref());
    let error = |group: &aws_sdk_ec2::types::SecurityGroup| {
        let (id, vpc) = (group.group_id(), found.vpc.as_deref());
        let message = format!(
            "security group {} is not in {}, the network of the subnets",
            id.unwrap_or_default(),
            vpc.unwrap_or_default()
        );
        ProviderError::new(ErrorClass::Invalid, message)
    };
    Ok(stray.map(error).collect())
}

/// Looks whether the subnets have addresses left; returns what is taken of them.
async fn subnets(
    client: &Client,
    found: &Found,
    growth: &Growth,
    place: &Scope,
) -> Result<Vec<Need>, Vec<ProviderError>> {
    let ids: Vec<String> = found.subnets.values().flatten().cloned().collect();
    let filter = Filter::builder()
        .name("subnet-id")
        .set_values(Some(ids))
        .build();
    let subnets = describe_subnets(client, vec![filter]).await;
    let subnets = subnets.map_err(|error| vec![error])?;
    let left = |ids: &[String]| -> u64 {
        let own = subnets.iter().filter(|subnet| {
            let id = subnet.subnet_id();
            id.is_some_and(|id| ids.iter().any(|it| it == id))
        });
        let left = own.filter_map(|subnet| subnet.available_ip_address_count());
        left.filter_map(|left| u64::try_from(left).ok()).sum()
    };
    let mut needs = Vec::new();
    let mut short = Vec::new();
    for (zone, count) in growth {
        let Some(ids) = found.subnets.get(zone) else {
            continue;
        };
        let (left, needed) = (left(ids), u64::from(*count));
        if left < needed {
            let message = format!(
                "the subnets in {zone} have {left} addresses left, and {count} machines are to be \
                 made there"
            );
            let error = ProviderError::new(ErrorClass::Capacity, message);
            short.push(error.with_hint("add a subnet that has addresses left"));
        }
        let mut ids = ids.clone();
        ids.sort();
        let of = format!("the addresses of {} in {place}", ids.join(", "));
        needs.push(Need { of, needed, left });
    }
    match short.is_empty() {
        true => Ok(needs),
        false => Err(short),
    }
}

/// Looks whether the instance profile exists; one that may not be looked at is taken to.
async fn missing_profile(client: &Client, asked: &AwsSettings) -> Option<ProviderError> {
    let wanted = asked.instance_profile.as_ref()?;
    match profile(client, wanted).await {
        Err(error) if error.class == ErrorClass::NotFound => {
            let message = format!("there is no instance profile `{wanted}`");
            let error = ProviderError::new(ErrorClass::NotFound, message);
            Some(error.with_hint("`aws iam list-instance-profiles` lists those that there are"))
        }
        Err(error) if error.class == ErrorClass::PermissionDenied => None,
        Err(error) => Some(error),
        Ok(()) => None,
    }
}

/// Asks for an instance profile, by name or ARN.
///
/// # Errors
/// `NotFound` when it does not exist.
pub(crate) async fn profile(client: &Client, wanted: &str) -> Result<(), ProviderError> {
    // Of an ARN, the name is the last part.
    let name = wanted.rsplit('/').next().unwrap_or_default();
    let call = || {
        let call = client.iam.get_instance_profile();
        call.instance_profile_name(name).send()
    };
    let answer = client.send(Action::GetInstanceProfile, call).await;
    answer.map(drop)
}
