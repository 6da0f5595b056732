//! One object of a cluster: applied, or deleted.

use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::core::DynamicObject;
use meshvm_provider_api::labels;
use serde_json::{Value, json};

use super::conflict::{conflict, is_conflict};
use super::{FEW, Known, Kubernetes, MANAGER, attempt, resource};
use crate::mesh::{MeshError, Object, ObjectRef};

/// How often an object is looked at again that changes while it is deleted: its machine reports its
/// health.
const LOOKS: u32 = 5;

/// Returns the finalizers that keep an object which is being deleted; `None` when it is not
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/>).
pub(super) fn ending(metadata: &ObjectMeta) -> Option<Vec<String>> {
    metadata.deletion_timestamp.as_ref()?;
    Some(metadata.finalizers.clone().unwrap_or_default())
}

fn is_labelled(stack: &str, object: &DynamicObject) -> bool {
    let labels = object.metadata.labels.as_ref();
    let label = labels.and_then(|labels| labels.get(labels::STACK));
    label.is_some_and(|label| label == stack)
}

impl Kubernetes {
    /// Applies an object.
    ///
    /// # Errors
    /// [`MeshError::Ending`] where it is being deleted, and those of the cluster.
    pub(super) async fn apply(
        &self,
        stack: &str,
        object: &Object,
        known: Option<&Known>,
    ) -> Result<(), MeshError> {
        let ObjectRef {
            namespace,
            kind,
            name,
        } = &object.reference;
        let resource = resource(kind)?;
        let client = self.client().await?.clone();
        let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
        let mut body = object.body.clone();
        if let Some(uid) = known.and_then(|known| known.uid.as_deref()) {
            // If that object was replaced by another meanwhile, the server refuses.
            body["metadata"]["uid"] = json!(uid);
        }
        if let Some(owner) = self.owner(object).await? {
            body["metadata"]["ownerReferences"] = json!([owner]);
        }
        let mut how = PatchParams::apply(MANAGER).validation_strict();
        // What is released keeps its content, whoever holds it.
        how.force = self.logins.force_conflicts || !object.is_of(stack);
        if known.is_some() && object.is_of(stack) {
            self.make_room(&api, object, &body, &how).await?;
        }
        let action = format!("apply {}", object.reference);
        let patch = Patch::Apply(&body);
        match attempt(&action, || api.patch(name, &how, &patch)).await {
            Ok(applied) => match ending(&applied.metadata) {
                None => {
                    self.remember_group(&applied);
                    if !object.is_of(stack) && is_labelled(stack, &applied) {
                        self.unlabel(&api, object, &applied).await?;
                    }
                    Ok(())
                }
                // The server takes it all the same, and then it is gone.
                Some(kept_by) => Err(MeshError::Ending {
                    object: object.reference.clone(),
                    kept_by,
                }),
            },
            Err(error) if is_conflict(&error) => {
                let live = attempt(&action, || api.get(name)).await?;
                let live = serde_json::to_value(live).unwrap_or_default();
                Err(conflict(object, &error, &live).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes away what makes an object the stack's, where somebody else wrote that too: an apply
    /// leaves to others what they have.
    async fn unlabel(
        &self,
        api: &Api<DynamicObject>,
        object: &Object,
        live: &DynamicObject,
    ) -> Result<(), MeshError> {
        let labels = live.metadata.labels.iter().flat_map(|labels| labels.keys());
        let own = labels.filter(|name| name.starts_with("meshvm-"));
        let gone: serde_json::Map<_, _> = own.map(|name| (name.clone(), Value::Null)).collect();
        let uid = live.metadata.uid.as_deref();
        let patch = Patch::Merge(json!({"metadata": {"uid": uid, "labels": gone}}));
        let how = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let action = format!("let go of {}", object.reference);
        let name = object.reference.name.as_str();
        attempt(&action, || api.patch(name, &how, &patch)).await?;
        Ok(())
    }

    /// Deletes an object of the stack's as it was seen; one that is gone is deleted. Returns it when
    /// finalizers keep it.
    ///
    /// # Errors
    /// [`MeshError::Foreign`] when it was handed to somebody else since, and those of the cluster.
    pub(super) async fn remove(
        &self,
        stack: &str,
        reference: ObjectRef,
        mut known: Known,
    ) -> Result<Option<(ObjectRef, Known)>, MeshError> {
        let resource = resource(&reference.kind)?;
        let client = self.client().await?.clone();
        let api: Api<DynamicObject> = Api::namespaced_with(client, &reference.namespace, &resource);
        let action = format!("delete {reference}");
        let mut looks = 1;
        loop {
            let how = DeleteParams {
                preconditions: Some(Preconditions {
                    uid: known.uid.clone(),
                    // Whose it is, is in labels, which change without the id.
                    resource_version: known.version.clone(),
                }),
                ..DeleteParams::background()
            };
            match attempt(&action, || api.delete(&reference.name, &how)).await {
                Ok(answer) => {
                    let left = answer.left().and_then(|left| ending(&left.metadata));
                    return Ok(left.map(|kept_by| {
                        let ending = Some(kept_by);
                        (reference, Known { ending, ..known })
                    }));
                }
                Err(error) if error.code() == Some(404) => return Ok(None),
                Err(error) if error.code() == Some(409) && looks < LOOKS => looks += 1,
                Err(error) => return Err(error.into()),
            }
            let again = std::iter::once(&reference);
            let mut own = self.own(stack, again, Known::is_of, FEW).await?;
            match own.remove(&reference).filter(|now| now.uid == known.uid) {
                Some(now) => known = now,
                None => return Ok(None),
            }
        }
    }
}
