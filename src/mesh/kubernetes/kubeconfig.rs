//! Reading kubeconfigs.
//!
//! `kube` takes a context whose user or cluster is missing for one without; kubectl refuses it, and
//! so is done here. Nor does it read NO_PROXY as kubectl does: see [`proxy`].

use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{AuthInfo, Cluster as Server, ExecAuthCluster, Kubeconfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::login::KubeconfigFault;
use super::proxy::{self, Proxies};
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
pub(super) fn read(
    files: &[PathBuf],
    context: Option<&str>,
    proxies: &Proxies,
) -> Result<Config, KubernetesError> {
    let failed = |path: &Path, source: KubeconfigFault| KubernetesError::Kubeconfig {
        path: path.to_owned(),
        source,
    };
    let first = files.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
    let mut merged = Kubeconfig::default();
    for file in files {
        let read = Kubeconfig::read_from(file).and_then(|read| merged.merge(read));
        merged = read.map_err(|error| failed(file, KubeconfigFault::of(error)))?;
    }
    let (server, user) = named(&merged, context)?;
    config(server, user, proxies).map_err(|fault| failed(first, fault))
}

/// Returns how a user reaches a server.
fn config(
    server: &Server,
    mut user: AuthInfo,
    proxies: &Proxies,
) -> Result<Config, KubeconfigFault> {
    let url = server.server.as_deref();
    let url = url.and_then(|url| url.parse().ok());
    let mut config = Config::new(url.ok_or(KubeconfigFault::BadServer)?);
    config.proxy_url = match server.proxy_url.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => Some(proxy::parsed(url)?),
        None => proxies.leading_to(&config.cluster_url)?,
    };
    // It has the certificates of whichever field holds them.
    let told = ExecAuthCluster::try_from(server).map_err(KubeconfigFault::of)?;
    config.root_cert = match &told.certificate_authority_data {
        Some(pem) => Some(certificates(pem)?),
        None => None,
    };
    config.accept_invalid_certs = server.insecure_skip_tls_verify.unwrap_or(false);
    config.disable_compression = server.disable_compression.unwrap_or(false);
    config.tls_server_name.clone_from(&server.tls_server_name);
    if let Some(exec) = &mut user.exec
        && exec.provide_cluster_info
    {
        exec.cluster = Some(told);
    }
    config.auth_info = user;
    Ok(config)
}

/// Reads certificates in PEM.
fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, KubeconfigFault> {
    let read = CertificateDer::pem_slice_iter(pem).map(|one| one.map(|der| der.to_vec()));
    let read: Vec<Vec<u8>> = read.collect::<Result<_, _>>().unwrap_or_default();
    match read.is_empty() {
        true => Err(KubeconfigFault::Authority),
        false => Ok(read),
    }
}

/// Returns the cluster and the user that a context names.
fn named<'c>(
    config: &'c Kubeconfig,
    context: Option<&str>,
) -> Result<(&'c Server, AuthInfo), KubernetesError> {
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
    let mut servers = config.clusters.iter();
    let server = servers.find(|named| named.name == found.cluster);
    let Some(server) = server.and_then(|named| named.cluster.as_ref()) else {
        let all = config.clusters.iter().map(|named| named.name.as_str());
        return Err(missing("cluster", &found.cluster, known(all)));
    };
    let user = match found.user.as_deref() {
        // Without a user it is anonymous, and meant to be.
        None | Some("") => return Ok((server, AuthInfo::default())),
        Some(user) => user,
    };
    match config.auth_infos.iter().find(|named| named.name == user) {
        Some(named) => Ok((server, named.auth_info.clone().unwrap_or_default())),
        None => {
            let all = config.auth_infos.iter().map(|named| named.name.as_str());
            Err(missing("user", user, known(all)))
        }
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
