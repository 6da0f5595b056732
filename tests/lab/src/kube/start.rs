//! A fresh cluster: its kinds, and the objects that one has from the first.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::{Api, stamp};
use super::auth::rbac::BOOTSTRAP;
use super::auth::tokens::{About, Bound, Claims, ISSUER, Signer};
use super::kinds::{KindId, crd};
use super::store::{Store, uid};
use super::{ClusterError, Crds, lifecycle, rules};

/// Makes a fresh cluster's API.
///
/// # Errors
///
/// When CRDs cannot be served, or keys not be made.
pub fn api(crds: &Crds, ca_pem: String) -> Result<Api, ClusterError> {
    let served = crds.read()?;
    let mut api = Api {
        store: Store::new(served.kinds.count()),
        kinds: Arc::clone(&served.kinds),
        signer: Signer::new()?,
        chores: std::collections::VecDeque::new(),
        ca_pem,
    };
    let now = Timestamp::now();
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        put(&mut api, namespace, now);
    }
    put(&mut api, own_service(), now);
    for object in crd::documents(BOOTSTRAP)? {
        put(&mut api, object, now);
    }
    for crd in &served.crds {
        let crd = crd::established(crd.clone(), &stamp(now));
        put(&mut api, crd, now);
    }
    lifecycle::run(&mut api, now);
    Ok(api)
}

fn own_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": "10.96.0.1",
            "ports": [{"name": "https", "port": 443, "targetPort": 6443}],
        },
    })
}

/// Keeps an object of the server's own, which nobody manages.
fn put(api: &mut Api, mut object: Value, now: Timestamp) {
    let Some(kind) = kind_of(api, &object) else {
        unreachable!("a fresh cluster has only kinds that are served: {object}");
    };
    object["metadata"]["uid"] = json!(Uuid::new_v4().to_string());
    object["metadata"]["creationTimestamp"] = json!(stamp(now));
    rules::complete(api.kinds.get(kind), &mut object);
    if let Err(refusal) = rules::allocate(api, api.kinds.get(kind), &mut object) {
        unreachable!("a fresh cluster has addresses left: {}", refusal.message);
    }
    let kept = api.store.put(kind, lifecycle::key_of(&object), object);
    lifecycle::after_write(api, kind, &kept);
}

fn kind_of(api: &Api, object: &Value) -> Option<KindId> {
    let text = |field: &str| object[field].as_str();
    api.kinds.of_object(text("apiVersion")?, text("kind")?)
}

/// Returns what the token of an account says, for the API server itself; `None` when there is no
/// such account.
pub fn account_claims(api: &Api, namespace: &str, name: &str, now: Timestamp) -> Option<Claims> {
    let key = (namespace.to_owned(), name.to_owned());
    let account = api.store.get(api.core("serviceaccounts"), &key)?;
    let now = now.as_second();
    Some(Claims {
        aud: vec![ISSUER.to_owned()],
        exp: now + 3600,
        iat: now,
        iss: ISSUER.to_owned(),
        jti: Uuid::new_v4().to_string(),
        about: About {
            namespace: namespace.to_owned(),
            serviceaccount: Bound {
                name: name.to_owned(),
                uid: uid(account)?.to_owned(),
            },
            secret: None,
        },
        nbf: now,
        sub: format!("system:serviceaccount:{namespace}:{name}"),
    })
}
