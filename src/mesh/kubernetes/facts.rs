//! Reading a mesh from its cluster: what istioctl reads, from where it reads it.
//!
//! Everything that was read can be said otherwise in the fleet file; where both say something, the
//! file wins, and what differs is told.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Map, Value};

use super::gateways::GatewayService;
use super::{Kubernetes, KubernetesError, attempt, together};
use crate::istio::{Facts, Revision};
use crate::spec::model::KubernetesMesh;

/// The mesh configuration, and the key of it.
const MESH: (&str, &str) = ("istio", "mesh");
/// The key of the mesh's networks beside it
/// (<https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshNetworks>).
const NETWORKS: &str = "meshNetworks";
/// The injector's configuration, and the key of its values.
const INJECTOR: (&str, &str) = ("istio-sidecar-injector", "values");
/// Where each namespace has the control plane's certificate, and its key.
const ROOT_CERT: (&str, &str) = ("istio-ca-root-cert", "root-cert.pem");
/// What istiod and its injector take for the cluster's name, and istiod for the trust domain, where
/// the installation says none (`templates/deployment.yaml` and `files/injection-template.yaml` of
/// Istio's chart `istiod`;
/// <https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshConfig>).
const CLUSTER_ID: &str = "Kubernetes";
const TRUST_DOMAIN: &str = "cluster.local";

/// What was read of a mesh.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeshRead {
    /// What is true of it.
    pub facts: Facts,
    /// The network that the cluster is in.
    pub network: Option<String>,
    /// The version of the control plane: the tag of the images that it injects.
    pub version: Option<String>,
    /// The Service by which machines reach the control plane, where it is one.
    pub east_west: Option<GatewayService>,
    /// The networks that the mesh's own settings give a gateway.
    pub with_gateways: BTreeSet<String>,
    /// Namespaces of members that do not exist, and that nobody makes.
    pub absent: BTreeSet<String>,
    /// What the file says otherwise than the cluster.
    pub overridden: Vec<Overridden>,
}

/// Something that the file says otherwise than the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overridden {
    /// The field below `mesh.kubernetes`.
    pub field: &'static str,
    /// What the file says.
    pub file: String,
    /// What the cluster says.
    pub cluster: String,
}

impl Kubernetes {
    /// Reads a mesh, and the certificates that it has for some namespaces.
    ///
    /// # Errors
    /// When the cluster does not answer, or has no control plane of that revision. What is merely
    /// missing is missing in the answer, too.
    pub async fn read_mesh(
        &self,
        mesh: &KubernetesMesh,
        namespaces: &BTreeSet<&str>,
    ) -> Result<MeshRead, KubernetesError> {
        let mut revision = Revision::default();
        if let Some(namespace) = &mesh.istio_namespace {
            revision.namespace = namespace.to_string();
        }
        revision.name = match &mesh.revision {
            Some(name) => Some(name.to_string()),
            None => self.default_revision().await?,
        };
        let istio = revision.namespace.as_str();
        let (config, values) = futures::try_join!(
            self.config_map(istio, revision.object(MESH.0)),
            self.config_map(istio, revision.object(INJECTOR.0)),
        )?;
        let mut config = config.unwrap_or_default();
        let mesh_networks = config.remove(NETWORKS);
        let config = config.remove(MESH.1);
        let Some(config) = config else {
            return Err(KubernetesError::NoControlPlane {
                config_map: revision.object(MESH.0),
                namespace: istio.to_owned(),
                revision: revision.named().map(str::to_owned),
            });
        };
        let config = parsed(&config, &revision.object(MESH.0))?;
        let values = match values.and_then(|mut data| data.remove(INJECTOR.1)) {
            Some(text) => Some(parsed(&text, &revision.object(INJECTOR.0))?),
            None => None,
        };
        let global = values.as_ref().and_then(|values| values.get("global"));
        let global = global.unwrap_or(&Value::Null);
        let text = |value: &Value| {
            value
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        // Without the values nobody says whether the name is another than the usual one.
        let cluster_name = text(&global["multiCluster"]["clusterName"])
            .or_else(|| values.as_ref().map(|_| CLUSTER_ID.to_owned()));
        let domain = config.get("trustDomain").and_then(text);
        let in_effect = domain.as_deref().unwrap_or(TRUST_DOMAIN).to_owned();
        let mut overridden = Vec::new();
        overridden.extend(differs(
            "clusterId",
            mesh.cluster_id.as_ref(),
            cluster_name.as_ref(),
        ));
        overridden.extend(differs(
            "trustDomain",
            mesh.trust_domain.as_ref(),
            Some(&in_effect),
        ));
        let cluster_id = mesh.cluster_id.clone().or(cluster_name);
        // As istioctl, which leaves the default to the sidecar.
        let trust_domain = mesh.trust_domain.clone().or(domain);
        let mesh_networks = match mesh_networks {
            Some(text) => parsed(&text, &revision.object(MESH.0))?,
            None => Map::new(),
        };
        let default_config = match config.get("defaultConfig") {
            Some(Value::Object(map)) => map.clone(),
            _ => Map::new(),
        };
        let ((root_certs, absent), (gateway, east_west)) = futures::try_join!(
            self.all_root_certs(mesh, istio, namespaces),
            self.gateway(&mesh.east_west, istio)
        )?;
        Ok(MeshRead {
            facts: Facts {
                cluster_id: cluster_id.unwrap_or_default(),
                trust_domain: trust_domain.unwrap_or_default(),
                default_config,
                root_certs,
                gateway,
                revision: revision.clone(),
            },
            network: text(&global["network"]),
            version: text(&global["tag"]),
            east_west,
            with_gateways: with_gateways(&mesh_networks),
            absent,
            overridden,
        })
    }

    /// Returns the revision that the tag `default` stands for; `None` when there is none, or when
    /// this user may not look.
    async fn default_revision(&self) -> Result<Option<String>, KubernetesError> {
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.client().await?.clone());
        let action = "read the default revision";
        let page = ListParams::default()
            .labels("istio.io/tag=default")
            .limit(1);
        let found = match attempt(action, || api.list(&page)).await {
            Ok(found) => found,
            Err(error) if matches!(error.code(), Some(403 | 404)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let webhook = found.items.into_iter().next();
        let mut labels = webhook
            .and_then(|webhook| webhook.metadata.labels)
            .unwrap_or_default();
        Ok(labels.remove("istio.io/rev"))
    }

    async fn config_map(
        &self,
        namespace: &str,
        name: String,
    ) -> Result<Option<BTreeMap<String, String>>, KubernetesError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client().await?.clone(), namespace);
        let action = format!("read ConfigMap {namespace}/{name}");
        let found = attempt(&action, || api.get_opt(&name)).await?;
        Ok(found.map(|map| map.data.unwrap_or_default()))
    }

    /// Returns the control plane's certificate in each namespace, and those that do not exist. In one
    /// of these nobody can be given the right to look; if it is still to be made, it gets the one
    /// that all have.
    async fn all_root_certs(
        &self,
        mesh: &KubernetesMesh,
        istio: &str,
        namespaces: &BTreeSet<&str>,
    ) -> Result<(BTreeMap<String, String>, BTreeSet<String>), KubernetesError> {
        let mut calls = Vec::new();
        for &namespace in namespaces {
            calls.push(self.root_cert_of(namespace).boxed());
        }
        let found = together(calls).await?;
        let (mut root_certs, mut absent) = (BTreeMap::new(), BTreeSet::new());
        for (&namespace, found) in namespaces.iter().zip(found) {
            match found {
                Some(Some(cert)) => drop(root_certs.insert(namespace.to_owned(), cert)),
                Some(None) => {}
                None => drop(absent.insert(namespace.to_owned())),
            }
        }
        let lacks = |namespace: &&str| !root_certs.contains_key(*namespace);
        if !mesh.create_namespaces {
            return Ok((root_certs, absent));
        }
        if namespaces.iter().any(lacks)
            && let Some(cert) = self.root_cert(istio).await?
        {
            for &namespace in namespaces {
                root_certs
                    .entry(namespace.to_owned())
                    .or_insert_with(|| cert.clone());
            }
        }
        Ok((root_certs, BTreeSet::new()))
    }

    /// Returns the certificate in a namespace, where there is one; `None` when there is no namespace.
    async fn root_cert_of(
        &self,
        namespace: &str,
    ) -> Result<Option<Option<String>>, KubernetesError> {
        let is_ending = match self.namespace(namespace).await {
            Ok(None) => return Ok(None),
            Ok(Some(found)) => found.metadata.deletion_timestamp.is_some(),
            // Who may not look takes it to be there.
            Err(error) if error.code() == Some(403) => false,
            Err(error) => return Err(error),
        };
        match self.root_cert(namespace).await {
            // The roles of a namespace go before it does, and it is told that it goes.
            Err(error) if is_ending && error.code() == Some(403) => Ok(Some(None)),
            other => other.map(Some),
        }
    }

    async fn root_cert(&self, namespace: &str) -> Result<Option<String>, KubernetesError> {
        let data = self.config_map(namespace, ROOT_CERT.0.to_owned()).await?;
        Ok(data.and_then(|mut data| data.remove(ROOT_CERT.1)))
    }
}

/// Returns what the file says of a field, where the cluster says something else.
fn differs(
    field: &'static str,
    file: Option<&String>,
    cluster: Option<&String>,
) -> Option<Overridden> {
    let (file, cluster) = (file?, cluster?);
    (file != cluster).then(|| Overridden {
        field,
        file: file.clone(),
        cluster: cluster.clone(),
    })
}

/// Returns the networks with a gateway, of `MeshNetworks`.
fn with_gateways(mesh_networks: &Map<String, Value>) -> BTreeSet<String> {
    let networks = mesh_networks.get("networks").and_then(Value::as_object);
    let networks = networks.into_iter().flatten();
    let has_gateway = |network: &Value| {
        let gateways = network["gateways"].as_array();
        gateways.is_some_and(|gateways| !gateways.is_empty())
    };
    let named = networks.filter(|(_, network)| has_gateway(network));
    named.map(|(name, _)| name.clone()).collect()
}

/// Reads the YAML, or JSON, of a ConfigMap.
fn parsed(text: &str, name: &str) -> Result<Map<String, Value>, KubernetesError> {
    let unreadable = |reason: String| KubernetesError::Unreadable {
        config_map: name.to_owned(),
        reason,
    };
    match serde_saphyr::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(unreadable("it is no map".to_owned())),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_map_that_is_no_map_is_named() {
        let error = parsed("[1]", "istio").unwrap_err().to_string();
        assert_eq!(error, "the ConfigMap istio cannot be read: it is no map");
        assert_eq!(parsed("", "istio").unwrap(), Map::new());
    }
}
