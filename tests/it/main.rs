//! The one integration binary: every test that needs more than one module.

mod crash;
mod schema;
mod support;
mod scenarios;
