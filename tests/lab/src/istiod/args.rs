//! What of a control plane a command line says.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use clap::Args;
use kube::Client;

use super::{Gateway, Istiod, IstiodError, IstiodOptions};

/// The control plane, as flags.
#[derive(Debug, Clone, Args)]
pub struct IstiodArgs {
    /// Where istiod listens. Machines ask at port 15012; port 0 lets the kernel choose.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:15012")]
    pub istiod: SocketAddr,
    /// Where the east-west gateway is: an address, a host name, or `none`.
    ///
    /// Left out, where istiod listens, if that is one address.
    #[arg(long, value_name = "WHERE")]
    pub gateway: Option<Gateway>,
    /// istiod's revision.
    #[arg(long, value_name = "NAME")]
    pub revision: Option<String>,
    /// A tag that stands for istiod's revision; may be repeated.
    #[arg(long = "tag", value_name = "NAME", default_value = "default")]
    pub tags: Vec<String>,
    /// The cluster's name in the mesh.
    #[arg(long, value_name = "NAME", default_value = "Kubernetes")]
    pub cluster_id: String,
    /// The mesh's trust domain.
    #[arg(long, value_name = "NAME", default_value = "cluster.local")]
    pub trust_domain: String,
    /// The cluster's network.
    #[arg(long, value_name = "NAME")]
    pub network: Option<String>,
}

impl IstiodArgs {
    /// Returns the options for a cluster.
    pub fn options(self, kubernetes: Client) -> IstiodOptions {
        let ip = self.istiod.ip();
        let here = if ip.is_unspecified() {
            Gateway::None
        } else {
            Gateway::Ip(ip)
        };
        IstiodOptions {
            listen: self.istiod,
            gateway: self.gateway.unwrap_or(here),
            revision: self.revision,
            tags: self.tags,
            cluster_id: self.cluster_id,
            trust_domain: self.trust_domain,
            network: self.network,
            ..IstiodOptions::new(kubernetes)
        }
    }
}

/// Starts a control plane as the flags say.
///
/// # Errors
///
/// As [`Istiod::start`].
pub async fn run(args: IstiodArgs, kubernetes: Client) -> Result<Istiod, IstiodError> {
    Istiod::start(args.options(kubernetes)).await
}

impl FromStr for Gateway {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.parse::<IpAddr>() {
            Ok(ip) => Self::Ip(ip),
            Err(_) if text == "none" => Self::None,
            Err(_) => Self::Hostname(text.to_owned()),
        })
    }
}
