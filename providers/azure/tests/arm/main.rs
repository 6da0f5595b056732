//! The provider against a double of Azure Resource Manager.

mod conformance;
mod create;
mod ground;
mod leftovers;
mod observe;
mod refusals;
mod resolve;
mod update;
