//! The mesh backend `kubernetes`: membership written to the API server of a cluster.
//!
//! Objects are written by server-side apply under the field manager `meshvm`, and
//! listed and pruned by the stack's label. An object that exists without that
//! label is somebody else's: it is never changed and never deleted.
//!
//! Calls grow with pages where the stack is listed, and with objects where they
//! are written, many at a time.
//!
//! Invariants:
//! 1. A field that another manager set to another value is taken only when the
//!    user says so.
//! 2. An object is deleted only as the very object that was seen to be the
//!    stack's: its id is part of the request.
//! 3. What can never succeed is not tried again.

mod ahead;
mod calls;
mod conflict;
mod connect;
mod error;
mod facts;
mod fields;
mod gateways;
mod kinds;
mod kubeconfig;
mod later;
mod lingering;
mod live;
mod login;
mod managers;
mod members;
mod meter;
mod namespaces;
mod owner;
mod ports;
mod proxy;
mod token;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures::FutureExt as _;
use kube::api::{ApiResource, ListParams};
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::{Api, Client};
use meshvm_provider_api::{ErrorClass, labels};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as AsyncMutex, OnceCell};

use super::{
    Backend, Group, LET_GO_BY, Members, MeshError, Object, ObjectRef, Owned, Place, SECRET, Seen,
    TokenFor,
};

use calls::{PAGE, attempt, each, pages, together};

pub use error::{KubernetesError, Refusal};
pub use facts::{MeshRead, Overridden};
pub use fields::{MANAGER, comparable};
pub use gateways::GatewayService;
pub use live::{Live, LiveEntry, LiveNamespace, LiveService, Rule};
pub use login::{KubeconfigFault, LoginFault};
pub use managers::{HeldField, additions, conflicts};
pub use meter::{CallMetrics, Calls};
pub use proxy::Proxies;

/// Above so many objects of one kind and namespace, listing them costs less than asking for each.
const FEW: usize = 10;

/// Which cluster, as a plan keeps it. No credential.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// The kubeconfig, absolute; the user's usual one when absent.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; its current one when absent.
    pub context: Option<String>,
    /// Whether namespaces that do not exist are made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create_namespaces: bool,
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.context {
            Some(context) => write!(f, "the cluster of context {context}"),
            None => f.write_str("the cluster"),
        }
    }
}

/// How this computer logs in where the fleet file does not say.
#[derive(Clone, Debug, Default)]
pub struct Logins {
    /// The user's usual kubeconfigs, in the order in which they are merged.
    pub kubeconfigs: Vec<PathBuf>,
    /// The proxies that lead to clusters whose kubeconfig names none.
    pub proxies: Proxies,
    /// Whether fields that others set are taken.
    pub force_conflicts: bool,
    /// Counts what clusters are asked.
    pub calls: Calls,
}

/// A cluster that holds membership.
pub struct Kubernetes {
    cluster: Cluster,
    logins: Logins,
    client: OnceCell<Client>,
    /// The ids of WorkloadGroups, by namespace and name: they own the entries.
    groups: Mutex<BTreeMap<(String, String), String>>,
    /// Namespaces that are known to exist.
    namespaces: AsyncMutex<BTreeSet<String>>,
    /// What is going to be written, and deleted.
    writes: ahead::Ahead,
    deletes: ahead::Ahead,
    /// What was last listed of members.
    listings: members::Listings,
}

/// An object that is not the stack's, and the stack that it belongs to, where it has one.
pub type Foreign = (ObjectRef, Option<String>);

/// What is known of an object before it is written or deleted.
struct Known {
    uid: Option<String>,
    version: Option<String>,
    stack: Option<String>,
    /// Whether meshvm applied it once: without a stack now, it was let go.
    was_applied: bool,
    /// The stack that let it go, where others must not take it.
    let_go_by: Option<String>,
    /// The finalizers that keep it though it is being deleted; `None` when it is not.
    ending: Option<Vec<String>>,
}

impl Known {
    fn is_of(&self, stack: &str) -> bool {
        self.stack.as_deref() == Some(stack)
    }

    /// Returns whether a stack may write it. What was let go is taken back, by a machine that is
    /// adopted again, or that an interrupted run did not let go in the end.
    fn is_for(&self, stack: &str) -> bool {
        let may = self.let_go_by.as_ref().is_none_or(|by| by == stack);
        self.is_of(stack) || (self.stack.is_none() && self.was_applied && may)
    }
}

impl Kubernetes {
    /// Names the cluster; nothing is read before the first call.
    pub fn new(cluster: Cluster, logins: Logins) -> Self {
        Self {
            cluster,
            logins,
            client: OnceCell::new(),
            groups: Mutex::default(),
            namespaces: AsyncMutex::default(),
            writes: ahead::Ahead::default(),
            deletes: ahead::Ahead::default(),
            listings: members::Listings::default(),
        }
    }

    /// Returns the client, logging in at the first call.
    ///
    /// # Errors
    /// When there are no settings, or they cannot be used.
    pub async fn client(&self) -> Result<&Client, KubernetesError> {
        self.client
            .get_or_try_init(|| connect::connect(&self.cluster, &self.logins))
            .await
    }

    async fn list(
        &self,
        resource: &ApiResource,
        selector: &str,
    ) -> Result<Vec<DynamicObject>, KubernetesError> {
        let api: Api<DynamicObject> = Api::all_with(self.client().await?.clone(), resource);
        let action = format!("list {}", resource.plural);
        pages(&api, &action, ListParams::default().labels(selector)).await
    }

    /// Returns which of some objects of one kind and namespace exist, and whose they are; more than
    /// `most_single` are listed, and not asked for one by one.
    async fn known(
        &self,
        resource: &ApiResource,
        namespace: &str,
        names: &[&str],
        most_single: usize,
    ) -> Result<BTreeMap<String, Known>, KubernetesError> {
        let client = self.client().await?.clone();
        let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, resource);
        let mut found: Vec<PartialObjectMeta<DynamicObject>> = Vec::new();
        if names.len() > most_single {
            let action = format!("list {} in {namespace}", resource.plural);
            let mut page = ListParams::default().limit(PAGE);
            loop {
                let listed = attempt(&action, || api.list_metadata(&page)).await?;
                found.extend(listed.items);
                match listed.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => page.continue_token = Some(token),
                    None => break,
                }
            }
        } else {
            let mut calls = Vec::new();
            for &name in names {
                let (api, action) = (&api, format!("read {} {namespace}/{name}", resource.kind));
                calls.push(
                    async move { attempt(&action, || api.get_metadata_opt(name)).await }.boxed(),
                );
            }
            found.extend(together(calls).await?.into_iter().flatten());
        }
        let known = found.into_iter().filter_map(|object| {
            let metadata = object.metadata;
            let stack = metadata.labels.as_ref().and_then(|l| l.get(labels::STACK));
            let managers = metadata.managed_fields.iter().flatten();
            let annotations = metadata.annotations.as_ref();
            let known = Known {
                ending: write::ending(&metadata),
                uid: metadata.uid.clone(),
                version: metadata.resource_version.clone(),
                stack: stack.cloned(),
                let_go_by: annotations.and_then(|all| all.get(LET_GO_BY)).cloned(),
                was_applied: managers.into_iter().any(|entry| {
                    entry.manager.as_deref() == Some(MANAGER)
                        && entry.operation.as_deref() == Some("Apply")
                }),
            };
            Some((metadata.name?, known))
        });
        Ok(known.collect())
    }

    /// Finds out what is known of objects, refusing those of others.
    async fn own(
        &self,
        stack: &str,
        references: impl Iterator<Item = &ObjectRef>,
        may: fn(&Known, &str) -> bool,
        most_single: usize,
    ) -> Result<BTreeMap<ObjectRef, Known>, MeshError> {
        let (own, foreign) = self.sort_out(stack, references, may, most_single).await?;
        self.refuse(stack, foreign).map(|()| own)
    }

    /// Refuses the first of some objects that are not the stack's.
    fn refuse(&self, stack: &str, foreign: Vec<Foreign>) -> Result<(), MeshError> {
        match foreign.into_iter().next() {
            None => Ok(()),
            Some((object, owner)) => Err(MeshError::Foreign {
                object,
                place: Place::Cluster(self.cluster.to_string()),
                stack: stack.to_owned(),
                owner,
            }),
        }
    }

    /// Finds out what is known of objects that exist, and which of them are of others, with their
    /// stack where they have one.
    async fn sort_out(
        &self,
        stack: &str,
        references: impl Iterator<Item = &ObjectRef>,
        may: fn(&Known, &str) -> bool,
        most_single: usize,
    ) -> Result<(BTreeMap<ObjectRef, Known>, Vec<Foreign>), MeshError> {
        let mut by_kind: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for reference in references {
            let place = (reference.kind.as_str(), reference.namespace.as_str());
            by_kind.entry(place).or_default().push(&reference.name);
        }
        let (mut own, mut foreign) = (BTreeMap::new(), Vec::new());
        for ((kind, namespace), names) in by_kind {
            let resource = resource(kind)?;
            let mut known = self
                .known(&resource, namespace, &names, most_single)
                .await?;
            for name in names {
                let Some(known) = known.remove(name) else {
                    continue;
                };
                let reference = ObjectRef {
                    namespace: namespace.to_owned(),
                    kind: kind.to_owned(),
                    name: name.to_owned(),
                };
                if may(&known, stack) {
                    own.insert(reference, known);
                } else {
                    foreign.push((reference, known.stack));
                }
            }
        }
        Ok((own, foreign))
    }
}

#[async_trait]
impl Backend for Kubernetes {
    async fn observe(&self, stack: &str) -> Result<Vec<Seen>, MeshError> {
        let selector = format!("{}={stack}", labels::STACK);
        let resources: Vec<ApiResource> = kinds::all().collect();
        let mut calls = Vec::new();
        for resource in &resources {
            calls.push(self.list(resource, &selector).boxed());
        }
        let listed: Vec<Vec<DynamicObject>> = together(calls).await?;
        let mut seen = Vec::new();
        // A group that was made anew since has another id.
        lock(&self.groups).clear();
        for (resource, objects) in resources.iter().zip(listed) {
            for mut object in objects {
                // The items of a listing do not say their kind; the listing does.
                object.types = Some(kube::core::TypeMeta {
                    api_version: resource.api_version.clone(),
                    kind: resource.kind.clone(),
                });
                let ending = write::ending(&object.metadata);
                if ending.is_none() {
                    self.remember_group(&object);
                }
                let body = serde_json::to_value(object).unwrap_or_default();
                let owned = Owned::Fields(fields::applied(&body));
                seen.extend(Object::from_manifest(body).map(|object| Seen {
                    object,
                    owned,
                    lost_owner: None,
                    ending: ending.clone(),
                }));
            }
        }
        self.find_lost_owners(&mut seen);
        seen.sort_by(|a, b| a.object.reference.cmp(&b.object.reference));
        Ok(seen)
    }

    async fn check(&self, stack: &str, objects: &[Object]) -> Result<(), MeshError> {
        let references = objects.iter().map(|object| &object.reference);
        // Who only plans may list, and not get.
        let own = self.own(stack, references, Known::is_for, 0);
        own.await.map(drop)
    }

    async fn unlabelled(
        &self,
        stack: &str,
        objects: &BTreeSet<ObjectRef>,
    ) -> Result<BTreeSet<ObjectRef>, MeshError> {
        let let_go = |known: &Known, stack: &str| !known.is_of(stack) && known.is_for(stack);
        let (found, _) = self.sort_out(stack, objects.iter(), let_go, 0).await?;
        Ok(found.into_keys().collect())
    }

    async fn announce(&self, writes: &[&ObjectRef], deletes: &[&ObjectRef]) {
        self.writes.announce(writes.iter().copied()).await;
        self.deletes.announce(deletes.iter().copied()).await;
    }

    async fn write(&self, stack: &str, objects: &[Object]) -> Result<(), MeshError> {
        let references = objects.iter().map(|object| &object.reference).collect();
        let own = self.own_of_all(&self.writes, stack, references, Known::is_for);
        let own = own.await?;
        self.make_namespaces(objects).await?;
        let mut ordered: BTreeMap<usize, Vec<&Object>> = BTreeMap::new();
        for object in objects {
            let order = kinds::order(&object.reference.kind);
            ordered.entry(order).or_default().push(object);
        }
        // What others hold of one object is no reason to leave another unmended, or untold.
        let (mut held, mut first) = (Vec::new(), Ok(()));
        for objects in ordered.into_values() {
            let mut calls = Vec::new();
            for object in objects {
                let known = own.get(&object.reference);
                calls.push(self.apply(stack, object, known).boxed());
            }
            for ended in each(calls).await {
                match ended {
                    Err(MeshError::Kubernetes(KubernetesError::Conflict(more))) => {
                        held.extend(more);
                    }
                    Err(error) if error.class() != ErrorClass::Conflict => return Err(error),
                    ended => first = first.and(ended),
                }
            }
        }
        match held.is_empty() {
            true => first,
            false => Err(KubernetesError::Conflict(held).into()),
        }
    }

    async fn delete(&self, stack: &str, objects: &[ObjectRef]) -> Result<(), MeshError> {
        // Secrets may not be read, only made and deleted; their names are nobody else's.
        let (secrets, others): (Vec<&ObjectRef>, Vec<_>) =
            objects.iter().partition(|object| object.kind == SECRET);
        let mut calls = Vec::new();
        for ObjectRef {
            namespace, name, ..
        } in secrets
        {
            calls.push(self.remove_secret(namespace, name).boxed());
        }
        together(calls).await?;
        let own = self.own_of_all(&self.deletes, stack, others, Known::is_of);
        let own = own.await?;
        let mut ordered: BTreeMap<usize, Vec<(ObjectRef, Known)>> = BTreeMap::new();
        for (reference, known) in own {
            let order = kinds::order(&reference.kind);
            ordered.entry(order).or_default().push((reference, known));
        }
        let mut left = BTreeMap::new();
        // What owns goes last: the server deletes by itself what it owns, and would be asked twice.
        for objects in ordered.into_values().rev() {
            let mut calls = Vec::new();
            for (reference, known) in objects {
                calls.push(self.remove(stack, reference, known).boxed());
            }
            left.extend(together(calls).await?.into_iter().flatten());
        }
        // All that can go does, before what cannot is waited for.
        self.until_gone(stack, left).await
    }

    async fn identity(&self) -> Result<Option<String>, MeshError> {
        // It is made with the cluster, and goes with it.
        match self.namespace("kube-system").await {
            Ok(found) => Ok(found.and_then(|namespace| namespace.metadata.uid)),
            // Who may not look goes without the check.
            Err(error) if error.code() == Some(403) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn members(&self, group: &Group<'_>) -> Result<Option<Members>, MeshError> {
        Ok(Some(self.members_of(group).await?))
    }

    async fn to_make<'a>(&self, names: &BTreeSet<&'a str>) -> Result<BTreeSet<&'a str>, MeshError> {
        Ok(self.absent_namespaces(names).await?)
    }

    async fn token(&self, wanted: &TokenFor<'_>) -> Result<SecretString, MeshError> {
        self.make_token(wanted).await
    }
}

fn resource(kind: &str) -> Result<ApiResource, MeshError> {
    kinds::named(kind).ok_or_else(|| MeshError::UnknownKind {
        kind: kind.to_owned(),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
