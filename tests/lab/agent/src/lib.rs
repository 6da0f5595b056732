//! A double of Istio's pilot-agent, for meshvm's tests and for trying it.
//!
//! It reads the environment and the files that the real one reads, gets its certificate from
//! istiod the same way, and runs the real Envoy. Three things stand in for something larger:
//!
//! | of the double | stands in for |
//! |---|---|
//! | [`wire::discovery`] | Envoy's discovery (ADS) with istiod |
//! | [`hosts`], a block in `/etc/hosts` | answering captured DNS questions |
//! | [`iptables`] without DNS, TPROXY and IPv6 | all of Istio's rules |
//!
//! What decides is pure and takes the environment as a map: [`settings`], [`proxy_config`],
//! [`node`], [`envoy::listeners`], [`envoy::clusters`] and the rules. [`run`] ties it together.

pub mod credentials;
pub mod discovery;
pub mod envoy;
pub mod hosts;
pub mod iptables;
pub mod log;
pub mod node;
pub mod probe;
pub mod proxy_config;
pub mod run;
pub mod settings;
pub mod status;
pub mod wire;

/// The version that the double says it has; that of its package as well.
pub const VERSION: &str = "1.30.3+lab1";
