//! The files that Envoy reads, and replacing them.
//!
//! Envoy takes a file anew when another is moved over it, so it never sees half of one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use thiserror::Error;

use super::{clusters, listeners};
use crate::credentials::{Material, WriteError, write_private};
use crate::wire::Config;

/// Where the files are.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
}

/// Why Envoy cannot be told something.
#[derive(Debug, Error)]
pub enum FilesError {
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The folder cannot be used.
    #[error("cannot use the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Files {
    /// Uses a folder, which is made when it is not there.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub fn new(folder: &Path) -> Result<Self, FilesError> {
        let failed = |source| FilesError::Folder {
            path: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder.join("eds")).map_err(failed)?;
        // Envoy runs elsewhere perhaps; it is given whole paths.
        let folder = std::fs::canonicalize(folder).map_err(failed)?;
        Ok(Self { folder })
    }

    /// Returns the file that Envoy starts from.
    pub fn bootstrap(&self) -> PathBuf {
        self.folder.join("envoy-rev.json")
    }

    /// Returns the file of the listeners.
    pub fn listeners(&self) -> PathBuf {
        self.folder.join("lds.json")
    }

    /// Returns the file of the clusters.
    pub fn clusters(&self) -> PathBuf {
        self.folder.join("cds.json")
    }

    /// Returns the file of a cluster's endpoints.
    pub fn endpoints(&self, cluster: &str) -> PathBuf {
        let safe = |c: char| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '_'
            }
        };
        let name: String = cluster.chars().map(safe).collect();
        self.folder.join("eds").join(format!("{name}.json"))
    }

    /// Returns the file of the workload's own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("sds-default.json")
    }

    /// Returns the file of the root certificate.
    pub fn root(&self) -> PathBuf {
        self.folder.join("sds-rootca.json")
    }

    /// Tells the certificate and the root.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write_secrets(&self, material: &Material) -> Result<(), FilesError> {
        let inline = |text: &str| json!({ "inline_string": text });
        let root = json!({
            "@type": SECRET,
            "name": "ROOTCA",
            "validation_context": { "trusted_ca": inline(&material.root) },
        });
        let certificate = json!({
            "@type": SECRET,
            "name": "default",
            "tls_certificate": {
                "certificate_chain": inline(&material.chain),
                "private_key": inline(&material.key),
            },
        });
        write(&self.root(), "1", &[root])?;
        write(&self.certificate(), "1", &[certificate])
    }

    /// Tells the bootstrap.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_bootstrap(&self, bootstrap: &Value) -> Result<(), FilesError> {
        Ok(write_private(
            &self.bootstrap(),
            bootstrap.to_string().as_bytes(),
        )?)
    }

    /// Tells that there is nothing to listen for yet.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write_nothing(&self) -> Result<(), FilesError> {
        write(&self.clusters(), "0", &[])?;
        write(&self.listeners(), "0", &[])
    }

    /// Tells listeners, clusters and endpoints, each before what needs it.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write_config(&self, config: &Config, trust_domain: &str) -> Result<(), FilesError> {
        let version = config.version.as_str();
        let mut kept = BTreeSet::new();
        for (cluster, assignment) in clusters::assignments(config) {
            let path = self.endpoints(&cluster);
            write(&path, version, &[assignment])?;
            kept.insert(path);
        }
        write(&self.clusters(), version, &clusters::clusters(config, self))?;
        let listeners = listeners::listeners(config, self, trust_domain);
        write(&self.listeners(), version, &listeners)?;
        self.sweep(&kept)
    }

    /// Removes the endpoints of clusters that are no more.
    fn sweep(&self, kept: &BTreeSet<PathBuf>) -> Result<(), FilesError> {
        let folder = self.folder.join("eds");
        let failed = |source| FilesError::Folder {
            path: folder.clone(),
            source,
        };
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if !kept.contains(&path) {
                std::fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(())
    }
}

const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// Writes a discovery response, unless the file already says the same: Envoy would take it anew.
fn write(path: &Path, version: &str, resources: &[Value]) -> Result<(), FilesError> {
    let text = json!({ "version_info": version, "resources": resources }).to_string();
    let is_same = std::fs::read(path).is_ok_and(|old| same_resources(&old, &text));
    if is_same {
        return Ok(());
    }
    Ok(write_private(path, text.as_bytes())?)
}

fn same_resources(old: &[u8], new: &str) -> bool {
    let resources = |value: Value| value.get("resources").cloned();
    let old = serde_json::from_slice(old).ok().and_then(resources);
    let new = serde_json::from_str(new).ok().and_then(resources);
    old.is_some() && old == new
}
