//! The lab's discovery: configurations as they change, and health as it is reported.
//!
//! A stand-in for Envoy's aggregated discovery (ADS). What it checks before it answers is what
//! istiod checks: that a node is who it says it is (`PILOT_ENABLE_XDS_IDENTITY_CHECK`), and that
//! its entry is its own.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use futures::stream::unfold;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use meshvm_lab_agent::wire::discovery::Discovery;
use meshvm_lab_agent::wire::{Config, HealthReport, Node, Reported};

use super::authenticate::Authenticator;
use super::connections::{Connection, Connections};
use super::entries::{Entries, Own, own};
use super::identity::Identity;
use super::registry::config;
use super::world::World;

/// How long changes are collected before they are told.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// The service.
pub struct Configurations {
    /// Tells who asks.
    pub authenticator: Authenticator,
    /// The entries of nodes.
    pub entries: Entries,
    /// Who is connected.
    pub connections: Arc<Connections>,
    /// What the cluster has.
    pub world: World,
}

/// What is told to one node.
struct Watching {
    node: Node,
    own: Option<Own>,
    trust_domain: String,
    world: World,
    changes: watch::Receiver<u64>,
    told: Option<String>,
    /// Ends the connection when the stream is dropped.
    _connection: Option<Connection>,
}

impl Configurations {
    fn identified(&self, identity: &Identity, node: &Node) -> Result<(), Status> {
        let Node {
            namespace,
            service_account,
            ..
        } = node;
        let is_account = service_account.is_empty() || *service_account == identity.service_account;
        if *namespace == identity.namespace && is_account {
            return Ok(());
        }
        let uri = identity.spiffe(&self.authenticator.trust_domain);
        Err(Status::permission_denied(format!(
            "no identities ([{uri}]) matched {namespace}/{service_account}"
        )))
    }
}

#[tonic::async_trait]
impl Discovery for Configurations {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<Config, Status>> + Send>>;

    async fn watch(&self, request: Request<Node>) -> Result<Response<Self::WatchStream>, Status> {
        let identity = self.authenticator.authenticate(&request).await?;
        let node = request.into_inner();
        self.identified(&identity, &node)?;
        let own = self.entries.admit(&node, &identity).await?;
        let mut changes = self.world.changes();
        changes.mark_changed();
        let watching = Watching {
            _connection: own.clone().map(|own| self.connections.connect(own)),
            own,
            trust_domain: self.authenticator.trust_domain.clone(),
            world: self.world.clone(),
            changes,
            told: None,
            node,
        };
        let configs = unfold(watching, |mut watching| async move {
            let config = watching.next().await?;
            Some((Ok(config), watching))
        });
        Ok(Response::new(Box::pin(configs)))
    }

    async fn report(&self, request: Request<HealthReport>) -> Result<Response<Reported>, Status> {
        let identity = self.authenticator.authenticate(&request).await?;
        let report = request.into_inner();
        let node = report.node.unwrap_or_default();
        self.identified(&identity, &node)?;
        if let Some(own) = own(&node) {
            let entries = &self.entries;
            entries
                .report(&own, &identity, report.healthy, &report.message)
                .await?;
        }
        Ok(Response::new(Reported {}))
    }
}

impl Watching {
    /// Waits for a configuration that the node does not have; `None` when there will be none.
    async fn next(&mut self) -> Option<Config> {
        loop {
            self.changes.changed().await.ok()?;
            if self.told.is_some() {
                tokio::time::sleep(DEBOUNCE).await;
            }
            self.changes.mark_unchanged();
            let config = self.config();
            if self.told.as_ref() != Some(&config.version) {
                self.told = Some(config.version.clone());
                return Some(config);
            }
        }
    }

    fn config(&self) -> Config {
        let mesh = self.world.mesh(&self.node.namespace);
        let by_address = || {
            let here = mesh.entries.iter().find(|entry| {
                entry.namespace == self.node.namespace
                    && self.node.addresses.contains(&entry.spec.address)
            });
            here.map(|entry| (entry.namespace.as_str(), entry.name.as_str()))
        };
        let named = self.own.as_ref();
        let own = named.map(|own| (own.namespace.as_str(), own.name.as_str()));
        config(&mesh, own.or_else(by_address), &self.trust_domain)
    }
}
