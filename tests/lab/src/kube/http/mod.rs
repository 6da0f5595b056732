//! The network's side: HTTPS in, answers and watches out.
//!
//! All I/O of the double is here. What a request means is decided by [`Api`](super::api::Api).

pub mod discovery;
mod listen;
mod openapi;
mod protobuf;
mod respond;
pub mod route;
mod serve;
mod table;
mod watching;

pub(super) use listen::listen;
pub(super) use serve::Shared;
