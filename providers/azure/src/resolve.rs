//! Looks up what a fleet's block names. Changes nothing.

use meshvm_provider_api::{ErrorClass, Finding, ProviderError, Template};
use serde::Deserialize;
use serde_json::Value;

use crate::client::{Call, Client};
use crate::policy::Action;
use crate::recipe::{Found, Plan, Recipe};
use crate::settings::{Image, LATEST};

/// A version of an image in the marketplace, as a list has it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Listed {
    name: String,
}

/// What is said of a version, or of an image of a gallery.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Described {
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Properties {
    architecture: Option<String>,
    #[serde(rename = "hyperVGeneration")]
    generation: Option<String>,
    plan: Option<Terms>,
    purchase_plan: Option<Terms>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Terms {
    name: String,
    publisher: String,
    product: String,
}

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
    let found = match &recipe.asked.image {
        Image::Gallery(id) => of_gallery(client, id).await?,
        Image::Marketplace {
            publisher,
            offer,
            sku,
            version,
            policy: _,
        } => {
            let versions = client.place.subscription_path(&format!(
                "Microsoft.Compute/locations/{}/publishers/{publisher}/artifacttypes/vmimage/offers/{offer}/skus/{sku}/versions",
                client.place.location
            ));
            of_marketplace(client, &recipe.asked.image, &versions, version).await?
        }
    };
    recipe.found = Some(found);
    recipe.template().map_err(|findings| invalid(&findings))
}

async fn of_marketplace(
    client: &Client,
    image: &Image,
    versions: &str,
    version: &str,
) -> Result<Found, ProviderError> {
    let missing = || {
        let location = &client.place.location;
        let message = format!("there is no image `{image}` in {location}");
        ProviderError::new(ErrorClass::NotFound, message)
            .with_hint("`az vm image list --all --publisher …` shows what there is")
    };
    let as_missing = |error: ProviderError| match error.class {
        ErrorClass::NotFound => missing(),
        _ => error,
    };
    let version = match version {
        LATEST => {
            let call = Call::get(Action::ListImageVersions, versions);
            // No pages: the service answers with a plain list.
            let listed: Vec<Listed> = client.read(&call).await.map_err(as_missing)?;
            let newest = listed.into_iter().max_by_key(|it| numbers(&it.name));
            newest.ok_or_else(missing)?.name
        }
        version => version.to_owned(),
    };
    let call = Call::get(Action::GetImageVersion, format!("{versions}/{version}"));
    let read: Described = client.read(&call).await.map_err(as_missing)?;
    Ok(of_properties(version, read.properties))
}

async fn of_gallery(client: &Client, id: &str) -> Result<Found, ProviderError> {
    let Some((image, version)) = id.rsplit_once("/versions/") else {
        let message = format!("`{id}` is not the id of an image's version");
        return Err(ProviderError::new(ErrorClass::Invalid, message));
    };
    let missing = |error: ProviderError| match error.class {
        ErrorClass::NotFound => {
            let message = format!("there is no image `{id}`");
            ProviderError::new(ErrorClass::NotFound, message)
        }
        _ => error,
    };
    let call = Call::get(Action::GetGalleryImageVersion, id);
    client.read::<Value>(&call).await.map_err(missing)?;
    let call = Call::get(Action::GetGalleryImage, image);
    let read: Described = client.read(&call).await.map_err(missing)?;
    Ok(of_properties(version.to_owned(), read.properties))
}

fn of_properties(version: String, properties: Properties) -> Found {
    let Properties {
        architecture,
        generation,
        plan,
        purchase_plan,
    } = properties;
    let plan = plan.or(purchase_plan).map(|terms| Plan {
        name: terms.name,
        publisher: terms.publisher,
        product: terms.product,
    });
    Found {
        version,
        architecture,
        generation,
        plan,
    }
}

/// Returns a version as it is ordered: by its numbers, not by their texts.
fn numbers(version: &str) -> Vec<u64> {
    let parts = version.split('.');
    parts.map(|part| part.parse().unwrap_or_default()).collect()
}

fn invalid(findings: &[Finding]) -> ProviderError {
    let message = findings.first().map(|finding| finding.message.clone());
    ProviderError::new(ErrorClass::Invalid, message.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let mut all = ["12.0.202610010", "12.0.20260909", "9.1.1"];
        all.sort_by_key(|version| numbers(version));
        assert_eq!(all, ["9.1.1", "12.0.20260909", "12.0.202610010"]);
    }
}
