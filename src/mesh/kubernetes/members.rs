//! What a cluster says of members: whether they are registered, and healthy.
//!
//! Every fleet of a namespace asks, and again and again while it waits: one listing answers all who
//! ask at about the same time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::api::ListParams;
use kube::core::DynamicObject;
use meshvm_provider_api::labels;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Kubernetes, lock, pages, resource};
use crate::mesh::{Group, Members, MeshError, Object};

/// How long a listing answers: what clouds take between two looks at their machines is longer, and a
/// machine that came up meanwhile is seen by the next look.
const FRESH: Duration = Duration::from_secs(1);

/// A namespace's entries: all of them, or a stack's.
type Key = (String, Option<String>);

/// What was listed, and when.
type Listed = Option<(Instant, Arc<Vec<Object>>)>;

/// The last listings.
pub(super) type Listings = std::sync::Mutex<BTreeMap<Key, Arc<Mutex<Listed>>>>;

impl Kubernetes {
    pub(super) async fn members_of(&self, group: &Group<'_>) -> Result<Members, MeshError> {
        // What the control plane makes has no label of ours.
        let stack = (!group.by_itself).then(|| group.stack.to_owned());
        let key = (group.namespace.to_owned(), stack);
        let listed = Arc::clone(lock(&self.listings).entry(key.clone()).or_default());
        // Whoever asks meanwhile waits for this listing.
        let mut listed = listed.lock().await;
        let entries = match &*listed {
            Some((at, entries)) if at.elapsed() < FRESH => Arc::clone(entries),
            Some(_) | None => {
                let entries = Arc::new(self.member_entries(&key).await?);
                *listed = Some((Instant::now(), Arc::clone(&entries)));
                entries
            }
        };
        Ok(Members::of(group, &entries))
    }

    async fn member_entries(&self, (namespace, stack): &Key) -> Result<Vec<Object>, MeshError> {
        let resource = resource("WorkloadEntry")?;
        let client = self.client().await?.clone();
        let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
        let action = format!("list WorkloadEntries in {namespace}");
        let all = ListParams::default();
        let first = match stack {
            None => all,
            Some(stack) => all.labels(&format!("{}={stack}", labels::STACK)),
        };
        let mut entries = Vec::new();
        for mut entry in pages(&api, &action, first).await? {
            // The items of a listing do not say their kind; the listing does.
            entry.types = Some(kube::core::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            });
            let body = serde_json::to_value(entry).unwrap_or_default();
            entries.extend(Object::from_manifest(body));
        }
        Ok(entries)
    }
}
