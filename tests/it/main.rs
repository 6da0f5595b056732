//! The one integration binary: every test that needs more than one module.

#[cfg(all(feature = "aws", feature = "ledger-s3"))]
mod aws;
#[cfg(feature = "azure")]
mod azure;
mod back_and_forth;
mod broken;
mod cli;
#[cfg(all(
    feature = "aws",
    feature = "azure",
    feature = "gcp",
    feature = "ledger-s3"
))]
mod clouds;
mod cluster;
mod crash;
#[cfg(feature = "gcp")]
mod gcp;
mod golden;
mod kill;
#[cfg(any(feature = "ledger-az", feature = "ledger-gs"))]
mod ledgers;
#[cfg(feature = "local")]
mod machines;
mod properties;
mod rollout;
mod scenarios;
mod schema;
mod support;
mod tidy;
