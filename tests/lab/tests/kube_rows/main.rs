//! How a real API server answers, check by check, asked of the double through the crate `kube`.

mod apply;
mod ends;
mod istio;
mod objects;
mod reads;
mod tokens;

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Client, ResourceExt as _};
use meshvm_lab::kube::{Cluster, ClusterOptions};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A fresh cluster with a namespace `ns`.
struct Lab {
    cluster: Cluster,
    client: Client,
}

impl Lab {
    async fn new() -> Self {
        let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
        let client = cluster.client().await.unwrap();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = object(json!({"metadata": {"name": "ns"}}));
        let made = namespaces.create(&PostParams::default(), &namespace).await;
        assert_eq!(made.unwrap().name_any(), "ns");
        Self { cluster, client }
    }

    fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), "ns")
    }

    async fn make(&self, map: Value) -> ConfigMap {
        let (maps, params) = (self.maps(), PostParams::default());
        maps.create(&params, &object(map)).await.unwrap()
    }

    async fn merge(&self, name: &str, patch: Value) -> Result<ConfigMap, kube::Error> {
        let params = PatchParams::default();
        self.maps()
            .patch(name, &params, &Patch::Merge(&patch))
            .await
    }
}

/// Returns a typed object.
fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Returns what a server refused something with.
fn refusal<T: Debug>(result: Result<T, kube::Error>) -> Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("not refused by the server: {other:?}"),
    }
}

/// Asks again until it is so, for as long as a slow computer needs.
async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut is_so: F) {
    for _ in 0..1_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never comes that {what}");
}
