//! Connects to a scope: region, credentials, endpoint.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::SharedCredentialsProvider;
use meshvm_provider_api::{ErrorClass, ProviderError, Scope};

use crate::settings::{ENDPOINT, EXTERNAL_ID, PROFILE, REGION, ROLE};

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one call may take: making a thousand machines is one call.
const CALL: Duration = Duration::from_secs(120);
/// What a role's session is called in the account's records.
const SESSION: &str = "meshvm";

/// Prepares clients of a scope. Reads the environment and AWS's own files; sends nothing.
///
/// Credentials come by the SDK's chain: environment, profiles with SSO and processes, web
/// identity, the machine's own role
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>).
///
/// # Errors
/// `Invalid` when the scope names no region.
pub(crate) async fn config(
    scope: &Scope,
    credentials: Option<&SharedCredentialsProvider>,
) -> Result<SdkConfig, ProviderError> {
    let part = |name: &str| scope.part(name).cloned();
    let region = part(REGION).ok_or_else(|| {
        ProviderError::new(ErrorClass::Invalid, format!("{scope} names no region"))
    })?;
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(CALL)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region))
        // Retries are the layers' work: those of the SDK would be counted and paced by nobody.
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Some(credentials) = credentials {
        loader = loader.credentials_provider(credentials.clone());
    }
    if let Some(endpoint) = part(ENDPOINT) {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(profile) = part(PROFILE) {
        loader = loader.profile_name(profile);
    }
    let config = loader.load().await;
    let Some(role) = part(ROLE) else {
        return Ok(config);
    };
    let mut assume = AssumeRoleProvider::builder(role)
        .session_name(SESSION)
        .configure(&config);
    if let Some(id) = part(EXTERNAL_ID) {
        assume = assume.external_id(id);
    }
    let credentials = SharedCredentialsProvider::new(assume.build().await);
    Ok(config
        .into_builder()
        .credentials_provider(credentials)
        .build())
}
