//! The WorkloadEntries of nodes: found or registered when they connect, and told of their health.
//!
//! The life of an entry is that of `pilot/pkg/autoregistration` in istio/istio. An entry that
//! somebody else made is never deleted, and one without the annotation for health is never
//! touched.

mod condition;
mod registered;
#[cfg(test)]
mod tests;

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::{Map, Value, json};
use tonic::Status;

use meshvm_lab_agent::wire::Node;

use self::condition::conditions;
use self::registered::{registered_name, registered_spec};
use super::identity::Identity;
use super::model::{self, EntrySpec, GroupSpec, HEALTH_CHECKED};
use super::world::{entries_kind, groups_kind};

/// Who writes.
const MANAGER: &str = "pilot-discovery";
/// The group that an entry was registered in.
pub(super) const GROUP: &str = "istio.io/autoRegistrationGroup";
const CONTROLLER: &str = "istio.io/workloadController";
pub(super) const CONNECTED_AT: &str = "istio.io/connectedAt";
pub(super) const DISCONNECTED_AT: &str = "istio.io/disconnectedAt";
/// How often a write is tried that others come before.
const MOST_TRIES: usize = 5;

/// The entry of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Own {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Reads and writes entries.
#[derive(Clone)]
pub struct Entries {
    /// The cluster.
    pub kubernetes: Client,
    /// Who looks after entries: this control plane.
    pub controller: String,
}

impl Entries {
    fn api(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.kubernetes.clone(), namespace, &entries_kind())
    }

    /// Finds or registers the entry of a node that connects; `None` when the node names none.
    ///
    /// # Errors
    ///
    /// When the entry or the group is not there, or is that of another identity.
    pub async fn admit(&self, node: &Node, identity: &Identity) -> Result<Option<Own>, Status> {
        let Some(own) = own(node) else {
            return Ok(None);
        };
        let api = self.api(&own.namespace);
        let found = api
            .get_opt(&own.name)
            .await
            .map_err(|error| failed(&error))?;
        let found = match found {
            Some(found) => found,
            None if node.auto_register_group.is_empty() => {
                return Err(Status::failed_precondition(format!(
                    "cannot find WorkloadEntry {}/{}",
                    own.namespace, own.name
                )));
            }
            None => self.register(node, identity, &own).await?,
        };
        let account = model::spec::<EntrySpec>(&found)
            .unwrap_or_default()
            .service_account;
        matches_identity(&own, &account, identity)?;
        if is_looked_after(&found) {
            let now = jiff::Timestamp::now().to_string();
            let annotations = json!({
                CONTROLLER: self.controller,
                CONNECTED_AT: now,
                DISCONNECTED_AT: null,
            });
            self.annotate(&own, annotations)
                .await
                .map_err(|error| failed(&error))?;
        }
        Ok(Some(own))
    }

    async fn register(
        &self,
        node: &Node,
        identity: &Identity,
        own: &Own,
    ) -> Result<DynamicObject, Status> {
        let group_name = &node.auto_register_group;
        let groups: Api<DynamicObject> =
            Api::namespaced_with(self.kubernetes.clone(), &own.namespace, &groups_kind());
        let group = groups
            .get_opt(group_name)
            .await
            .map_err(|error| failed(&error))?;
        let Some(group) = group else {
            return Err(Status::failed_precondition(format!(
                "auto-registration WorkloadEntry of {} failed: cannot find WorkloadGroup {}/{group_name}",
                node.id, own.namespace
            )));
        };
        let spec: GroupSpec = model::spec(&group).unwrap_or_default();
        // Before anything is made in another's name.
        matches_identity(own, &spec.template.service_account, identity)?;
        let mut entry = DynamicObject::new(&own.name, &entries_kind()).within(&own.namespace);
        let mut annotations = spec.metadata.annotations.clone();
        annotations.insert(GROUP.to_owned(), group_name.clone());
        if spec.probe.is_some() {
            annotations.insert(HEALTH_CHECKED.to_owned(), "true".to_owned());
        }
        entry.metadata.annotations = Some(annotations);
        entry.metadata.labels = Some(spec.metadata.labels.clone());
        entry.metadata.owner_references = Some(
            group
                .controller_owner_ref(&groups_kind())
                .into_iter()
                .collect(),
        );
        entry.data = json!({ "spec": registered_spec(node, spec) });
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let api = self.api(&own.namespace);
        match api.create(&params, &entry).await {
            // Another stream of the same node was faster.
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                api.get(&own.name).await.map_err(|error| failed(&error))
            }
            made => made.map_err(|error| failed(&error)),
        }
    }

    /// Notes that a node is gone.
    ///
    /// # Errors
    ///
    /// When the cluster refuses it.
    pub async fn disconnected(&self, own: &Own) -> Result<(), kube::Error> {
        let Some(found) = self.api(&own.namespace).get_opt(&own.name).await? else {
            return Ok(());
        };
        if !is_looked_after(&found) {
            return Ok(());
        }
        let now = jiff::Timestamp::now().to_string();
        let annotations = json!({ CONNECTED_AT: null, DISCONNECTED_AT: now });
        self.annotate(own, annotations).await
    }

    /// Forgets a node that stayed away: deletes what was registered for it, and what is known of
    /// its health.
    ///
    /// # Errors
    ///
    /// When the cluster refuses it.
    pub async fn forget(&self, own: &Own) -> Result<(), kube::Error> {
        let api = self.api(&own.namespace);
        let Some(found) = api.get_opt(&own.name).await? else {
            return Ok(());
        };
        if found.annotations().contains_key(GROUP) {
            let deleted = api.delete(&own.name, &found.preconditions()).await;
            return match deleted {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                deleted => deleted.map(drop),
            };
        }
        if model::is_health_checked(&found) {
            self.set_condition(own, None).await?;
        }
        Ok(())
    }

    /// Writes whether the application of a node is healthy.
    ///
    /// # Errors
    ///
    /// When the entry is that of another identity, or the cluster refuses it.
    pub async fn report(
        &self,
        own: &Own,
        identity: &Identity,
        healthy: bool,
        message: &str,
    ) -> Result<(), Status> {
        let found = self.api(&own.namespace).get_opt(&own.name).await;
        let Some(found) = found.map_err(|error| failed(&error))? else {
            return Ok(());
        };
        let account = model::spec::<EntrySpec>(&found)
            .unwrap_or_default()
            .service_account;
        matches_identity(own, &account, identity)?;
        let written = self.set_condition(own, Some((healthy, message))).await;
        written.map_err(|error| failed(&error))
    }

    async fn set_condition(
        &self,
        own: &Own,
        health: Option<(bool, &str)>,
    ) -> Result<(), kube::Error> {
        let api = self.api(&own.namespace);
        let mut tries = 0;
        loop {
            let Some(mut entry) = api.get_opt(&own.name).await? else {
                return Ok(());
            };
            if !model::is_health_checked(&entry) {
                return Ok(());
            }
            let now = jiff::Timestamp::now().to_string();
            let old = entry.data["status"]["conditions"].as_array().cloned();
            let old = old.unwrap_or_default();
            let new = conditions(&old, health, &now);
            if new == old {
                return Ok(());
            }
            if !entry.data["status"].is_object() {
                entry.data["status"] = Value::Object(Map::new());
            }
            entry.data["status"]["conditions"] = Value::Array(new);
            let params = PostParams {
                field_manager: Some(MANAGER.to_owned()),
                ..PostParams::default()
            };
            tries += 1;
            match api.replace_status(&own.name, &params, &entry).await {
                Err(kube::Error::Api(status)) if status.is_conflict() && tries < MOST_TRIES => {}
                written => return written.map(drop),
            }
        }
    }

    async fn annotate(&self, own: &Own, annotations: Value) -> Result<(), kube::Error> {
        let patch = json!({ "metadata": { "annotations": annotations } });
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api(&own.namespace);
        api.patch_metadata(&own.name, &params, &Patch::Merge(patch))
            .await?;
        Ok(())
    }
}

/// Returns what deletes exactly this object and no later one of its name.
trait Exactly {
    fn preconditions(&self) -> kube::api::DeleteParams;
}

impl Exactly for DynamicObject {
    fn preconditions(&self) -> kube::api::DeleteParams {
        kube::api::DeleteParams {
            preconditions: Some(kube::api::Preconditions {
                uid: self.uid(),
                resource_version: None,
            }),
            ..kube::api::DeleteParams::default()
        }
    }
}

/// Returns the entry that a node names; `None` when it names none.
pub fn own(node: &Node) -> Option<Own> {
    let name = if !node.auto_register_group.is_empty() {
        registered_name(node)
    } else if !node.workload_entry.is_empty() {
        node.workload_entry.clone()
    } else {
        return None;
    };
    Some(Own {
        namespace: node.namespace.clone(),
        name,
    })
}

/// Whoever has no service account in its entry may have any of the namespace.
fn matches_identity(own: &Own, account: &str, identity: &Identity) -> Result<(), Status> {
    let Own { namespace, name } = own;
    let is_account = account.is_empty() || account == identity.service_account;
    if *namespace == identity.namespace && is_account {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "registration of WorkloadEntry {namespace}/{name} mismatch: \
         it is for service account {namespace}/{account}, the proxy is {identity}"
    )))
}

fn is_looked_after(entry: &DynamicObject) -> bool {
    entry.annotations().contains_key(GROUP) || model::is_health_checked(entry)
}

fn failed(error: &kube::Error) -> Status {
    Status::unavailable(format!("the cluster: {error}"))
}
