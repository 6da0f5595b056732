//! The one integration binary: every test that needs more than one module.

mod broken;
mod cli;
mod crash;
mod kill;
#[cfg(feature = "local")]
mod machines;
mod properties;
mod rollout;
mod schema;
mod support;
mod scenarios;
mod golden;
mod tidy;
