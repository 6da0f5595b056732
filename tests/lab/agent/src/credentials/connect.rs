//! Connections to istiod, and what goes with each request.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use tonic::Request;
use tonic::metadata::{AsciiMetadataValue, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::{Held, held};
use crate::log;
use crate::settings::Settings;

/// Where root certificates are when nobody says where.
const DEFAULT_ROOT: &str = "./etc/certs/root-cert.pem";

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Nobody can be trusted. It gets no better by trying again.
    #[error("invalid config - {peer} missing a root certificate {}", path.display())]
    NoRoot {
        /// Who would be trusted by it.
        peer: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// The address is none.
    #[error("{address:?} is no address")]
    Address {
        /// The address.
        address: String,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// istiod cannot be reached, or is not who it should be.
    #[error("cannot connect to {address}")]
    Transport {
        /// The address.
        address: String,
        /// Why not.
        source: tonic::transport::Error,
    },
}

/// Who is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The certificate authority.
    Authority,
    /// Discovery.
    Discovery,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Authority => "CA",
            Self::Discovery => "XDS",
        }
    }

    fn address(self, settings: &Settings) -> &str {
        match self {
            Self::Authority => &settings.ca_address,
            Self::Discovery => &settings.discovery_address,
        }
    }

    fn san(self, settings: &Settings) -> Option<&str> {
        match self {
            Self::Authority => settings.ca_san.as_deref(),
            Self::Discovery => settings.istiod_san.as_deref(),
        }
    }

    /// Returns the file of its root: what the environment says, else the usual place, else beside
    /// the certificate that the workload already has.
    fn root(self, settings: &Settings) -> PathBuf {
        let said = match self {
            Self::Authority => settings.ca_root.as_ref(),
            Self::Discovery => settings.xds_root.as_ref(),
        };
        if let Some(said) = said {
            return said.clone();
        }
        match &settings.prov_cert {
            Some(folder) if !Path::new(DEFAULT_ROOT).exists() => folder.join("root-cert.pem"),
            Some(_) | None => PathBuf::from(DEFAULT_ROOT),
        }
    }
}

/// Connects, with the certificate that the workload has, if it is good.
///
/// # Errors
///
/// When there is no root to trust by, or istiod cannot be reached.
pub async fn connect(settings: &Settings, peer: Peer) -> Result<Channel, ConnectError> {
    let address = peer.address(settings);
    let path = peer.root(settings);
    let root = std::fs::read(&path).map_err(|source| ConnectError::NoRoot {
        peer: peer.name(),
        path,
        source,
    })?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(root))
        .domain_name(peer.san(settings).unwrap_or(host));
    if let Some(folder) = &settings.prov_cert {
        match held(folder, Timestamp::now()) {
            Held::Certificate { chain, key } => tls = tls.identity(Identity::from_pem(chain, key)),
            Held::Nothing(why) => log::warn(why),
        }
    }
    let endpoint = Endpoint::from_shared(format!("https://{address}"))
        .and_then(|endpoint| {
            endpoint
                .connect_timeout(Duration::from_secs(5))
                // A machine that lost its network finds out by itself.
                .http2_keep_alive_interval(Duration::from_secs(10))
                .keep_alive_timeout(Duration::from_secs(10))
                .tls_config(tls)
        })
        .map_err(|source| ConnectError::Address {
            address: address.to_owned(),
            source,
        })?;
    let connected = endpoint.connect().await;
    connected.map_err(|source| ConnectError::Transport {
        address: address.to_owned(),
        source,
    })
}

/// Returns a request with the token, read anew, and the cluster.
///
/// Without a token the request goes out all the same: a certificate may do.
pub fn authorized<T>(settings: &Settings, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    if let Ok(cluster) = settings.cluster_id.parse::<AsciiMetadataValue>() {
        metadata.insert("clusterid", cluster);
    }
    if let Some(path) = &settings.token {
        match std::fs::read_to_string(path) {
            Ok(token) => {
                let bearer = format!("Bearer {}", token.trim());
                if let Ok(mut value) = bearer.parse::<MetadataValue<_>>() {
                    value.set_sensitive(true);
                    metadata.insert("authorization", value);
                }
            }
            Err(error) => log::warn(format_args!("failed to fetch token from file: {error}")),
        }
    }
    request
}
