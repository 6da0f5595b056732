//! Stacks in a mesh of a cluster: the lab's double of a Kubernetes API, under exactly the roles that
//! are documented.

mod accounts;
mod answers;
mod backend;
mod down;
mod ending;
mod fleets;
pub mod ground;
mod lacking;
mod late;
mod logins;
#[cfg(feature = "local")]
mod machines;
mod namespaces;
mod ports;
mod program;
mod reading;
mod revisions;
mod tokens;
mod told;
mod unlabelled;
mod unready;
