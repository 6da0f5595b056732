//! What the cluster has, kept up to date by watching it.

use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service as KubeService};
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::install::ROOT_CONFIG_MAP;
use super::model::{Entry, Mesh, Service};

/// Returns one of Istio's kinds.
pub fn istio(kind: &str, plural: &str) -> ApiResource {
    let named = GroupVersionKind::gvk("networking.istio.io", "v1", kind);
    ApiResource::from_gvk_with_plural(&named, plural)
}

/// Returns the kind of WorkloadEntries.
pub fn entries_kind() -> ApiResource {
    istio("WorkloadEntry", "workloadentries")
}

/// Returns the kind of WorkloadGroups.
pub fn groups_kind() -> ApiResource {
    istio("WorkloadGroup", "workloadgroups")
}

/// What the cluster has.
#[derive(Clone)]
pub struct World {
    namespaces: Store<Namespace>,
    roots: Store<ConfigMap>,
    services: Store<KubeService>,
    service_entries: Store<DynamicObject>,
    entries: Store<DynamicObject>,
    changes: watch::Sender<u64>,
}

impl World {
    /// Starts to watch, in tasks of a set; returns when all is known once.
    pub async fn start(client: &Client, tasks: &mut JoinSet<()>) -> Self {
        let (changes, _) = watch::channel(0);
        let service_entries = istio("ServiceEntry", "serviceentries");
        let all = watcher::Config::default();
        let roots = all
            .clone()
            .fields(&format!("metadata.name={ROOT_CONFIG_MAP}"));
        let world = Self {
            namespaces: follow(Api::all(client.clone()), (), all.clone(), &changes, tasks),
            roots: follow(Api::all(client.clone()), (), roots, &changes, tasks),
            services: follow(Api::all(client.clone()), (), all, &changes, tasks),
            service_entries: dynamic(client, service_entries, &changes, tasks),
            entries: dynamic(client, entries_kind(), &changes, tasks),
            changes,
        };
        // It fails only when the tasks have ended, and then nobody is left to be served.
        let _ = futures::join!(
            world.namespaces.wait_until_ready(),
            world.roots.wait_until_ready(),
            world.services.wait_until_ready(),
            world.service_entries.wait_until_ready(),
            world.entries.wait_until_ready(),
        );
        world
    }

    /// Returns what tells of changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Returns the namespaces, of those that are there to stay, that lack this root certificate.
    pub fn namespaces_without(&self, root: &str) -> Vec<String> {
        let has_root = |namespace: &str| {
            let named = ObjectRef::new(ROOT_CONFIG_MAP).within(namespace);
            let found = self.roots.get(&named).and_then(|map| map.data.clone());
            found.is_some_and(|data| data.get("root-cert.pem").is_some_and(|pem| pem == root))
        };
        let namespaces = self.namespaces.state().into_iter();
        namespaces
            .filter(|namespace| namespace.metadata.deletion_timestamp.is_none())
            .map(|namespace| namespace.name_any())
            .filter(|namespace| !has_root(namespace))
            .collect()
    }

    /// Returns the entries as they are in the cluster.
    pub fn entries(&self) -> Vec<Arc<DynamicObject>> {
        self.entries.state()
    }

    /// Returns all that configurations are made from, as a node in a namespace sees it.
    pub fn mesh(&self, namespace: &str) -> Mesh {
        let services = self.services.state().into_iter();
        let mut services: Vec<Service> = services
            .filter_map(|service| Service::read(&service, namespace))
            .collect();
        let service_entries = self.service_entries.state().into_iter();
        services.extend(service_entries.filter_map(|object| Service::read_entry(&object)));
        // Stores have no order, and an order that changes looks like a change.
        services.sort_by(|a, b| (&a.namespace, &a.hosts).cmp(&(&b.namespace, &b.hosts)));
        let entries = self.entries.state().into_iter();
        let mut entries: Vec<Entry> = entries.filter_map(|object| Entry::read(&object)).collect();
        entries.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        Mesh { services, entries }
    }
}

fn dynamic(
    client: &Client,
    kind: ApiResource,
    changes: &watch::Sender<u64>,
    tasks: &mut JoinSet<()>,
) -> Store<DynamicObject> {
    let api = Api::all_with(client.clone(), &kind);
    follow(api, kind, watcher::Config::default(), changes, tasks)
}

fn follow<K>(
    api: Api<K>,
    kind: K::DynamicType,
    config: watcher::Config,
    changes: &watch::Sender<u64>,
    tasks: &mut JoinSet<()>,
) -> Store<K>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Send + Sync,
{
    let writer = Writer::new(kind);
    let store = writer.as_reader();
    let changes = changes.clone();
    tasks.spawn(async move {
        let events = watcher(api, config).default_backoff().reflect(writer);
        // A watch that breaks is taken up again, after a while.
        let events = events.for_each(|_| {
            changes.send_modify(|count| *count = count.wrapping_add(1));
            futures::future::ready(())
        });
        events.await;
    });
    store
}
