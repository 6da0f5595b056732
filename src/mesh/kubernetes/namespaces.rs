//! Namespaces: whether they exist, and making those that do not.
//!
//! Nothing here deletes one: whatever else lives in it would go as well.

use std::collections::BTreeSet;

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use super::{Kubernetes, KubernetesError, MANAGER, attempt, together};
use crate::mesh::Object;

impl Kubernetes {
    /// Reads a namespace; `None` when it does not exist.
    pub(super) async fn namespace(&self, name: &str) -> Result<Option<Namespace>, KubernetesError> {
        let api: Api<Namespace> = Api::all(self.client().await?.clone());
        let action = format!("read Namespace {name}");
        attempt(&action, || api.get_opt(name)).await
    }

    /// Returns those that do not exist and are made with the first object in them.
    ///
    /// # Errors
    /// When the cluster does not answer, or this user may not look.
    pub async fn absent_namespaces<'a>(
        &self,
        names: &BTreeSet<&'a str>,
    ) -> Result<BTreeSet<&'a str>, KubernetesError> {
        if !self.cluster.create_namespaces {
            return Ok(BTreeSet::new());
        }
        let mut calls = Vec::new();
        for &name in names {
            let absent = async move {
                let found = self.namespace(name).await?;
                Ok(found.is_none().then_some(name))
            };
            calls.push(absent.boxed());
        }
        Ok(together(calls).await?.into_iter().flatten().collect())
    }

    /// Makes the namespaces of objects that do not exist, where the cluster's settings say so.
    pub(super) async fn make_namespaces(&self, objects: &[Object]) -> Result<(), KubernetesError> {
        if !self.cluster.create_namespaces {
            return Ok(());
        }
        for object in objects {
            let name = object.reference.namespace.as_str();
            // Held all the time: who needs the same one waits for it, and does not ask again.
            let mut known = self.namespaces.lock().await;
            if known.contains(name) {
                continue;
            }
            if self.namespace(name).await?.is_none() {
                self.make_namespace(name).await?;
            }
            known.insert(name.to_owned());
        }
        Ok(())
    }

    async fn make_namespace(&self, name: &str) -> Result<(), KubernetesError> {
        let api: Api<Namespace> = Api::all(self.client().await?.clone());
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let action = format!("create Namespace {name}");
        // No label of the stack: what else comes to live in it outlives the stack.
        let how = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        match attempt(&action, || api.create(&how, &namespace)).await {
            Ok(_) => Ok(()),
            // Somebody was faster, or an answer was lost.
            Err(error) if error.code() == Some(409) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
