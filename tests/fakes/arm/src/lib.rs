//! A double of Azure Resource Manager, for meshvm's tests.
//!
//! What there is to call, and what a body may hold, is taken from Microsoft's own clients, which
//! `tests/fakes/arm/setup` reads; the states of machines and of what belongs to them are written
//! by hand. It speaks HTTPS under an authority of its own, and gives out the tokens that it takes.
//!
//! It refuses what Azure refuses: unknown fields, missing ones, fields that are the service's to
//! write, wrong versions, wrong names. [`Manners`] make it late, slow, full, forgetful or strict.

mod application;
mod authority;
mod catalog;
mod deployments;
mod description;
mod directory;
mod handlers;
mod machines;
mod manners;
mod networks;
mod operations;
mod rights;
mod sealed;
mod server;
mod subscription;
mod truth;
mod validate;
mod world;

pub use authority::Authority;
pub use description::python;
pub use manners::{Halt, Manners, Refusal, Way};
pub use sealed::{Login, sealed};
pub use server::Arm;
pub use truth::Machine;

/// The subscription that everything is in.
pub const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";
/// The tenant of its users.
pub const TENANT: &str = "11111111-1111-1111-1111-111111111111";
/// The resource group that is there from the first, with a network, its subnet and a group.
pub const GROUP: &str = "shop";
/// The location of all of it.
pub const LOCATION: &str = "westeurope";
/// The secret of every application.
pub const SECRET: &str = "known-to-tests-alone";
