//! The provider against a double of Compute Engine.

mod conformance;
mod create;
mod ground;
mod observe;
mod refusals;
mod resolve;
mod update;
