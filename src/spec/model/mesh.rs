//! Where membership is written, and how machines prove who they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::scalars::{Duration, KubeName};

/// Where membership is written. Exactly one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Mesh {
    /// A folder of Kubernetes manifests, one object a file, for a GitOps repository.
    Manifests(Manifests),
    /// A cluster with Istio: its API server is read and written.
    Kubernetes(Box<KubernetesMesh>),
}

/// The settings of the mesh backend `manifests`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifests {
    /// The folder; a relative path starts at the folder of the first fleet file.
    pub path: String,
}

/// The settings of the mesh backend `kubernetes`. What is absent is read from the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesMesh {
    /// The kubeconfig; KUBECONFIG, ~/.kube/config or the pod's own service account when absent. A
    /// relative path starts at the folder of the first fleet file.
    #[serde(default)]
    pub kubeconfig: Option<String>,
    /// The context of the kubeconfig; its current one when absent.
    #[serde(default)]
    pub context: Option<String>,
    /// The namespace of Istio's control plane; istio-system when absent.
    #[serde(default)]
    pub istio_namespace: Option<KubeName>,
    /// The control plane's revision; the cluster's default when absent.
    #[serde(default)]
    pub revision: Option<KubeName>,
    /// The cluster's name in the mesh, as the control plane knows it.
    #[serde(default)]
    pub cluster_id: Option<String>,
    /// The trust domain of identities.
    #[serde(default)]
    pub trust_domain: Option<String>,
    /// The network of the machines; a membership may say another. Without one the mesh takes them to
    /// be in the cluster's.
    #[serde(default)]
    pub network: Option<String>,
    /// Create the namespaces of memberships that do not exist. Nothing deletes them again: they may
    /// have got other inhabitants.
    #[serde(default)]
    pub create_namespaces: bool,
    /// How machines reach the control plane.
    #[serde(default)]
    pub east_west: EastWest,
}

/// How machines reach the control plane: through the east-west gateway, unless `address` says where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EastWest {
    /// The gateway's Service, as NAME or NAME.NAMESPACE; istio-eastwestgateway when absent.
    #[serde(default)]
    pub service: Option<String>,
    /// An address or a host name in place of the gateway's.
    #[serde(default)]
    pub address: Option<String>,
    /// The machines resolve the control plane's name by themselves, by a private DNS zone: no line
    /// goes into their /etc/hosts.
    #[serde(default)]
    pub private_dns: bool,
}

/// How machines prove who they are to the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Identity {
    /// Machines get no credential from meshvm: the sidecar package brings its own, or needs none.
    None,
    /// A token of the fleet's service account, one for each machine, made when it is created.
    ServiceAccountToken(ServiceAccountToken),
}

/// A token for each machine, bound to a Secret of that machine: deleting it revokes the token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountToken {
    /// How long the token can be traded for a certificate, 10m to 24h; 15m when absent. The machine
    /// needs it once, at its first boot.
    #[serde(default)]
    pub ttl: Option<Duration>,
    /// Put the token into the user-data where the provider has no private way to hand it over.
    /// Whoever may read the machine's user-data can then use it until it expires.
    #[serde(default)]
    pub allow_token_in_user_data: bool,
}
