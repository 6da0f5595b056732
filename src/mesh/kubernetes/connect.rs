//! Logging in to a cluster.

use std::path::Path;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::buffer::BufferLayer;
use tower::limit::ConcurrencyLimitLayer;
use tower::retry::RetryLayer;

use super::calls::AT_ONCE;
use super::later::Later;
use super::login::{self, KubeconfigFault, LoginFault};
use super::{Cluster, KubernetesError, Logins, kubeconfig};

/// Where a pod finds the token of its service account
/// (<https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>).
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How long the API server may take to take a connection, and to answer.
const CONNECT: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(30);

/// How many requests may wait for the connection; more than are ever made at once.
const QUEUE: usize = 1024;

/// Makes a client. Sends nothing yet.
pub(super) async fn connect(cluster: &Cluster, logins: &Logins) -> Result<Client, KubernetesError> {
    let mut config = match kubeconfig::files(cluster, logins) {
        Some(files) => kubeconfig::read(&files, cluster.context.as_deref(), &logins.proxies)?,
        None if Path::new(POD_TOKEN).exists() => {
            let mut config =
                Config::incluster().map_err(|error| KubernetesError::InCluster(Box::new(error)))?;
            let proxy = logins.proxies.leading_to(&config.cluster_url);
            config.proxy_url = proxy.map_err(KubernetesError::Client)?;
            config
        }
        None => {
            return Err(KubernetesError::NoConfig {
                tried: logins.kubeconfigs.clone(),
            });
        }
    };
    let scheme = config.cluster_url.scheme_str();
    if !matches!(scheme, Some("http" | "https")) || config.cluster_url.host().is_none() {
        let url = config.cluster_url.to_string();
        return Err(KubernetesError::BadUrl {
            // Before the last `@` there may be a password.
            url: url.rsplit('@').next().unwrap_or_default().to_owned(),
        });
    }
    // Ours knows when to give up.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(ANSWER);
    login::check_token(&config.auth_info).map_err(|source| KubernetesError::Login {
        program: None,
        source,
    })?;
    let program = login::program(&config.auth_info);
    let builder = ClientBuilder::try_from(config).map_err(|error| match error {
        kube::Error::Auth(error) => KubernetesError::Login {
            program,
            source: LoginFault::of(&error),
        },
        other => KubernetesError::Client(KubeconfigFault::of_client(other)),
    })?;
    let client = builder
        // Of all that work at the same time together.
        .with_layer(&ConcurrencyLimitLayer::new(AT_ONCE))
        .with_layer(&BufferLayer::new(QUEUE))
        .with_layer(&RetryLayer::new(Later::new(logins.calls.clone())))
        .with_layer(&logins.calls)
        .build();
    Ok(client)
}
