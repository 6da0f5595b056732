//! Envoy: what it is told, and the process.
//!
//! It reads everything from files that the agent replaces whole: listeners, clusters, endpoints
//! and secrets. A real agent hands on what istiod sends over ADS instead. [`bootstrap`],
//! [`listeners`] and [`clusters`] are pure; [`files`] writes, [`process`] runs.
//!
//! Invariants: what comes in must prove an identity of the trust domain (strict mutual TLS), and
//! what goes to a member of the mesh goes only to the identity that istiod named.

pub mod bootstrap;
pub mod clusters;
pub mod files;
pub mod listeners;
pub mod process;
mod tls;

/// Where captured connections go out through.
pub const OUTBOUND_PORT: u16 = 15001;
/// Where captured connections come in through.
pub const INBOUND_PORT: u16 = 15006;

/// Returns whether a port speaks HTTP: the first part of its name says so.
///
/// <https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/>
fn is_http(port_name: &str) -> bool {
    let protocol = match port_name.strip_prefix("grpc-web") {
        Some(_) => "grpc",
        None => port_name.split('-').next().unwrap_or(port_name),
    };
    matches!(protocol, "http" | "http2" | "grpc")
}

#[cfg(test)]
mod tests;
