//! Connects to the object stores of the clouds, each behind a cargo feature.
//!
//! The only place of the ledger that reads the environment: credentials,
//! account, region and endpoint come from there, as each store's own tools
//! know them, and never from the URL.

use std::sync::Arc;

use object_store::ObjectStore;
#[cfg(any(feature = "ledger-s3", feature = "ledger-gs", feature = "ledger-az"))]
use object_store::RetryConfig;

use super::error::{LedgerError, UrlProblem};
use super::location::Cloud;

/// Makes the client of a bucket or container; sends nothing.
pub(super) fn connect(
    cloud: Cloud,
    name: &str,
    place: &str,
) -> Result<Arc<dyn ObjectStore>, LedgerError> {
    let client = match cloud {
        Cloud::S3 => s3(name),
        Cloud::Gs => gs(name),
        Cloud::Az => az(name),
    };
    client.map_err(|problem| LedgerError::BadUrl {
        url: place.to_owned(),
        problem,
    })
}

#[cfg(feature = "ledger-s3")]
fn s3(bucket: &str) -> Result<Arc<dyn ObjectStore>, UrlProblem> {
    use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
    AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        // Without it there is no "create if absent", whatever the environment says.
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retries())
        .build()
        .map(|store| Arc::new(store) as _)
        .map_err(|error| settings(&error))
}

#[cfg(not(feature = "ledger-s3"))]
fn s3(_: &str) -> Result<Arc<dyn ObjectStore>, UrlProblem> {
    Err(UrlProblem::NotBuilt("ledger-s3"))
}

#[cfg(feature = "ledger-gs")]
fn gs(bucket: &str) -> Result<Arc<dyn ObjectStore>, UrlProblem> {
    object_store::gcp::GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_retry(retries())
        .build()
        .map(|store| Arc::new(store) as _)
        .map_err(|error| settings(&error))
}

#[cfg(not(feature = "ledger-gs"))]
fn gs(_: &str) -> Result<Arc<dyn ObjectStore>, UrlProblem> {
    Err(UrlProblem::NotBuilt("ledger-gs"))
}

#[cfg(feature = "ledger-az")]
fn az(container: &str) -> Result<Arc<dyn ObjectStore>, UrlProblem> {
    object_store::azure::MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_retry(retries())
        .build()
        .map(|store| Arc::new(store) as _)
        .map_err(|error| settings(&error))
}

#[cfg(not(feature = "ledger-az"))]
fn az(_: &str) -> Result<Arc<dyn ObjectStore>, UrlProblem> {
    Err(UrlProblem::NotBuilt("ledger-az"))
}

/// The client's default is three minutes: too long for a person whose endpoint
/// is mistyped, and for a lease that could not be renewed meanwhile.
#[cfg(any(feature = "ledger-s3", feature = "ledger-gs", feature = "ledger-az"))]
fn retries() -> RetryConfig {
    RetryConfig {
        max_retries: 6,
        retry_timeout: std::time::Duration::from_secs(20),
        ..RetryConfig::default()
    }
}

#[cfg(any(feature = "ledger-s3", feature = "ledger-gs", feature = "ledger-az"))]
fn settings(error: &object_store::Error) -> UrlProblem {
    UrlProblem::Settings(error.to_string())
}
