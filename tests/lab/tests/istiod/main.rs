//! The double of istiod: whom it gives certificates, whom it talks to, and what it writes.

mod certificates;
mod entries;
mod installation;
mod refusals;
mod services;

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::{Client, ResourceExt as _};
use meshvm_lab::istiod::{Istiod, IstiodOptions};
use meshvm_lab::kube::{Cluster, ClusterOptions};
use meshvm_lab_agent::credentials::{Peer, authorized, connect};
use meshvm_lab_agent::node::node;
use meshvm_lab_agent::proxy_config::ProxyConfig;
use meshvm_lab_agent::settings::{Environment, Settings};
use meshvm_lab_agent::wire::discovery::DiscoveryClient;
use meshvm_lab_agent::wire::{Config, Node};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::{Status, Streaming};

/// A cluster with istiod, and a namespace `vm` with the service accounts `web` and `db`.
struct Lab {
    cluster: Cluster,
    client: Client,
    istiod: Istiod,
}

/// A machine: its settings and its files.
struct Machine {
    settings: Settings,
    folder: TempDir,
}

impl Lab {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut IstiodOptions)) -> Self {
        let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
        let client = cluster.client().await.unwrap();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        make(&namespaces, json!({ "metadata": { "name": "vm" } })).await;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "vm");
        for name in ["web", "db"] {
            make(&accounts, json!({ "metadata": { "name": name } })).await;
        }
        let mut options = IstiodOptions::new(client.clone());
        options.grace = Duration::from_millis(300);
        change(&mut options);
        let istiod = Istiod::start(options).await.unwrap();
        Self {
            cluster,
            client,
            istiod,
        }
    }

    async fn token(&self, account: &str, audience: &str, secret: Option<&Secret>) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), "vm");
        let asked = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![audience.to_owned()],
                expiration_seconds: Some(600),
                bound_object_ref: secret.map(|secret| BoundObjectReference {
                    kind: Some("Secret".to_owned()),
                    api_version: Some("v1".to_owned()),
                    name: Some(secret.name_any()),
                    uid: secret.uid(),
                }),
            },
            ..TokenRequest::default()
        };
        let params = PostParams::default();
        let made = accounts
            .create_token_request(account, &params, &asked)
            .await;
        made.unwrap().status.unwrap().token
    }

    /// Returns a machine of a service account, with a good token.
    async fn machine(&self, account: &str) -> Machine {
        let token = self.token(account, "istio-ca", None).await;
        self.machine_with(account, Some(&token))
    }

    fn machine_with(&self, account: &str, token: Option<&str>) -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let environment: Environment = [
            ("INSTANCE_IP", "10.0.0.7"),
            ("POD_NAME", "m1"),
            ("POD_NAMESPACE", "vm"),
            ("SERVICE_ACCOUNT", account),
            ("ISTIOD_SAN", "istiod.istio-system.svc"),
            ("SECRET_TTL", "1h"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let proxy = ProxyConfig {
            discovery_address: self.istiod.address().to_string(),
            ..ProxyConfig::default()
        };
        let mut settings = Settings::read(&environment, &proxy).unwrap();
        let file = |name: &str, text: &str| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let root = file("root.pem", self.istiod.root_pem());
        (settings.ca_root, settings.xds_root) = (Some(root.clone()), Some(root));
        settings.token = token.map(|token| file("istio-token", token));
        settings.prov_cert = Some(folder.path().join("certs"));
        Machine { settings, folder }
    }

    fn entries(&self) -> Api<DynamicObject> {
        Api::namespaced_with(
            self.client.clone(),
            "vm",
            &istio("WorkloadEntry", "workloadentries"),
        )
    }

    fn groups(&self) -> Api<DynamicObject> {
        Api::namespaced_with(
            self.client.clone(),
            "vm",
            &istio("WorkloadGroup", "workloadgroups"),
        )
    }

    async fn make_entry(&self, name: &str, annotations: Value, spec: Value) {
        let entry = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "WorkloadEntry",
            "metadata": { "name": name, "annotations": annotations },
            "spec": spec,
        });
        make(&self.entries(), entry).await;
    }
}

impl Machine {
    fn node(&self) -> Node {
        node(&self.settings, &[])
    }

    /// Opens a stream for a node.
    async fn watch(&self, node: Node) -> Result<Streaming<Config>, Status> {
        let channel = connect(&self.settings, Peer::Discovery).await.unwrap();
        let request = authorized(&self.settings, node);
        let answer = DiscoveryClient::new(channel).watch(request).await;
        answer.map(tonic::Response::into_inner)
    }
}

fn istio(kind: &str, plural: &str) -> ApiResource {
    let named = GroupVersionKind::gvk("networking.istio.io", "v1", kind);
    ApiResource::from_gvk_with_plural(&named, plural)
}

async fn make<K>(api: &Api<K>, object: Value) -> K
where
    K: Clone + DeserializeOwned + serde::Serialize + Debug,
{
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap()
}

/// Asks again until it is so, for as long as a slow computer needs.
async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut is_so: F) {
    for _ in 0..2_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never comes that {what}");
}

/// Reads a stream until a configuration is as wanted.
async fn until(stream: &mut Streaming<Config>, is_wanted: impl Fn(&Config) -> bool) -> Config {
    let wanted = async {
        loop {
            let config = stream.message().await.unwrap().unwrap();
            if is_wanted(&config) {
                return config;
            }
        }
    };
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, wanted)
        .await
        .expect("no such configuration comes")
}
