//! Looks up what a fleet's block names. Changes nothing.

use std::collections::BTreeSet;

use google_cloud_compute_v1::model::{Image as Seen, Region};
use meshvm_provider_api::{ErrorClass, Finding, ProviderError, Template};

use crate::attributes::last;
use crate::client::Client;
use crate::policy::Action;
use crate::recipe::{Found, Recipe};
use crate::settings::{GcpSettings, Gib, Image};

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
    let ((address, image), region) =
        futures::try_join!(image(client, &recipe.asked), region(client))?;
    let architecture = image.architecture.as_ref().and_then(|it| it.name());
    let architecture = architecture.filter(|it| *it != "ARCHITECTURE_UNSPECIFIED");
    disk_fits(&recipe.asked, image.disk_size_gb)?;
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
        image: address,
        architecture: architecture.map(str::to_owned),
        zones,
    });
    recipe.template().map_err(|findings| invalid(&findings))
}

/// Looks whether the boot disk holds the image.
fn disk_fits(asked: &GcpSettings, needed: Option<i64>) -> Result<(), ProviderError> {
    let size = asked.boot_disk.as_ref().and_then(|disk| disk.size);
    let needed = needed.and_then(|size| u32::try_from(size).ok());
    match (size, needed) {
        (Some(size), Some(needed)) if size.count() < needed => {
            let needed = Gib::of(needed);
            let message = format!("image `{}` needs a boot disk of {needed}", asked.image);
            Err(
                ProviderError::new(ErrorClass::Invalid, message).with_hint(format!(
                    "write `bootDisk: {{size: {needed}}}`, or leave it out"
                )),
            )
        }
        _ => Ok(()),
    }
}

/// Returns the image, and its address.
async fn image(client: &Client, asked: &GcpSettings) -> Result<(String, Seen), ProviderError> {
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
    let name = image.name.as_deref().unwrap_or_default();
    Ok((format!("projects/{project}/global/images/{name}"), image))
}

pub(crate) async fn region(client: &Client) -> Result<Region, ProviderError> {
    let apis = &client.apis;
    let call = || {
        let call = apis.regions.get().set_project(&apis.project);
        call.set_region(&apis.region).send()
    };
    client.send(Action::GetRegion, call).await
}

fn invalid(findings: &[Finding]) -> ProviderError {
    let message = findings.first().map(|finding| finding.message.clone());
    ProviderError::new(ErrorClass::Invalid, message.unwrap_or_default())
}
