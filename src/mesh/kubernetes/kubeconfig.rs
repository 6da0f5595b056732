//! Reading kubeconfigs.
//!
//! `kube` takes a context whose user or cluster is missing for one without; kubectl refuses it, and
//! so is done here.

use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::login::KubeconfigFault;
use super::{Cluster, KubernetesError, Logins};

/// Returns the kubeconfigs to read; `None` when there is none.
pub(super) fn files(cluster: &Cluster, logins: &Logins) -> Option<Vec<PathBuf>> {
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

/// Reads kubeconfigs, and returns what their context, or their current one, says.
pub(super) async fn read(
    files: &[PathBuf],
    context: Option<&str>,
) -> Result<Config, KubernetesError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: KubeconfigError| KubernetesError::Kubeconfig {
            path,
            source: KubeconfigFault::of(error),
        }
    };
    let first = files.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
    let mut merged = Kubeconfig::default();
    for file in files {
        let read = Kubeconfig::read_from(file).map_err(failed(file))?;
        merged = merged.merge(read).map_err(failed(file))?;
    }
    check(&merged, context)?;
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(merged, &options)
        .await
        .map_err(failed(first))
}

/// Checks that there is everything that a context names.
fn check(config: &Kubeconfig, context: Option<&str>) -> Result<(), KubernetesError> {
    let contexts = || known(config.contexts.iter().map(|named| named.name.as_str()));
    let current = config.current_context.as_deref();
    let Some(name) = context.or(current.filter(|name| !name.is_empty())) else {
        return Err(KubernetesError::NoCurrentContext { known: contexts() });
    };
    let found = config.contexts.iter().find(|named| named.name == name);
    let Some(found) = found.and_then(|named| named.context.as_ref()) else {
        return Err(KubernetesError::NoContext {
            context: name.to_owned(),
            known: contexts(),
        });
    };
    let missing = |what, missing: &str, known| KubernetesError::NoEntry {
        what,
        name: missing.to_owned(),
        context: name.to_owned(),
        known,
    };
    let clusters = || config.clusters.iter().map(|named| named.name.as_str());
    if !clusters().any(|name| name == found.cluster) {
        return Err(missing("cluster", &found.cluster, known(clusters())));
    }
    let users = || config.auth_infos.iter().map(|named| named.name.as_str());
    match found.user.as_deref() {
        // Without a user it is anonymous, and meant to be.
        None | Some("") => Ok(()),
        Some(user) if users().any(|name| name == user) => Ok(()),
        Some(user) => Err(missing("user", user, known(users()))),
    }
}

/// Returns names, for people.
fn known<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}
