//! A double of istiod: the mesh's certificate authority, and discovery for machines.
//!
//! It signs certificates by Istio's own protocol, for whoever has a token of the cluster or a
//! certificate from before; registers machines, writes their health, and tells them whom they can
//! reach. It leaves in the cluster what an installation of Istio leaves there. It runs no gateway,
//! injects nothing, and knows of traffic rules nothing: every service that selects a
//! WorkloadEntry can be reached, by mutual TLS.
//!
//! ```no_run
//! # async fn example(client: kube::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use meshvm_lab::istiod::{Istiod, IstiodOptions};
//!
//! let istiod = Istiod::start(IstiodOptions::new(client)).await?;
//! println!("{}", istiod.address());
//! # Ok(())
//! # }
//! ```
//!
//! | module | decides | does I/O |
//! |---|---|---|
//! | [`identity`], [`model`], [`registry`], [`ca`] | yes | no |
//! | [`authenticate`], [`entries`], [`connections`], [`world`], [`install`] | | yes |
//! | [`certificates`], [`discovery`] | the services | |
//! | [`args`] | its flags | |

pub mod args;
pub mod authenticate;
pub mod ca;
pub mod certificates;
pub mod connections;
pub mod discovery;
pub mod entries;
pub mod identity;
pub mod install;
pub mod model;
pub mod registry;
pub mod world;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity as ServerIdentity, Server, ServerTlsConfig};

use meshvm_lab_agent::wire::certificates::IstioCertificateServiceServer;
use meshvm_lab_agent::wire::discovery::DiscoveryServer;

use self::authenticate::Authenticator;
use self::ca::{Ca, CaError};
use self::certificates::Certificates;
use self::connections::{Connections, look_after};
use self::discovery::Configurations;
use self::entries::Entries;
use self::world::World;

/// How long a silent connection is believed in.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Where the load balancer of the east-west gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gateway {
    /// At an address.
    Ip(IpAddr),
    /// At a name, as some clouds have it.
    Hostname(String),
    /// Nowhere yet.
    None,
}

/// How a control plane is started.
#[derive(Clone)]
pub struct IstiodOptions {
    /// The cluster.
    pub kubernetes: Client,
    /// Where it listens. Port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// Its namespace.
    pub namespace: String,
    /// Its revision, if it has one.
    pub revision: Option<String>,
    /// The tags that stand for its revision; `default` is that of whoever names none.
    pub tags: Vec<String>,
    /// The cluster's name, which machines must know.
    pub cluster_id: String,
    /// The trust domain.
    pub trust_domain: String,
    /// The mesh's name.
    pub mesh_id: String,
    /// The cluster's network, if it has one.
    pub network: Option<String>,
    /// Environment that the mesh gives every proxy.
    pub proxy_metadata: BTreeMap<String, String>,
    /// Where the east-west gateway is.
    pub gateway: Gateway,
    /// How long a certificate lasts for which no time is asked.
    pub default_ttl: Duration,
    /// How long a machine may be away before it is forgotten.
    pub grace: Duration,
}

impl IstiodOptions {
    /// Returns what a plain installation has, on a loopback port that the kernel chooses.
    pub fn new(kubernetes: Client) -> Self {
        Self {
            kubernetes,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            namespace: "istio-system".to_owned(),
            revision: None,
            tags: vec!["default".to_owned()],
            cluster_id: "Kubernetes".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            mesh_id: String::new(),
            network: None,
            proxy_metadata: BTreeMap::new(),
            gateway: Gateway::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            default_ttl: Duration::from_secs(24 * 60 * 60),
            grace: Duration::from_secs(10),
        }
    }

    /// The revision `default` is none.
    fn revision_suffix(&self) -> String {
        let named = self.revision.as_deref().filter(|name| *name != "default");
        named.map_or_else(String::new, |name| format!("-{name}"))
    }

    /// Returns the name of an object of this revision.
    fn object(&self, name: &str) -> String {
        format!("{name}{}", self.revision_suffix())
    }

    /// Returns the name that machines know it by.
    pub fn host(&self) -> String {
        format!("istiod{}.{}.svc", self.revision_suffix(), self.namespace)
    }

    /// Returns the names that its certificate has.
    fn names(&self) -> Vec<String> {
        let namespace = &self.namespace;
        let plain = ["istiod", "istiod-remote", "istio-pilot"];
        let mut names: Vec<String> = plain.map(|name| format!("{name}.{namespace}.svc")).into();
        if !names.contains(&self.host()) {
            names.push(self.host());
        }
        names
    }
}

/// Why a control plane does not start.
#[derive(Debug, Error)]
pub enum IstiodError {
    /// The cluster refuses something.
    #[error("the cluster refuses what Istio installs")]
    Cluster(#[from] kube::Error),
    /// The mesh's configuration cannot be written.
    #[error("cannot write the mesh's configuration")]
    Yaml(#[from] serde_saphyr::ser::Error),
    /// There is no authority.
    #[error("cannot make the certificate authority")]
    Ca(#[from] CaError),
    /// It cannot listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot use its certificate.
    #[error("cannot use the certificate")]
    Tls(#[from] tonic::transport::Error),
}

/// A running control plane. Dropping it ends it; what it wrote stays.
pub struct Istiod {
    address: SocketAddr,
    ca: Arc<Ca>,
    tasks: JoinSet<()>,
}

impl Istiod {
    /// Installs and starts a control plane.
    ///
    /// # Errors
    ///
    /// When the cluster refuses what Istio installs, or it cannot listen.
    pub async fn start(options: IstiodOptions) -> Result<Self, IstiodError> {
        let ca = Arc::new(install::install(&options).await?);
        let mut tasks = JoinSet::new();
        let world = World::start(&options.kubernetes, &mut tasks).await;
        let refused = |source| IstiodError::Listen {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        // Whoever asks once it has started finds the root in the namespaces of before.
        publish_roots(&options.kubernetes, &world, ca.root_pem()).await?;

        let entries = Entries {
            kubernetes: options.kubernetes.clone(),
            controller: format!("istiod{}-lab", options.revision_suffix()),
        };
        let authenticator = Authenticator {
            kubernetes: options.kubernetes.clone(),
            cluster_id: options.cluster_id.clone(),
            trust_domain: options.trust_domain.clone(),
        };
        let (connections, ends) = Connections::new();
        let (grace, client) = (options.grace, options.kubernetes.clone());
        tasks.spawn(keep_roots(client, world.clone(), Arc::clone(&ca)));
        tasks.spawn(look_after(
            Arc::clone(&connections),
            ends,
            entries.clone(),
            world.clone(),
            grace,
        ));
        let certificates = Certificates {
            authenticator: authenticator.clone(),
            ca: Arc::clone(&ca),
            default_ttl: options.default_ttl,
        };
        let configurations = Configurations {
            authenticator,
            entries,
            connections,
            world,
        };
        let signed = ca.server(&options.names(), OffsetDateTime::now_utc())?;
        let tls = ServerTlsConfig::new()
            .identity(ServerIdentity::from_pem(signed.certificate, signed.key))
            .client_ca_root(Certificate::from_pem(ca.root_pem()))
            .client_auth_optional(true);
        let server = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .tls_config(tls)?
            .add_service(IstioCertificateServiceServer::new(certificates))
            .add_service(DiscoveryServer::new(configurations))
            .serve_with_incoming(TcpIncoming::from(listener));
        tasks.spawn(async move {
            if let Err(error) = server.await {
                eprintln!("istiod: {error}");
            }
        });
        Ok(Self { address, ca, tasks })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the root certificate in PEM.
    pub fn root_pem(&self) -> &str {
        self.ca.root_pem()
    }

    /// Ends it, and waits until nothing of it runs.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Puts the root certificate into every namespace, also into new ones; for ever.
async fn keep_roots(client: Client, world: World, ca: Arc<Ca>) {
    let mut changes = world.changes();
    while changes.changed().await.is_ok() {
        // The namespace may be going, or the cluster away: the next change is the next chance, and
        // without one there is another after a while.
        while let Err(error) = publish_roots(&client, &world, ca.root_pem()).await {
            eprintln!("istiod: {}", meshvm_lab_agent::log::chain(&error));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn publish_roots(client: &Client, world: &World, root: &str) -> Result<(), IstiodError> {
    for namespace in world.namespaces_without(root) {
        match install::root_cert(client, &namespace, root).await {
            // It is gone, or going.
            Err(IstiodError::Cluster(kube::Error::Api(status)))
                if status.is_not_found() || status.is_forbidden() => {}
            published => published?,
        }
    }
    Ok(())
}
