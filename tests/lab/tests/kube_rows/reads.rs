//! Rows about reading many objects, and about watching them.

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::runtime::watcher;
use serde_json::json;

use super::{Lab, refusal};

fn names(list: &[ConfigMap]) -> Vec<String> {
    list.iter().map(|map| map.name_any()).collect()
}

async fn lab_with_maps() -> Lab {
    let lab = Lab::new().await;
    for (name, app) in [("a", "x"), ("b", "y"), ("c", "x")] {
        lab.make(json!({"metadata": {"name": name, "labels": {"app": app}}}))
            .await;
    }
    lab
}

/// Rows: create configmaps; list by label; by a set of labels; by field.
#[tokio::test]
async fn lists_are_selected() {
    let lab = lab_with_maps().await;
    for (labels, wanted) in [
        ("app=x", vec!["a", "c"]),
        ("app in (x,z),!q", vec!["a", "c"]),
        ("app notin (x),app", vec!["b"]),
        ("app!=x,app", vec!["b"]),
    ] {
        let list = lab
            .maps()
            .list(&ListParams::default().labels(labels))
            .await
            .unwrap();
        assert_eq!(names(&list.items), wanted, "{labels}");
        assert!(list.metadata.resource_version.is_some());
    }
    let by_field = ListParams::default().fields("metadata.name=b");
    let list = lab.maps().list(&by_field).await.unwrap();
    assert_eq!(names(&list.items), ["b"]);
    let unknown = ListParams::default().fields("data.k=b");
    assert_eq!(refusal(lab.maps().list(&unknown).await).code, 400);
}

/// Row: list in pieces.
#[tokio::test]
async fn lists_go_on() {
    let lab = lab_with_maps().await;
    let piece = ListParams::default().labels("app").limit(1);
    let mut list = lab.maps().list(&piece).await.unwrap();
    let mut found = names(&list.items);
    while let Some(token) = list.metadata.continue_.filter(|token| !token.is_empty()) {
        let next = piece.clone().continue_token(&token);
        list = lab.maps().list(&next).await.unwrap();
        assert_eq!(list.items.len(), 1);
        found.extend(names(&list.items));
    }
    assert_eq!(found, ["a", "b", "c"]);
}

/// Row: a watch from a version sees what is added, modified and deleted, filtered by label.
#[tokio::test]
async fn a_watch_sees_changes() {
    let lab = Lab::new().await;
    let from = lab.maps().list(&ListParams::default()).await.unwrap();
    let from = from.metadata.resource_version.unwrap();
    lab.make(json!({"metadata": {"name": "other"}})).await;
    lab.make(json!({"metadata": {"name": "w", "labels": {"app": "w"}}}))
        .await;
    let patch = json!({"data": {"k": "1"}});
    let params = PatchParams::default();
    lab.maps()
        .patch("w", &params, &Patch::Merge(&patch))
        .await
        .unwrap();
    let selected = WatchParams::default().labels("app=w");
    let mut stream = lab.maps().watch(&selected, &from).await.unwrap().boxed();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        match stream.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(map) => seen.push(format!("ADDED {}", map.name_any())),
            WatchEvent::Modified(map) => seen.push(format!("MODIFIED {}", map.name_any())),
            WatchEvent::Deleted(map) => seen.push(format!("DELETED {}", map.name_any())),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(error) => panic!("{error:?}"),
        }
        if seen.len() == 2 {
            // What loses its label is gone to this watcher.
            let patch = json!({"metadata": {"labels": {"app": "v"}}});
            lab.maps()
                .patch("w", &params, &Patch::Merge(&patch))
                .await
                .unwrap();
            let patch = json!({"metadata": {"labels": {"app": "w"}}});
            lab.maps()
                .patch("w", &params, &Patch::Merge(&patch))
                .await
                .unwrap();
        }
    }
    assert_eq!(seen, ["ADDED w", "MODIFIED w", "DELETED w", "ADDED w"]);
    lab.maps()
        .delete("w", &DeleteParams::default())
        .await
        .unwrap();
    let last = stream.try_next().await.unwrap().unwrap();
    assert!(matches!(last, WatchEvent::Deleted(map) if map.name_any() == "w"));
}

/// A watch from a version that is forgotten is told so.
#[tokio::test]
async fn a_watch_from_long_ago_is_gone() {
    let lab = lab_with_maps().await;
    lab.cluster.forget_history();
    let mut stream = lab
        .maps()
        .watch(&WatchParams::default(), "5")
        .await
        .unwrap()
        .boxed();
    let first = stream.try_next().await.unwrap().unwrap();
    assert!(matches!(first, WatchEvent::Error(error) if error.code == 410));
}

/// Row: the watcher of kube's runtime gets a first list, and then an event.
#[tokio::test]
async fn the_runtime_watches() {
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let lab = Lab::new().await;
        lab.make(json!({"metadata": {"name": "a", "labels": {"app": "x"}}}))
            .await;
        let mut stream = watcher(lab.maps(), config.labels("app=x")).boxed();
        let mut first = Vec::new();
        loop {
            match stream.try_next().await.unwrap().unwrap() {
                watcher::Event::Init => {}
                watcher::Event::InitApply(map) => first.push(map.name_any()),
                watcher::Event::InitDone => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(first, ["a"]);
        lab.make(json!({"metadata": {"name": "b", "labels": {"app": "x"}}}))
            .await;
        match stream.try_next().await.unwrap().unwrap() {
            watcher::Event::Apply(map) => assert_eq!(map.name_any(), "b"),
            other => panic!("{other:?}"),
        }
    }
}
