//! Looks up what a fleet's block names. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, Image as Ec2Image, ImageState, Subnet};
use meshvm_provider_api::{ErrorClass, Finding, ProviderError, Template};

use crate::client::Client;
use crate::policy::Action;
use crate::recipe::{Found, Recipe};
use crate::settings::{AwsSettings, Image};

/// Fills in what only the cloud can say; a template that has it is returned as it is.
///
/// # Errors
/// `NotFound` when what the block names does not exist.
pub(crate) async fn template(
    client: &Client,
    template: &Template,
) -> Result<Template, ProviderError> {
    let mut recipe = Recipe::of(template)?;
    if recipe.found.is_some() {
        return Ok(template.clone());
    }
    let (image, subnets) =
        futures::try_join!(image(client, &recipe.asked), subnets(client, &recipe.asked))?;
    let vpc = subnets.iter().find_map(|subnet| subnet.vpc_id.clone());
    let mut by_zone: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for subnet in subnets {
        if let (Some(zone), Some(id)) = (subnet.availability_zone, subnet.subnet_id) {
            by_zone.entry(zone).or_default().push(id);
        }
    }
    for zone in &recipe.asked.zones {
        if !by_zone.contains_key(zone) {
            let what = match recipe.asked.subnets.is_empty() {
                true => "no default subnet is",
                false => "none of the subnets is",
            };
            let message = format!("{what} in zone `{zone}`");
            return Err(ProviderError::new(ErrorClass::NotFound, message)
                .with_hint("name a subnet of each zone in `subnets`, or drop the zone"));
        }
    }
    let architecture = image.architecture.as_ref();
    recipe.found = Some(Found {
        image: image.image_id.unwrap_or_default(),
        image_name: image.name,
        architecture: architecture.map_or("", |it| it.as_str()).to_owned(),
        root_device: image.root_device_name,
        subnets: by_zone,
        vpc,
    });
    recipe.template().map_err(|findings| invalid(&findings))
}

async fn image(client: &Client, asked: &AwsSettings) -> Result<Ec2Image, ProviderError> {
    let (id, owner, name) = match &asked.image {
        Image::Id(id) => (Some(id.clone()), None, None),
        Image::Parameter { ssm, policy: _ } => (Some(parameter(client, ssm).await?), None, None),
        Image::Newest {
            owner,
            name,
            policy: _,
        } => {
            let name = Filter::builder().name("name").values(name).build();
            (None, Some(owner.clone()), Some(name))
        }
    };
    let filters = name.map(|name| vec![name]);
    let mut images = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let page = client
            .send(Action::DescribeImages, || {
                let call = client.ec2.describe_images();
                call.set_image_ids(id.clone().map(|id| vec![id]))
                    .set_owners(owner.clone().map(|owner| vec![owner]))
                    .set_filters(filters.clone())
                    .set_next_token(next.clone())
                    .send()
            })
            .await?;
        images.extend(page.images.unwrap_or_default());
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            break;
        }
    }
    images.retain(|image| image.state == Some(ImageState::Available));
    // Dates are written in one format, in which later is greater.
    let newest = images
        .into_iter()
        .max_by(|a, b| (&a.creation_date, &a.image_id).cmp(&(&b.creation_date, &b.image_id)));
    newest.ok_or_else(|| {
        let message = format!("there is no image `{}` in {}", asked.image, asked.region);
        ProviderError::new(ErrorClass::NotFound, message)
            .with_hint("images are of one region: look for it there, and at who may use it")
    })
}

async fn parameter(client: &Client, name: &str) -> Result<String, ProviderError> {
    let answer = client
        .send(Action::GetParameter, || {
            client.ssm.get_parameter().name(name).send()
        })
        .await;
    let missing = || {
        let message = format!("there is no parameter `{name}`");
        ProviderError::new(ErrorClass::NotFound, message)
            .with_hint("`aws ssm get-parameters-by-path --path /aws/service` lists public ones")
    };
    let value = match answer {
        Ok(answer) => answer.parameter.and_then(|parameter| parameter.value),
        Err(error) if error.class == ErrorClass::NotFound => return Err(missing()),
        Err(error) => return Err(error),
    };
    match value.filter(|value| value.starts_with("ami-")) {
        Some(id) => Ok(id),
        None => {
            let message = format!("parameter `{name}` does not hold the id of an image");
            Err(ProviderError::new(ErrorClass::Invalid, message))
        }
    }
}

/// Returns the subnets to spread over, in the file's order where it names them.
async fn subnets(client: &Client, asked: &AwsSettings) -> Result<Vec<Subnet>, ProviderError> {
    let filter = |name: &str, values: Vec<String>| {
        Filter::builder()
            .name(name)
            .set_values(Some(values))
            .build()
    };
    let filters = vec![match asked.subnets.is_empty() {
        true => filter("default-for-az", vec!["true".to_owned()]),
        false => filter("subnet-id", asked.subnets.clone()),
    }];
    let mut found = describe_subnets(client, filters).await?;
    found.retain(|subnet| {
        let zone = subnet.availability_zone.as_ref();
        asked.zones.is_empty() || asked.zones.iter().any(|wanted| Some(wanted) == zone)
    });
    let position = |subnet: &Subnet| {
        let id = subnet.subnet_id.as_ref();
        asked.subnets.iter().position(|wanted| Some(wanted) == id)
    };
    found.sort_by_key(|subnet| (position(subnet), subnet.subnet_id.clone()));
    let networks: BTreeSet<_> = found.iter().map(|subnet| &subnet.vpc_id).collect();
    if networks.len() > 1 {
        let message = "the subnets are in several networks";
        return Err(ProviderError::new(ErrorClass::Invalid, message)
            .with_hint("make a fleet of each network"));
    }
    if asked.zones.is_empty()
        && let Some(missing) = asked
            .subnets
            .iter()
            .find(|wanted| found.iter().all(|it| it.subnet_id.as_ref() != Some(wanted)))
    {
        let message = format!("there is no subnet `{missing}` in {}", asked.region);
        return Err(ProviderError::new(ErrorClass::NotFound, message));
    }
    if found.is_empty() && asked.zones.is_empty() {
        let message = format!("no subnet of {} fits", asked.region);
        return Err(
            ProviderError::new(ErrorClass::NotFound, message).with_hint("name them in `subnets`")
        );
    }
    Ok(found)
}

/// Lists subnets.
pub(crate) async fn describe_subnets(
    client: &Client,
    filters: Vec<Filter>,
) -> Result<Vec<Subnet>, ProviderError> {
    let mut found = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let page = client
            .send(Action::DescribeSubnets, || {
                let call = client.ec2.describe_subnets();
                call.set_filters(Some(filters.clone()))
                    .set_next_token(next.clone())
                    .send()
            })
            .await?;
        found.extend(page.subnets.unwrap_or_default());
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(found);
        }
    }
}

fn invalid(findings: &[Finding]) -> ProviderError {
    let message = findings.first().map(|finding| finding.message.clone());
    ProviderError::new(ErrorClass::Invalid, message.unwrap_or_default())
}
