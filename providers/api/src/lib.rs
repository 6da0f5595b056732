//! The contract between meshvm's engine and the clouds it drives.
//!
//! A provider has two halves. Its [`Kind`] is pure: it knows the provider's
//! block of a fleet file, and judges whether a machine is still what that block
//! asks for. Its [`Provider`] talks to one [`Scope`] of the cloud. Together
//! they have nine methods; a new ability becomes a new field of their data
//! before it becomes a tenth.
//!
//! This crate may not name a cloud, read the environment or print.
//!
//! Invariants that every provider keeps:
//! 1. All ownership labels are set in the call that creates a machine.
//! 2. Every method of [`Provider`] is safe to repeat with the same arguments.
//! 3. `update` and `delete` touch only the machines that they were given.
//! 4. The calls of an `observe` grow with pages, never with machines.

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod contract;
pub mod error;
pub mod gib;
pub mod labels;
pub mod layers;
pub mod machine;
pub mod need;
pub mod network;
pub mod private;
pub mod scope;
mod shared;
pub mod template;

pub use contract::{
    Batch, Created, Effort, Info, Kind, Media, OpenContext, Place, Progress, Provider, Query,
    Requests, Shortfall, Update, UserDataRules,
};
pub use error::{ErrorClass, ProviderError};
pub use gib::Gib;
pub use labels::{BatchKey, Hash, Labels, Ownership};
pub use machine::{Machine, MachineId, Power, Readiness};
pub use need::{Growth, Need};
pub use network::is_network;
pub use private::{NoPrivateFiles, PrivateFile, PrivateFiles};
pub use scope::Scope;
pub use shared::Shared;
pub use template::{Attributes, Difference, Finding, Mutability, Template};
