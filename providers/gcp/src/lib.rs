//! The `gcp` provider: machines on Google Compute Engine.
//!
//! The pure half reads the fleet's block ([`GcpSettings`]) and judges machines; the other sends
//! requests with Google's own client. One scope is what credentials reach of one project in one
//! region.
//!
//! Invariants:
//! 1. Everything that is made carries its labels in the call that makes it.
//! 2. One `instances.bulkInsert` makes many machines, whose names and request id follow from the
//!    batch: a repeated call means the same machines.
//! 3. Listing takes as many calls for one machine as for a page of five hundred.
//! 4. An operation counts as done when its result says so, not when it is `DONE`.
//! 5. Each call that is made is in [`policy::ACTIONS`], so that the least role is never a guess.

mod attributes;
mod check;
mod client;
mod compare;
mod connect;
mod create;
mod delete;
mod doctor;
mod error;
mod firewall;
mod gone;
mod kept;
mod kind;
mod launch;
mod machine;
mod observe;
mod operations;
pub mod policy;
mod provider;
mod recipe;
mod resolve;
mod rights;
mod settings;
mod update;

pub use doctor::{Identity, identity};
pub use kind::GcpKind;
pub use rights::denied;
pub use settings::GcpSettings;
