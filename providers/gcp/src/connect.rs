//! Connects to a scope: credentials, impersonation, endpoint.

use google_cloud_auth::credentials::{self, Credentials, impersonated};
use google_cloud_compute_v1::client::{
    Firewalls, GlobalOperations, Images, Instances, MachineTypes, Projects, Regions, Subnetworks,
    ZoneOperations,
};
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_resourcemanager_v3::client::Projects as ResourceManager;
use meshvm_provider_api::{ErrorClass, ProviderError, Scope};

use crate::settings::{CLOUD_PLATFORM, ENDPOINT, IMPERSONATE, PROJECT, QUOTA_PROJECT, REGION};

/// The clients of one scope.
pub(crate) struct Apis {
    pub instances: Instances,
    pub operations: ZoneOperations,
    pub firewalls: Firewalls,
    pub all_operations: GlobalOperations,
    pub images: Images,
    pub machine_types: MachineTypes,
    pub regions: Regions,
    pub subnetworks: Subnetworks,
    pub projects: Projects,
    pub project: String,
    pub region: String,
}

/// Finds credentials as Google's clients do: the file that `GOOGLE_APPLICATION_CREDENTIALS`
/// names, that of `gcloud auth application-default login`, the metadata server
/// (<https://cloud.google.com/docs/authentication/application-default-credentials>).
///
/// # Errors
/// `Environment` when a file cannot be used.
fn credentials(scope: &Scope) -> Result<Credentials, ProviderError> {
    let part = |name: &str| scope.part(name);
    let mut found = credentials::Builder::default().with_scopes([CLOUD_PLATFORM]);
    let quota_project = part(QUOTA_PROJECT);
    if let Some(project) = quota_project {
        found = found.with_quota_project_id(project);
    }
    let unusable = |error| {
        ProviderError::new(ErrorClass::Environment, "there are no usable credentials")
            .with_hint("run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS")
            .with_source(error)
    };
    let own = found.build().map_err(unusable)?;
    let Some(account) = part(IMPERSONATE) else {
        return Ok(own);
    };
    let mut other = impersonated::Builder::from_source_credentials(own)
        .with_target_principal(account)
        .with_scopes([CLOUD_PLATFORM]);
    if let Some(project) = quota_project {
        other = other.with_quota_project_id(project);
    }
    other.build().map_err(unusable)
}

/// Prepares the client of Resource Manager for a scope; with an `endpoint` it is asked there, too.
///
/// # Errors
/// `Environment` without credentials.
pub(crate) async fn projects(scope: &Scope) -> Result<ResourceManager, ProviderError> {
    let mut builder = ResourceManager::builder()
        .with_credentials(credentials(scope)?)
        .with_retry_policy(NeverRetry);
    if let Some(endpoint) = scope.part(ENDPOINT) {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().await.map_err(|error| {
        let message = "the client of Resource Manager cannot be made";
        ProviderError::new(ErrorClass::Environment, message).with_source(error)
    })
}

/// Prepares clients of a scope. Reads the environment and the files of credentials; sends nothing.
///
/// # Errors
/// `Invalid` when the scope names no project or region, `Environment` without credentials.
pub(crate) async fn apis(scope: &Scope) -> Result<Apis, ProviderError> {
    let part = |name: &str| {
        scope.part(name).cloned().ok_or_else(|| {
            let message = format!("{scope} names no {name}");
            ProviderError::new(ErrorClass::Invalid, message)
        })
    };
    let credentials = credentials(scope)?;
    let endpoint = scope.part(ENDPOINT);
    let failed = |error| {
        let message = "the client of Compute Engine cannot be made";
        ProviderError::new(ErrorClass::Environment, message).with_source(error)
    };
    macro_rules! client {
        ($kind:ident) => {{
            let mut builder = $kind::builder()
                .with_credentials(credentials.clone())
                // Retries are the layers' work: these would be counted and paced by nobody.
                .with_retry_policy(NeverRetry);
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            builder.build().await.map_err(failed)?
        }};
    }
    Ok(Apis {
        instances: client!(Instances),
        operations: client!(ZoneOperations),
        firewalls: client!(Firewalls),
        all_operations: client!(GlobalOperations),
        images: client!(Images),
        machine_types: client!(MachineTypes),
        regions: client!(Regions),
        subnetworks: client!(Subnetworks),
        projects: client!(Projects),
        project: part(PROJECT)?,
        region: part(REGION)?,
    })
}
