//! `meshvm-lab up`: a cluster with a mesh, which serve until a signal comes.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::istiod::IstiodError;
use crate::istiod::args::{self, IstiodArgs};
use crate::kube::{Cluster, ClusterError, ClusterOptions, Crds};

/// What to serve.
#[derive(Debug)]
pub struct Up {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to write the kubeconfig.
    pub kubeconfig: PathBuf,
    /// The CRDs; those that are found when there are none.
    pub crds: Option<PathBuf>,
    /// The mesh; none when there is none.
    pub istiod: Option<IstiodArgs>,
}

/// Why it does not serve.
#[derive(Debug, Error)]
pub enum UpError {
    /// The cluster does not start.
    #[error("cannot start the cluster")]
    Cluster(#[from] ClusterError),
    /// The cluster cannot be asked.
    #[error("cannot reach the cluster")]
    Client(#[source] ClusterError),
    /// The mesh does not start.
    #[error("cannot start istiod")]
    Istiod(#[from] IstiodError),
    /// The kubeconfig cannot be written.
    #[error("cannot write the kubeconfig {path}", path = path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Signals cannot be waited for.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// When the cluster or the mesh does not start, or the cluster's kubeconfig cannot be written.
pub async fn up(up: Up) -> Result<(), UpError> {
    // Before anything is served, so that no signal is lost.
    let mut end = signal(SignalKind::terminate()).map_err(UpError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(UpError::Signals)?;
    let cluster = Cluster::start(ClusterOptions {
        listen: up.listen,
        crds: up.crds.map_or(Crds::Found, Crds::File),
    })
    .await?;
    let istiod = match up.istiod {
        Some(istiod) => {
            let client = cluster.client().await.map_err(UpError::Client)?;
            Some(args::run(istiod, client).await?)
        }
        None => None,
    };
    // Last, so that whoever waits for the file finds the mesh.
    write(&up.kubeconfig, &cluster.kubeconfig()).map_err(|source| UpError::Kubeconfig {
        path: up.kubeconfig.clone(),
        source,
    })?;
    println!("serving on {}", cluster.url());
    println!("export KUBECONFIG={}", up.kubeconfig.display());
    if let Some(istiod) = &istiod {
        println!("istiod on {}", istiod.address());
    }
    tokio::select! {
        _ = end.recv() => {}
        _ = interrupt.recv() => {}
    }
    if let Some(istiod) = istiod {
        istiod.stop().await;
    }
    cluster.stop().await;
    Ok(())
}

/// Writes a file that only its owner reads, all at once.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // A temporary file is its owner's alone from the first.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
