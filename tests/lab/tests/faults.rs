//! What goes wrong on purpose, and what is counted.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
    WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use meshvm_lab::kube::{Cluster, ClusterOptions, Count, Effect, Fault};
use serde_json::{Value, json};

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

fn on(verb: &str, effect: Effect) -> Fault {
    Fault {
        verb: Some(verb.to_owned()),
        resource: Some("configmaps".to_owned()),
        times: 1,
        effect,
    }
}

/// A client that asks once: that of a kubeconfig asks again by itself where it is told to wait.
async fn lab() -> (Cluster, Api<ConfigMap>) {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let config = Kubeconfig::from_yaml(&cluster.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options).await;
    let mut config = config.unwrap();
    config.default_retry = false;
    let client = kube::Client::try_from(config).unwrap();
    (cluster, Api::namespaced(client, "default"))
}

#[tokio::test]
async fn requests_are_refused_on_purpose() {
    let (cluster, maps) = lab().await;
    let faults = cluster.faults();
    faults.add(on("create", Effect::TooMany { retry_after: 0 }));
    let error = maps
        .create(&PostParams::default(), &map("a"))
        .await
        .unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 429));
    faults.add(on("create", Effect::Status { code: 500 }));
    let error = maps
        .create(&PostParams::default(), &map("a"))
        .await
        .unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 500));
    assert!(maps.get_opt("a").await.unwrap().is_none());
    maps.create(&PostParams::default(), &map("a"))
        .await
        .unwrap();
}

#[tokio::test]
async fn connections_are_reset_before_or_after() {
    let (cluster, maps) = lab().await;
    cluster.faults().add(on("create", Effect::Reset));
    let error = maps
        .create(&PostParams::default(), &map("a"))
        .await
        .unwrap_err();
    assert!(!matches!(error, kube::Error::Api(_)), "{error}");
    assert!(maps.get_opt("a").await.unwrap().is_none());

    cluster.faults().add(on("create", Effect::LoseReply));
    let error = maps
        .create(&PostParams::default(), &map("a"))
        .await
        .unwrap_err();
    assert!(!matches!(error, kube::Error::Api(_)), "{error}");
    assert!(maps.get_opt("a").await.unwrap().is_some());
    assert!(cluster.faults().left().is_empty());
}

#[tokio::test]
async fn a_watch_is_gone_on_purpose() {
    let (cluster, maps) = lab().await;
    cluster.faults().add(on("watch", Effect::Gone));
    for gone in [true, false] {
        let list = maps.list(&ListParams::default()).await.unwrap();
        let version = list.metadata.resource_version.unwrap();
        let mut stream = maps
            .watch(&WatchParams::default(), &version)
            .await
            .unwrap()
            .boxed();
        if gone {
            let event = stream.try_next().await.unwrap().unwrap();
            assert!(matches!(event, WatchEvent::Error(error) if error.code == 410));
            assert!(stream.next().await.is_none());
        } else {
            maps.create(&PostParams::default(), &map("a"))
                .await
                .unwrap();
            let event = stream.try_next().await.unwrap().unwrap();
            assert!(matches!(event, WatchEvent::Added(_)));
        }
    }
}

#[tokio::test]
async fn a_slow_answer_comes_all_the_same() {
    let (cluster, maps) = lab().await;
    cluster
        .faults()
        .add(on("list", Effect::Slow { millis: 50 }));
    maps.list(&ListParams::default()).await.unwrap();
    assert!(cluster.faults().left().is_empty());
}

#[tokio::test]
async fn faults_and_counts_are_there_over_http_for_the_admin() {
    let (cluster, maps) = lab().await;
    let client = cluster.client().await.unwrap();
    let ask = async |method: &str, path: &str, body: Value| -> Result<Value, kube::Error> {
        let request = http::Request::builder().method(method).uri(path);
        client
            .request(request.body(body.to_string().into_bytes()).unwrap())
            .await
    };
    let fault =
        json!({"verb": "get", "resource": "configmaps", "effect": {"status": {"code": 503}}});
    ask("POST", "/lab/faults", fault).await.unwrap();
    let left = ask("GET", "/lab/faults", json!(null)).await.unwrap();
    assert_eq!(left[0]["times"], 1);
    ask("DELETE", "/lab/requests", json!(null)).await.unwrap();
    let _ = maps.get("a").await;
    let counts = ask("GET", "/lab/requests", json!(null)).await.unwrap();
    let counts: Vec<Count> = serde_json::from_value(counts).unwrap();
    assert!(
        counts
            .iter()
            .any(|c| c.verb == "get" && c.resource == "configmaps" && c.count > 0)
    );
    let unknown = ask("POST", "/lab/faults", json!({"effect": "fire"})).await;
    assert!(matches!(unknown, Err(kube::Error::Api(status)) if status.code == 400));

    let anonymous = cluster.kubeconfig().replace(cluster.admin_token(), "other");
    let config = Kubeconfig::from_yaml(&anonymous).unwrap();
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options)
        .await
        .unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let request = http::Request::get("/lab/faults").body(Vec::new()).unwrap();
    let refused = client.request::<Value>(request).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 401));
}

/// A fleet's worth of entries, written ten at a time.
#[tokio::test]
async fn a_thousand_entries_are_applied() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let client = cluster.client().await.unwrap();
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "WorkloadEntry");
    let resource = ApiResource::from_gvk_with_plural(&kind, "workloadentries");
    let entries: Api<DynamicObject> = Api::namespaced_with(client, "default", &resource);
    for _ in 0..2 {
        let writes = stream::iter(0..1_000).map(|n| {
            let entries = entries.clone();
            async move {
                let name = format!("w{n}");
                let body = json!({
                    "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
                    "metadata": {"name": name, "labels": {"fleet": "f"}},
                    "spec": {"address": format!("10.0.{}.{}", n / 250, n % 250),
                             "ports": {"http": 80}, "serviceAccount": "web"},
                });
                let params = PatchParams::apply("meshvm");
                entries.patch(&name, &params, &Patch::Apply(&body)).await
            }
        });
        let written: Vec<_> = writes.buffer_unordered(10).try_collect().await.unwrap();
        assert!(
            written
                .iter()
                .all(|entry| entry.metadata.generation == Some(1))
        );
    }
    let list = entries
        .list(&ListParams::default().labels("fleet=f"))
        .await
        .unwrap();
    assert_eq!(list.items.len(), 1_000);
    assert_eq!(cluster.requests().of("patch", "workloadentries"), 2_000);
}
