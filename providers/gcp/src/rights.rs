//! Looks what these credentials may do on the whole of a project. Changes nothing.
//!
//! Only `doctor` tells it, and no plan stops at it: what is granted under a condition, on some
//! names or types of things, is no right on the whole project, and suffices all the same
//! (<https://cloud.google.com/iam/docs/testing-permissions>).

use google_cloud_resourcemanager_v3::client::Projects;
use meshvm_provider_api::{ErrorClass, ProviderError, Requests, Template};

use crate::client::Client;
use crate::connect;
use crate::policy::{self, Action};
use crate::recipe::Recipe;
use crate::settings::{GcpSettings, Image};

/// What a shared network's subnetwork is looked at by, in the project that it is in.
const OF_SUBNETWORK: &str = "compute.subnetworks.";
/// What a fleet's own rule takes.
const OF_RULE: [&str; 4] = [
    "compute.firewalls.",
    "compute.networks.",
    "compute.globalOperations.get",
    SET_TAGS,
];
/// What it and `tags` take.
const SET_TAGS: &str = "compute.instances.setTags";

/// Returns the rights that the fleet of a template takes, from its first machine to its last, and
/// that these credentials lack on the project as a whole.
///
/// # Errors
/// When the cloud does not answer, or Resource Manager's API is not enabled.
pub async fn denied(template: &Template) -> Result<Vec<String>, ProviderError> {
    let client = Client::new(connect::apis(&template.scope).await?, Requests::default());
    let projects = connect::projects(&template.scope).await?;
    lacking(&client, &projects, &Recipe::of(template)?.asked).await
}

async fn lacking(
    client: &Client,
    projects: &Projects,
    asked: &GcpSettings,
) -> Result<Vec<String>, ProviderError> {
    let mut needed = needed(asked);
    let call = || {
        let call = projects.test_iam_permissions();
        call.set_resource(format!("projects/{}", asked.project))
            .set_permissions(needed.clone())
            .send()
    };
    let granted = client.send(Action::TestProjectPermissions, call).await;
    let granted = granted.map_err(|error| match error.class {
        ErrorClass::PermissionDenied => error.with_hint(
            "enable `cloudresourcemanager.googleapis.com`, which tells what one may do, or leave it",
        ),
        _ => error,
    })?;
    needed.retain(|right| !granted.permissions.contains(right));
    Ok(needed)
}

/// Returns what of the least role a fleet takes in its own project.
fn needed(asked: &GcpSettings) -> Vec<String> {
    let image = match &asked.image {
        Image::Name(name) => name.split('/').nth(1).unwrap_or_default(),
        Image::Family { project, .. } => project,
    };
    let has_own_image = image == asked.project;
    let named = asked.subnetwork.as_deref().unwrap_or_default();
    let has_shared_network = named.starts_with("projects/")
        && !named.starts_with(&format!("projects/{}/", asked.project));
    let is_taken = |right: &str| {
        let of_rule = OF_RULE.iter().any(|of| right.starts_with(of));
        let is_tag = right == SET_TAGS && !asked.tags.is_empty();
        (has_own_image || !right.starts_with("compute.images."))
            && (!has_shared_network || !right.starts_with(OF_SUBNETWORK))
            && (asked.firewall.is_some() || is_tag || !of_rule)
    };
    let all = policy::permissions().into_iter();
    all.filter(|right| is_taken(right))
        .map(str::to_owned)
        .collect()
}
