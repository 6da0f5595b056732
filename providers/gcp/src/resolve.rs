//! Looks up what a fleet's block names, and whether such machines can be had. Changes nothing.

use std::collections::BTreeSet;

use google_cloud_compute_v1::model::{MachineType, Region, quota};
use meshvm_provider_api::{ErrorClass, Finding, ProviderError, Template};

use crate::attributes::last;
use crate::client::Client;
use crate::policy::Action;
use crate::recipe::{Found, Recipe};
use crate::settings::{GcpSettings, Image};

/// The most types of a page.
const PAGE: u32 = 500;

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
    let ((image, architecture), region) =
        futures::try_join!(image(client, &recipe.asked), region(client))?;
    let all: BTreeSet<&str> = region.zones.iter().map(|zone| last(zone)).collect();
    let asked = &recipe.asked.zones;
    if let Some(missing) = asked.iter().find(|zone| !all.contains(zone.as_str())) {
        let message = format!("there is no zone `{missing}`");
        let all: Vec<&str> = all.into_iter().collect();
        let hint = format!("{} has {}", client.apis.region, all.join(", "));
        return Err(ProviderError::new(ErrorClass::NotFound, message).with_hint(hint));
    }
    let zones: Vec<String> = match asked.is_empty() {
        true => all.into_iter().map(str::to_owned).collect(),
        false => asked.clone(),
    };
    if zones.is_empty() {
        let message = format!("{} has no zones", client.apis.region);
        return Err(ProviderError::new(ErrorClass::NotFound, message));
    }
    recipe.found = Some(Found {
        image,
        architecture,
        zones,
    });
    recipe.template().map_err(|findings| invalid(&findings))
}

/// Looks whether the machines of a template can be had.
///
/// # Errors
/// `Invalid` or `NotFound` when they never can; `Quota` when the region has no processors left.
pub(crate) async fn check(client: &Client, template: &Template) -> Result<(), ProviderError> {
    let recipe = Recipe::of(template)?;
    let found = recipe.found()?;
    futures::try_join!(
        types_fit(client, &recipe.asked, found),
        subnetwork_is_there(client, &recipe.asked),
        quota_is_left(client),
    )?;
    Ok(())
}

/// Returns the image's name and architecture.
async fn image(
    client: &Client,
    asked: &GcpSettings,
) -> Result<(String, Option<String>), ProviderError> {
    let apis = &client.apis;
    let (project, answer) = match &asked.image {
        Image::Name(full) => {
            let (project, name) = Image::parts(full).unwrap_or((&asked.project, full));
            let call = || {
                apis.images
                    .get()
                    .set_project(project)
                    .set_image(name)
                    .send()
            };
            (project, client.send(Action::GetImage, call).await)
        }
        Image::Family {
            project, family, ..
        } => {
            let call = || {
                let call = apis.images.get_from_family().set_project(project);
                call.set_family(family).send()
            };
            (
                project.as_str(),
                client.send(Action::GetImageFromFamily, call).await,
            )
        }
    };
    let image = answer.map_err(|error| match error.class {
        ErrorClass::NotFound => {
            let message = format!("there is no image `{}`", asked.image);
            ProviderError::new(ErrorClass::NotFound, message)
                .with_hint("`gcloud compute images list` shows public ones and their families")
        }
        _ => error,
    })?;
    let architecture = image.architecture.as_ref().and_then(|it| it.name());
    let architecture = architecture.filter(|it| *it != "ARCHITECTURE_UNSPECIFIED");
    let architecture = architecture.map(str::to_owned);
    let name = image.name.unwrap_or_default();
    Ok((
        format!("projects/{project}/global/images/{name}"),
        architecture,
    ))
}

async fn region(client: &Client) -> Result<Region, ProviderError> {
    let apis = &client.apis;
    let call = || {
        let call = apis.regions.get().set_project(&apis.project);
        call.set_region(&apis.region).send()
    };
    client.send(Action::GetRegion, call).await
}

async fn types_fit(
    client: &Client,
    asked: &GcpSettings,
    found: &Found,
) -> Result<(), ProviderError> {
    let types = machine_types(client, &asked.machine_type.0).await?;
    let is_of = |kind: &MachineType, name: &str, zone: &str| {
        kind.name.as_deref() == Some(name) && kind.zone.as_deref().map(last) == Some(zone)
    };
    for zone in &found.zones {
        let names = asked.machine_type.0.iter();
        let there: Vec<&MachineType> = names
            .filter_map(|name| types.iter().find(|kind| is_of(kind, name, zone)))
            .collect();
        if there.is_empty() {
            let message = format!("zone `{zone}` has none of the machine types");
            return Err(ProviderError::new(ErrorClass::NotFound, message)
                .with_hint("add another type to `machineType`, or drop the zone"));
        }
        for kind in there {
            let has = kind.architecture.as_ref().and_then(|it| it.name());
            let has = has.filter(|it| *it != "ARCHITECTURE_UNSPECIFIED");
            if let (Some(wanted), Some(has)) = (found.architecture.as_deref(), has)
                && wanted != has
            {
                let name = kind.name.as_deref().unwrap_or_default();
                let message = format!("image `{}` is for {wanted}, {name} is {has}", asked.image);
                return Err(ProviderError::new(ErrorClass::Invalid, message)
                    .with_hint("take an image for the type's architecture, or another type"));
            }
        }
    }
    Ok(())
}

async fn machine_types(
    client: &Client,
    names: &[String],
) -> Result<Vec<MachineType>, ProviderError> {
    let names = names.iter().map(|name| format!("(name = \"{name}\")"));
    let filter = names.collect::<Vec<_>>().join(" OR ");
    let apis = &client.apis;
    let mut found = Vec::new();
    let mut next = String::new();
    loop {
        let page = client
            .send(Action::AggregatedListMachineTypes, || {
                let call = apis.machine_types.aggregated_list();
                call.set_project(&apis.project)
                    .set_filter(&filter)
                    .set_max_results(PAGE)
                    .set_page_token(&next)
                    .send()
            })
            .await?;
        found.extend(page.items.into_values().flat_map(|zone| zone.machine_types));
        next = page.next_page_token.unwrap_or_default();
        if next.is_empty() {
            return Ok(found);
        }
    }
}

async fn subnetwork_is_there(client: &Client, asked: &GcpSettings) -> Result<(), ProviderError> {
    let Some(subnetwork) = &asked.subnetwork else {
        return Ok(());
    };
    let apis = &client.apis;
    // A shared network's is another project's.
    let host = subnetwork.strip_prefix("projects/");
    let host = host.and_then(|rest| rest.split('/').next());
    let call = || {
        let call = apis.subnetworks.get().set_region(&apis.region);
        call.set_project(host.unwrap_or(&apis.project))
            .set_subnetwork(last(subnetwork))
            .send()
    };
    let answer = client.send(Action::GetSubnetwork, call).await;
    let seen = answer.map_err(|error| match error.class {
        ErrorClass::NotFound => {
            let message = format!("there is no subnetwork `{subnetwork}` in {}", apis.region);
            ProviderError::new(ErrorClass::NotFound, message)
        }
        _ => error,
    })?;
    let network = seen.network.as_deref().map(last).unwrap_or_default();
    match &asked.network {
        Some(wanted) if last(wanted) != network => {
            let message = format!("subnetwork `{subnetwork}` is in network {network}");
            Err(ProviderError::new(ErrorClass::Invalid, message)
                .with_hint(format!("write `network: {network}`, or leave it out")))
        }
        Some(_) | None => Ok(()),
    }
}

async fn quota_is_left(client: &Client) -> Result<(), ProviderError> {
    let region = region(client).await?;
    for quota in &region.quotas {
        let (Some(limit), Some(usage)) = (quota.limit, quota.usage) else {
            continue;
        };
        let is_cpus = quota.metric == Some(quota::Metric::Cpus);
        let is_instances = quota.metric == Some(quota::Metric::Instances);
        if (is_cpus || is_instances) && usage >= limit {
            let name = quota.metric.as_ref().and_then(|it| it.name());
            let name = name.unwrap_or_default();
            let message = format!(
                "{usage} of {limit} {name} of {} are used",
                client.apis.region
            );
            return Err(ProviderError::new(ErrorClass::Quota, message)
                .with_hint("ask for a higher quota on the page IAM & Admin, Quotas"));
        }
    }
    Ok(())
}

fn invalid(findings: &[Finding]) -> ProviderError {
    let message = findings.first().map(|finding| finding.message.clone());
    ProviderError::new(ErrorClass::Invalid, message.unwrap_or_default())
}
