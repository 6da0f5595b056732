//! Stacks in a mesh of a cluster: the lab's double of a Kubernetes API, under exactly the roles that
//! are documented.

mod backend;
pub mod ground;
#[cfg(feature = "local")]
mod machines;
mod program;
mod told;
