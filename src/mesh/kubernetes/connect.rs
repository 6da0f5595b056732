//! Logging in to a cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::client::retry::RetryPolicy;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tower::buffer::BufferLayer;
use tower::retry::RetryLayer;

use super::error::KubernetesError;
use super::{Cluster, Logins};

/// Where a pod finds the token of its service account
/// (<https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>).
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How long the API server may take to take a connection, and to answer.
const CONNECT: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(30);

/// The pauses of a request that the API server wants later, and how often it is sent again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const MOST_RETRIES: u32 = 8;

/// How many requests may wait for the connection; more than are ever made at once.
const QUEUE: usize = 1024;

/// Makes a client. Sends nothing yet.
pub(super) async fn connect(cluster: &Cluster, logins: &Logins) -> Result<Client, KubernetesError> {
    let mut config = match files(cluster, logins) {
        Some(files) => from_files(&files, cluster.context.as_deref()).await?,
        None if Path::new(POD_TOKEN).exists() => {
            Config::incluster().map_err(|error| KubernetesError::InCluster(Box::new(error)))?
        }
        None => {
            return Err(KubernetesError::NoConfig {
                tried: logins.kubeconfigs.clone(),
            });
        }
    };
    let scheme = config.cluster_url.scheme_str();
    if !matches!(scheme, Some("http" | "https")) || config.cluster_url.host().is_none() {
        return Err(KubernetesError::BadUrl {
            url: config.cluster_url.to_string(),
        });
    }
    // Ours knows the server's Retry-After.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(ANSWER);
    let failed = |error| KubernetesError::Client(Box::new(error));
    let builder = ClientBuilder::try_from(config).map_err(failed)?;
    // It sends again what was answered with 429, 503 and 504, when the server's Retry-After says.
    let policy = RetryPolicy::new(FIRST_PAUSE, LONGEST_PAUSE, MOST_RETRIES, true)
        .unwrap_or_else(|_| RetryPolicy::default());
    let client = builder
        .with_layer(&BufferLayer::new(QUEUE))
        .with_layer(&RetryLayer::new(policy))
        .build();
    Ok(client)
}

/// Returns the kubeconfigs to read; `None` when there is none.
fn files(cluster: &Cluster, logins: &Logins) -> Option<Vec<PathBuf>> {
    if let Some(file) = &cluster.kubeconfig {
        return Some(vec![file.clone()]);
    }
    // As kubectl: of several files, those that do not exist are left out.
    let found: Vec<PathBuf> = logins
        .kubeconfigs
        .iter()
        .filter(|f| f.exists())
        .cloned()
        .collect();
    (!found.is_empty()).then_some(found)
}

async fn from_files(files: &[PathBuf], context: Option<&str>) -> Result<Config, KubernetesError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: KubeconfigError| KubernetesError::Kubeconfig {
            path,
            source: Box::new(source),
        }
    };
    let first = files.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
    let mut merged = Kubeconfig::default();
    for file in files {
        let read = Kubeconfig::read_from(file).map_err(failed(file))?;
        merged = merged.merge(read).map_err(failed(file))?;
    }
    let known = |merged: &Kubeconfig, context: &str| {
        merged.contexts.iter().any(|named| named.name == context)
    };
    if let Some(context) = context
        && !known(&merged, context)
    {
        let names: Vec<&str> = merged
            .contexts
            .iter()
            .map(|named| named.name.as_str())
            .collect();
        let known = match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(", "),
        };
        return Err(KubernetesError::NoContext {
            context: context.to_owned(),
            known,
        });
    }
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(merged, &options)
        .await
        .map_err(failed(first))
}
