//! A cluster with what a control plane leaves in it, and a user who has the documented roles.

use std::fs;
use std::path::Path;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use meshvm::mesh::objects::HEALTH_CHECKED;
use meshvm::mesh::{Cluster as Named, Kubernetes, Logins};
use meshvm_lab::kube::{Cluster, ClusterOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The namespace of all memberships.
pub const NAMESPACE: &str = "vm";

/// A certificate's text; nobody reads it here.
pub const ROOT_CERT: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

/// A cluster with a mesh.
pub struct Ground {
    pub cluster: Cluster,
    pub admin: Client,
    folder: TempDir,
}

/// What reports health while it is held.
pub struct Sidecars(tokio::task::JoinHandle<()>);

impl Drop for Sidecars {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ground {
    pub async fn new() -> Self {
        Self::with(&["plan.yaml", "apply.yaml"]).await
    }

    /// Makes one whose user has these roles of the examples.
    pub async fn with(roles: &[&str]) -> Self {
        let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
        let ground = Self::bare(cluster).await;
        ground.control_plane().await;
        ground.user().await;
        ground.grant(roles).await;
        ground
    }

    /// Takes a cluster as it is.
    pub async fn bare(cluster: Cluster) -> Self {
        let admin = cluster.client().await.unwrap();
        Self {
            cluster,
            admin,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Makes what istiod and its installation leave.
    async fn control_plane(&self) {
        for name in ["istio-system", NAMESPACE, "ops"] {
            let mut metadata = json!({ "name": name });
            if name == "istio-system" {
                metadata["labels"] = json!({"topology.istio.io/network": "cluster"});
            }
            self.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
                .await;
        }
        let map = |namespace: &str, name: &str, key: &str, text: &str| {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": namespace}, "data": {key: text},
            })
        };
        let mesh = "trustDomain: cluster.local\ndefaultConfig:\n  discoveryAddress: istiod.istio-system.svc:15012\n";
        let values =
            r#"{"global": {"multiCluster": {"clusterName": "Kubernetes"}, "network": "cluster"}}"#;
        self.create(map("istio-system", "istio", "mesh", mesh))
            .await;
        self.create(map(
            "istio-system",
            "istio-sidecar-injector",
            "values",
            values,
        ))
        .await;
        for (name, tag) in [
            ("istio-sidecar-injector", None),
            ("istio-revision-tag-default", Some("default")),
        ] {
            let mut labels = json!({"app": "sidecar-injector", "istio.io/rev": "default"});
            if let Some(tag) = tag {
                labels["istio.io/tag"] = json!(tag);
            }
            self.create(json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": name, "labels": labels},
            }))
            .await;
        }
        self.create(map(
            NAMESPACE,
            "istio-ca-root-cert",
            "root-cert.pem",
            ROOT_CERT,
        ))
        .await;
        self.create(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "istio-eastwestgateway", "namespace": "istio-system",
                "labels": {"topology.istio.io/network": "cluster"},
            },
            "spec": {"ports": [
                {"name": "tls", "port": 15443}, {"name": "tls-istiod", "port": 15012},
            ]},
        }))
        .await;
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.1.2.3"}]}}});
        self.api("v1", "Service", Some("istio-system"))
            .patch_status(
                "istio-eastwestgateway",
                &PatchParams::default(),
                &Patch::Merge(&status),
            )
            .await
            .unwrap();
    }

    /// Stands in for sidecars: reports their health on every entry that waits for it, until dropped.
    pub fn sidecars(&self) -> Sidecars {
        let api = self.api("networking.istio.io/v1", "WorkloadEntry", Some(NAMESPACE));
        Sidecars(tokio::spawn(async move {
            loop {
                for entry in api.list(&ListParams::default()).await.unwrap().items {
                    let waits = entry.annotations().contains_key(HEALTH_CHECKED);
                    if waits && entry.data.get("status").is_none() {
                        let healthy = json!([{"type": "Healthy", "status": "True"}]);
                        let status = json!({"status": {"conditions": healthy}});
                        let (how, name) = (PatchParams::default(), entry.name_any());
                        // It may be on its way out.
                        api.patch_status(&name, &how, &Patch::Merge(&status))
                            .await
                            .ok();
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }))
    }

    /// Waits until every entry that waits for its health has got it.
    pub async fn reported(&self) {
        let api = self.api("networking.istio.io/v1", "WorkloadEntry", Some(NAMESPACE));
        for _ in 0..200 {
            let entries = api.list(&ListParams::default()).await.unwrap().items;
            let mut checked = entries
                .iter()
                .filter(|entry| entry.annotations().contains_key(HEALTH_CHECKED));
            if checked.all(|entry| entry.data.get("status").is_some()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nobody reports the health of some entry");
    }

    /// Makes a service account without any role.
    async fn user(&self) {
        self.create(json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "meshvm", "namespace": "ops"},
        }))
        .await;
    }

    /// Binds roles of the examples to that account.
    pub async fn grant(&self, files: &[&str]) {
        let subjects = json!([{"kind": "ServiceAccount", "name": "meshvm", "namespace": "ops"}]);
        for file in files {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("examples/rbac")
                .join(file);
            let text = fs::read_to_string(path).unwrap();
            for role in text.split("\n---\n") {
                let role: Value = serde_saphyr::from_str(role).unwrap();
                let (kind, name) = (role["kind"].clone(), role["metadata"]["name"].clone());
                let mut metadata = json!({"name": format!("{}-user", name.as_str().unwrap())});
                let binding = match role["metadata"]["namespace"].as_str() {
                    Some(namespace) => {
                        metadata["namespace"] = json!(namespace);
                        "RoleBinding"
                    }
                    None => "ClusterRoleBinding",
                };
                self.create(role).await;
                self.create(json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": binding,
                    "metadata": metadata, "subjects": subjects,
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
                }))
                .await;
            }
        }
    }

    /// Writes the user's kubeconfig and returns where.
    pub fn kubeconfig(&self) -> String {
        let text = self
            .cluster
            .service_account_kubeconfig("ops", "meshvm")
            .unwrap();
        let path = self.folder.path().join("kubeconfig");
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Returns the backend, as the user.
    pub fn mesh(&self, force_conflicts: bool) -> Kubernetes {
        self.mesh_with(force_conflicts, false)
    }

    /// Returns the backend, as the user; it may make namespaces.
    pub fn mesh_with(&self, force_conflicts: bool, create_namespaces: bool) -> Kubernetes {
        let cluster = Named {
            kubeconfig: Some(self.kubeconfig().into()),
            context: Some("lab".to_owned()),
            create_namespaces,
        };
        let logins = Logins {
            force_conflicts,
            ..Logins::default()
        };
        Kubernetes::new(cluster, logins)
    }

    pub fn api(&self, version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        let plural = match kind {
            "WorkloadEntry" => "workloadentries".to_owned(),
            "ServiceEntry" => "serviceentries".to_owned(),
            other => format!("{}s", other.to_lowercase()),
        };
        let named = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&named, &plural);
        match namespace {
            Some(namespace) => Api::namespaced_with(self.admin.clone(), namespace, &resource),
            None => Api::all_with(self.admin.clone(), &resource),
        }
    }

    /// Returns Istio's objects of a kind in the namespace of memberships.
    pub fn istio(&self, kind: &str) -> Api<DynamicObject> {
        self.api("networking.istio.io/v1", kind, Some(NAMESPACE))
    }

    pub async fn create(&self, object: Value) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let (version, kind) = (text("/apiVersion").unwrap(), text("/kind").unwrap());
        let api = self.api(version, kind, text("/metadata/namespace"));
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }
}
