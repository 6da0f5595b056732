//! Tokens for machines: each bound to a Secret of that machine, so that deleting it revokes the token.
//!
//! The token is in the answer of one call and nowhere else: it is neither kept nor logged.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use meshvm_provider_api::labels;
use secrecy::SecretString;
use serde_json::json;

use super::{Kubernetes, KubernetesError, MANAGER, attempt};
use crate::mesh::{MACHINE_LABEL, MeshError, TokenFor, secret_ref};

/// The audience of tokens that the control plane takes.
const AUDIENCE: &str = "istio-ca";

impl Kubernetes {
    pub(super) async fn make_token(
        &self,
        wanted: &TokenFor<'_>,
    ) -> Result<SecretString, MeshError> {
        let bound = self.make_secret(wanted).await?;
        let account = wanted.service_account;
        self.request_token(wanted.namespace, account, Some(bound), wanted.ttl)
            .await
    }

    /// Makes a token that no machine has, as istioctl does: nothing but time ends it.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub async fn request_token(
        &self,
        namespace: &str,
        account: &str,
        bound: Option<BoundObjectReference>,
        ttl: Duration,
    ) -> Result<SecretString, MeshError> {
        let request = token_request(account, bound, ttl);
        let client = self.client().await?.clone();
        let api: Api<ServiceAccount> = Api::namespaced(client, namespace);
        let action = format!("make a token of ServiceAccount {namespace}/{account}");
        let how = PostParams::default();
        let made = attempt(&action, || {
            api.create_token_request(account, &how, &request)
        })
        .await
        .map_err(|error| match is_without_account(&error) {
            true => KubernetesError::NoAccount {
                namespace: namespace.to_owned(),
                account: account.to_owned(),
            },
            false => error,
        })?;
        match made.status.map(|status| status.token) {
            Some(token) if !token.is_empty() => Ok(token.into()),
            Some(_) | None => Err(KubernetesError::Incomplete {
                action,
                missing: "token",
            }
            .into()),
        }
    }

    /// Makes the Secret of a machine, or takes the one that there is: a call that made it before may
    /// have come to a machine that boots with its token.
    async fn make_secret(&self, wanted: &TokenFor<'_>) -> Result<BoundObjectReference, MeshError> {
        let namespace = wanted.namespace;
        let name = secret_ref(namespace, wanted.machine).name;
        let mut body = json!({
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {
                    labels::STACK: wanted.stack,
                    labels::FLEET: wanted.fleet,
                    MACHINE_LABEL: wanted.machine,
                },
            },
            "type": "Opaque",
        });
        if let Some(owner) = self.group_owner(namespace, wanted.fleet).await? {
            body["metadata"]["ownerReferences"] = json!([owner]);
        }
        let secret: Secret =
            serde_json::from_value(body).map_err(|_| KubernetesError::Incomplete {
                action: format!("make Secret {namespace}/{name}"),
                missing: "usable name",
            })?;
        let api: Api<Secret> = Api::namespaced(self.client().await?.clone(), namespace);
        let how = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let action = format!("make Secret {namespace}/{name}");
        let uid = match attempt(&action, || api.create(&how, &secret)).await {
            Ok(made) => made.metadata.uid,
            // Secrets may not be read. Without an id, the server takes the one of that name.
            Err(error) if error.code() == Some(409) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Secret".to_owned()),
            name: Some(name),
            uid,
        })
    }

    /// Deletes the Secret of a machine, and with it revokes its token; one that is gone is deleted.
    pub(super) async fn remove_secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<(), KubernetesError> {
        let api: Api<Secret> = Api::namespaced(self.client().await?.clone(), namespace);
        let action = format!("delete Secret {namespace}/{name}");
        let how = DeleteParams::background();
        match attempt(&action, || api.delete(name, &how)).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(404) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Returns whether the account is what is not there; it may be what the token is bound to.
fn is_without_account(error: &KubernetesError) -> bool {
    match error {
        KubernetesError::Refused { status, .. } => {
            let details = status.details.as_ref();
            status.code == 404 && details.is_some_and(|found| found.kind == "serviceaccounts")
        }
        _ => false,
    }
}

fn token_request(
    account: &str,
    bound: Option<BoundObjectReference>,
    ttl: Duration,
) -> TokenRequest {
    let mut request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()],
            bound_object_ref: bound,
            expiration_seconds: Some(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)),
        },
        ..TokenRequest::default()
    };
    request.metadata.name = Some(account.to_owned());
    request
}
