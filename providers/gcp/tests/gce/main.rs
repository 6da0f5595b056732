//! The provider against a double of Compute Engine.

mod conformance;
mod create;
mod firewall;
mod ground;
mod observe;
mod refusals;
mod resolve;
mod update;
