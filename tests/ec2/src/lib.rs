//! A server that speaks AWS's APIs, and a proxy that gives it EC2's manners, for meshvm's tests.
//!
//! The server is moto, which nobody here wrote. What it lacks of EC2 the [`Proxy`] in front of it
//! has: client tokens, as many machines as there is room for, listings that lag behind, calls
//! that are throttled, replies that are lost. It counts calls by name, so that what a client
//! costs is known.

mod buckets;
mod manners;
mod moto;
mod proxy;
mod tokens;
mod truth;
pub mod xml;

pub use buckets::Bucket;
pub use manners::{Halt, Manners, Refusal};
pub use moto::{Moto, nowhere};
pub use proxy::Proxy;
pub use truth::Instance;
