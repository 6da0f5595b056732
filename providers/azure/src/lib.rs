//! The `azure` provider: machines on Azure.
//!
//! The pure half reads the fleet's block ([`AzureSettings`]) and judges machines; the other sends
//! requests to Azure Resource Manager, through Microsoft's own pipeline. One scope is a location
//! of a resource group.
//!
//! Invariants:
//! 1. A machine, its interface, disks and public address are made by one call, with their labels
//!    as tags, and go together.
//! 2. Names follow from the batch, and making is bound to there being nothing of that name.
//! 3. Listing takes as many calls for one machine as for a page of them.
//! 4. Each call that is made is in [`policy::ACTIONS`], so that the least role is never a guess.

mod attributes;
mod body;
mod certificate;
mod check;
mod client;
mod cloud;
mod compare;
mod connect;
mod create;
mod delete;
mod doctor;
mod error;
mod group;
mod interface;
mod kind;
mod leftovers;
mod let_go;
mod machine;
mod observe;
mod operation;
pub mod policy;
mod provider;
mod recipe;
mod resolve;
mod rights;
mod settings;
mod tags;
mod update;
mod wire;

pub use doctor::{Identity, identity};
pub use kind::AzureKind;
pub use rights::denied;
pub use settings::AzureSettings;
