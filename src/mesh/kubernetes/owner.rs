//! The owner chain: a WorkloadGroup owns the entries of its fleet's machines, so that the API server
//! deletes these with it (<https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/>).

use kube::core::DynamicObject;
use meshvm_provider_api::labels;
use serde_json::{Value, json};

use super::{FEW, Kubernetes, lock, resource};
use crate::mesh::{MACHINE_LABEL, MeshError, Object, ObjectRef, Seen};

const GROUP: &str = "WorkloadGroup";

impl Kubernetes {
    /// Returns the reference of the WorkloadGroup that owns an entry; `None` when none does. Only
    /// members have one: a group that goes would take the entries of others with it.
    pub(super) async fn owner(&self, object: &Object) -> Result<Option<Value>, MeshError> {
        match owning_fleet(object) {
            Some(fleet) => self.group_owner(&object.reference.namespace, fleet).await,
            None => Ok(None),
        }
    }

    /// Returns the reference of a fleet's WorkloadGroup as an owner; `None` when there is none.
    pub(super) async fn group_owner(
        &self,
        namespace: &str,
        group: &str,
    ) -> Result<Option<Value>, MeshError> {
        let key = (namespace.to_owned(), group.to_owned());
        let remembered = lock(&self.groups).get(&key).cloned();
        let uid = match remembered {
            Some(uid) => Some(uid),
            None => {
                let resource = resource(GROUP)?;
                let found = self.known(&resource, namespace, &[group], FEW).await?;
                found.into_values().next().and_then(|known| known.uid)
            }
        };
        let Some(uid) = uid else {
            return Ok(None);
        };
        lock(&self.groups).insert(key, uid.clone());
        Ok(Some(json!({
            "apiVersion": resource(GROUP)?.api_version,
            "kind": GROUP,
            "name": group,
            "uid": uid,
            "controller": true,
        })))
    }

    pub(super) fn remember_group(&self, object: &DynamicObject) {
        let kind = object.types.as_ref().map(|types| types.kind.as_str());
        let metadata = &object.metadata;
        if let (Some(GROUP), Some(namespace), Some(name), Some(uid)) =
            (kind, &metadata.namespace, &metadata.name, &metadata.uid)
        {
            let key = (namespace.clone(), name.clone());
            lock(&self.groups).insert(key, uid.clone());
        }
    }

    /// Marks the entries that lost the owner that a listing of the same stack has.
    pub(super) fn find_lost_owners(&self, seen: &mut [Seen]) {
        let groups = lock(&self.groups);
        for Seen {
            object, lost_owner, ..
        } in seen
        {
            let Some(fleet) = owning_fleet(object) else {
                continue;
            };
            let namespace = object.reference.namespace.clone();
            let Some(uid) = groups.get(&(namespace.clone(), fleet.to_owned())) else {
                continue;
            };
            let owners = object.body.pointer("/metadata/ownerReferences");
            let mut owners = owners.and_then(Value::as_array).into_iter().flatten();
            if owners.all(|owner| owner["uid"] != json!(uid)) {
                *lost_owner = Some(ObjectRef {
                    namespace,
                    kind: GROUP.to_owned(),
                    name: fleet.to_owned(),
                });
            }
        }
    }
}

/// Returns the fleet whose WorkloadGroup owns an object; `None` when none does.
fn owning_fleet(object: &Object) -> Option<&str> {
    object.body.pointer("/spec/serviceAccount")?;
    object.label(MACHINE_LABEL)?;
    object.label(labels::FLEET)
}
