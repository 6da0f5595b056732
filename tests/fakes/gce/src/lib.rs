//! A double of Compute Engine, for meshvm's tests.
//!
//! Which calls there are, and what they take, is Google's own description of the API, which
//! `tests/fakes/gce/discovery` gets: what it does not allow is refused as the cloud refuses it.
//! What calls do is a state machine of this crate's. It speaks plain HTTP on loopback, and wants
//! tokens, which it hands out itself, as an `authorized_user` file says by its `token_uri`.
//!
//! It counts calls by name, so that what a client costs is known.

mod batch;
mod cloud;
mod description;
mod disks;
mod filter;
mod firewalls;
mod instances;
mod lists;
mod making;
mod manners;
mod operations;
mod page;
mod quotas;
mod refusal;
mod server;
mod things;
mod validate;
mod wanted;

pub use description::{description, python};
pub use manners::{Halt, Manners, Refused};
pub use server::{Gce, nowhere};
