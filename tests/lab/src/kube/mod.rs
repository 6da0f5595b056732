//! A double of a Kubernetes API server, strict where a real one is.
//!
//! In memory, on the loopback interface, with TLS. It has the kinds that meshvm meets and
//! Istio's CRDs, real server-side apply, watches, RBAC, service account tokens, finalizers,
//! owners and namespaces that empty themselves. It runs no pods and knows no nodes, and so has
//! nothing for which a webhook would be called: their configurations are kept and read as any object.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use meshvm_lab::kube::{Cluster, ClusterOptions};
//!
//! let cluster = Cluster::start(ClusterOptions::default()).await?;
//! let client = cluster.client().await?;
//! println!("{}", client.apiserver_version().await?.git_version);
//! # Ok(())
//! # }
//! ```
//!
//! Inside, [`api`] decides and [`http`] talks: only the latter does I/O. What is refused is
//! refused in the words of a real server, since tools read them.

pub mod api;
pub mod auth;
pub mod crds;
pub mod faults;
pub mod fields;
pub mod http;
pub mod kinds;
pub mod lifecycle;
mod names;
pub mod reviews;
mod rules;
pub mod schema;
pub mod select;
pub mod start;
pub mod status;
pub mod store;
mod tls;
pub mod verbs;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use kube::config::{KubeConfigOptions, Kubeconfig};
use thiserror::Error;
use tokio::task::JoinHandle;

pub use self::crds::Crds;
pub use self::faults::{Count, Effect, Fault, Faults, Requests};
use self::http::{Shared, listen};
use self::kinds::BadKinds;

/// How a cluster is started.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Where it listens. Port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// The CRDs that it serves.
    pub crds: Crds,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            crds: Crds::default(),
        }
    }
}

/// Why a cluster does not start, or cannot be used.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// It cannot listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Its CRDs cannot be served.
    #[error(transparent)]
    Kinds(#[from] BadKinds),
    /// It cannot make its keys.
    #[error("cannot make keys and certificates")]
    Keys(#[from] rcgen::Error),
    /// It cannot use its certificate.
    #[error("cannot use the certificate")]
    Tls(#[from] rustls::Error),
    /// A client cannot be made for it.
    #[error("cannot make a client")]
    Client(#[from] kube::Error),
    /// Its kubeconfig makes no client.
    #[error("the kubeconfig makes no client")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// There is no such service account.
    #[error("there is no service account {name} in {namespace}")]
    NoAccount {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
    },
    /// A token cannot be signed.
    #[error("cannot sign a token")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// A running cluster. Dropping it ends it.
pub struct Cluster {
    shared: Arc<Shared>,
    ca_pem: String,
    tasks: Vec<JoinHandle<()>>,
}

impl Cluster {
    /// Starts a cluster.
    ///
    /// # Errors
    ///
    /// When it cannot listen, or its CRDs cannot be served.
    pub async fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        let refused = |source| ClusterError::Listen {
            address: options.listen,
            source,
        };
        let listener = std::net::TcpListener::bind(options.listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let identity = tls::identity(address.ip())?;
        let acceptor = identity.acceptor()?;
        // CRDs are large, and compiling them takes a moment.
        let (crds, ca_pem) = (options.crds, identity.ca_pem);
        let ca = ca_pem.clone();
        let api = tokio::task::spawn_blocking(move || start::api(&crds, ca))
            .await
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let token = uuid::Uuid::new_v4().simple().to_string();
        let shared = Arc::new(Shared::new(api, token, format!("https://{address}")));
        let tending = Arc::clone(&shared);
        let tasks = vec![
            tokio::spawn(listen(listener, acceptor, Arc::clone(&shared))),
            tokio::spawn(async move { tending.tend().await }),
        ];
        Ok(Self {
            shared,
            ca_pem,
            tasks,
        })
    }

    /// Returns its URL.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Returns the certificate of its CA.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Returns the token of the user who may do everything.
    pub fn admin_token(&self) -> &str {
        &self.shared.admin_token
    }

    /// Returns a kubeconfig of the user who may do everything; its context is `lab`.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_of("admin", self.admin_token())
    }

    /// Returns a kubeconfig of a service account; its context is `lab`. The token in it lasts an
    /// hour.
    ///
    /// # Errors
    ///
    /// When there is no such account.
    pub fn service_account_kubeconfig(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<String, ClusterError> {
        let now = self.shared.now();
        let claims = start::account_claims(&self.shared.api(), namespace, name, now);
        let claims = claims.ok_or_else(|| ClusterError::NoAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })?;
        let token = self.shared.api().signer.sign(&claims)?;
        Ok(self.kubeconfig_of(name, &token))
    }

    /// Returns a client of the user who may do everything.
    ///
    /// # Errors
    ///
    /// When the kubeconfig makes none.
    pub async fn client(&self) -> Result<kube::Client, ClusterError> {
        client_of(&self.kubeconfig()).await
    }

    /// Returns a client of a service account.
    ///
    /// # Errors
    ///
    /// When there is no such account.
    pub async fn service_account_client(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<kube::Client, ClusterError> {
        client_of(&self.service_account_kubeconfig(namespace, name)?).await
    }

    /// Returns what goes wrong on purpose, to be added to.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Returns how often was asked for what.
    pub fn requests(&self) -> &Requests {
        &self.shared.requests
    }

    /// Moves the cluster's clock on, so that tokens end.
    pub fn advance(&self, seconds: u32) {
        self.shared.advance(i64::from(seconds));
    }

    /// Forgets all that happened: who watches from before is told 410.
    pub fn forget_history(&self) {
        self.shared.with(|api| api.store.forget());
    }

    /// Ends it, and waits until nothing of it runs.
    pub async fn stop(mut self) {
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            // It was aborted, so there is nothing to hear of it.
            let _ = task.await;
        }
    }

    fn kubeconfig_of(&self, user: &str, token: &str) -> String {
        use base64::Engine as _;
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.ca_pem);
        let server = self.url();
        format!(
            "apiVersion: v1\n\
             kind: Config\n\
             current-context: lab\n\
             clusters:\n\
             - name: lab\n  cluster:\n    server: {server}\n    certificate-authority-data: {ca}\n\
             contexts:\n\
             - name: lab\n  context:\n    cluster: lab\n    user: {user}\n\
             users:\n\
             - name: {user}\n  user:\n    token: {token}\n"
        )
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn client_of(kubeconfig: &str) -> Result<kube::Client, ClusterError> {
    let config = Kubeconfig::from_yaml(kubeconfig)?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options).await?;
    Ok(kube::Client::try_from(config)?)
}
