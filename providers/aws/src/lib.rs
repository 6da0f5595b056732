//! The `aws` provider: machines on EC2.
//!
//! The pure half reads the fleet's block ([`AwsSettings`]) and judges machines; the other sends
//! requests with Amazon's own client. One scope is what credentials reach in one region.
//!
//! Invariants:
//! 1. Everything that is made carries its labels, as tags, in the call that makes it.
//! 2. One `RunInstances` makes many machines, under a client token that follows from the batch.
//! 3. Listing takes as many calls for one machine as for a page of a thousand.
//! 4. Each call that is made is in [`policy::ACTIONS`], so that the least policy is never a guess.

mod attributes;
mod check;
mod client;
mod compare;
mod connect;
mod create;
mod delete;
mod doctor;
mod error;
mod group;
mod kind;
mod launch;
mod machine;
mod observe;
pub mod policy;
mod provider;
mod recipe;
mod resolve;
mod rights;
mod settings;
mod tags;
mod update;

pub use doctor::{Identity, identity};
pub use kind::AwsKind;
pub use rights::{Denied, denied};
pub use settings::AwsSettings;
