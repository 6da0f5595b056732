//! What an installation of Istio leaves in a cluster, as far as others read it.
//!
//! The names and keys are those of the chart `manifests/charts/istio-control` and of the sample
//! `samples/multicluster/gen-eastwest-gateway.sh` in istio/istio. The injector's webhooks are there as
//! others find them, by which revision a tag stands for; no pod ever calls one.

use std::fmt::Debug;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::ca::Ca;
use super::{Gateway, IstiodError, IstiodOptions};

/// Who writes.
pub const MANAGER: &str = "istiod";
/// The Secret of the authority.
const CA_SECRET: &str = "istio-ca-secret";
/// The ConfigMap of the root certificate, in every namespace.
pub const ROOT_CONFIG_MAP: &str = "istio-ca-root-cert";
/// The Service through which machines reach the control plane.
pub const GATEWAY: &str = "istio-eastwestgateway";
/// The label of the network that a namespace or a gateway is in.
const NETWORK_LABEL: &str = "topology.istio.io/network";

/// Installs everything; returns the authority, which is the one from before if there was one.
///
/// # Errors
///
/// When the cluster refuses something.
pub async fn install(options: &IstiodOptions) -> Result<Ca, IstiodError> {
    let client = &options.kubernetes;
    let namespace = options.namespace.as_str();
    let mut labels = json!({});
    if let Some(network) = &options.network {
        labels[NETWORK_LABEL] = json!(network);
    }
    let object = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": namespace, "labels": labels },
    });
    applied(&Api::<Namespace>::all(client.clone()), namespace, &object).await?;
    let ca = authority(options).await?;
    let mesh = serde_saphyr::to_string(&mesh_config(options))?;
    let mesh = config_map(&options.object("istio"), "mesh", &mesh);
    apply_map(client, namespace, &mesh).await?;
    let injector = options.object("istio-sidecar-injector");
    let injector = config_map(&injector, "values", &values(options).to_string());
    apply_map(client, namespace, &injector).await?;
    gateway(options).await?;
    let webhooks: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let tags = options.tags.iter().map(|tag| Some(tag.as_str()));
    for tag in [None].into_iter().chain(tags) {
        let object = injector_webhooks(options, tag);
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        applied(&webhooks, name, &object).await?;
    }
    Ok(ca)
}

/// The webhooks that have pods injected, of the revision or of a tag for it: the chart's
/// `templates/mutatingwebhook.yaml` and `templates/revision-tags-mwc.yaml`, with one webhook of four.
fn injector_webhooks(options: &IstiodOptions, tag: Option<&str>) -> Value {
    let revision = options.revision.as_deref().unwrap_or("default");
    let mut name = match tag {
        Some(tag) => format!("istio-revision-tag-{tag}"),
        None => options.object("istio-sidecar-injector"),
    };
    if options.namespace != "istio-system" {
        name = format!("{name}-{}", options.namespace);
    }
    let mut labels = json!({ "app": "sidecar-injector", "istio.io/rev": revision });
    if let Some(tag) = tag {
        labels["istio.io/tag"] = json!(tag);
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": name, "labels": labels },
        "webhooks": [{
            "name": "rev.namespace.sidecar-injector.istio.io",
            "clientConfig": { "service": {
                "name": options.object("istiod"),
                "namespace": options.namespace,
                "path": "/inject",
                "port": 443,
            } },
            "sideEffects": "None",
            "rules": [{
                "operations": ["CREATE"],
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": ["pods"],
            }],
            "admissionReviewVersions": ["v1"],
            "namespaceSelector": { "matchExpressions": [
                { "key": "istio.io/rev", "operator": "In", "values": [tag.unwrap_or(revision)] },
                { "key": "istio-injection", "operator": "DoesNotExist" },
            ] },
        }],
    })
}

/// Puts the root certificate into a namespace.
///
/// # Errors
///
/// When the cluster refuses it.
pub async fn root_cert(client: &Client, namespace: &str, root: &str) -> Result<(), IstiodError> {
    let object = config_map(ROOT_CONFIG_MAP, "root-cert.pem", root);
    apply_map(client, namespace, &object).await
}

fn mesh_config(options: &IstiodOptions) -> Value {
    json!({
        "defaultConfig": {
            "discoveryAddress": format!("{}:15012", options.host()),
            "meshId": options.mesh_id,
            "proxyMetadata": options.proxy_metadata,
        },
        "enablePrometheusMerge": true,
        "rootNamespace": options.namespace,
        "trustDomain": options.trust_domain,
    })
}

fn values(options: &IstiodOptions) -> Value {
    json!({
        "global": {
            "istioNamespace": options.namespace,
            "meshID": options.mesh_id,
            "multiCluster": { "clusterName": options.cluster_id, "enabled": false },
            "network": options.network.clone().unwrap_or_default(),
        },
        "revision": options.revision.clone().unwrap_or_default(),
    })
}

async fn authority(options: &IstiodOptions) -> Result<Ca, IstiodError> {
    let secrets: Api<Secret> = Api::namespaced(options.kubernetes.clone(), &options.namespace);
    if let Some(secret) = secrets.get_opt(CA_SECRET).await? {
        let data = secret.data.unwrap_or_default();
        let text = |key: &str| {
            let bytes = data.get(key).map(|bytes| bytes.0.clone());
            bytes.and_then(|bytes| String::from_utf8(bytes).ok())
        };
        if let (Some(root), Some(key)) = (text("ca-cert.pem"), text("ca-key.pem")) {
            return Ok(Ca::kept(&options.trust_domain, root, &key)?);
        }
    }
    let ca = Ca::generate(&options.trust_domain, OffsetDateTime::now_utc())?;
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": CA_SECRET, "namespace": options.namespace },
        "type": "istio.io/ca-root",
        "data": {
            "ca-cert.pem": STANDARD.encode(ca.root_pem()),
            "ca-key.pem": STANDARD.encode(ca.key_pem()),
        },
    });
    applied(&secrets, CA_SECRET, &object).await?;
    Ok(ca)
}

/// The Service of the east-west gateway, and where its load balancer is.
async fn gateway(options: &IstiodOptions) -> Result<(), IstiodError> {
    let mut labels = json!({ "app": GATEWAY, "istio": "eastwestgateway" });
    if let Some(network) = &options.network {
        labels[NETWORK_LABEL] = json!(network);
    }
    let port = |name: &str, port: u16| json!({ "name": name, "port": port, "targetPort": port });
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": GATEWAY, "namespace": options.namespace, "labels": labels },
        "spec": {
            "type": "LoadBalancer",
            "selector": { "istio": "eastwestgateway" },
            "ports": [
                port("status-port", 15021),
                port("tls", 15443),
                port("tls-istiod", 15012),
                port("tls-webhook", 15017),
            ],
        },
    });
    let services: Api<Service> = Api::namespaced(options.kubernetes.clone(), &options.namespace);
    applied(&services, GATEWAY, &object).await?;
    let ingress = match &options.gateway {
        Gateway::Ip(ip) => json!([{ "ip": ip }]),
        Gateway::Hostname(name) => json!([{ "hostname": name }]),
        Gateway::None => json!([]),
    };
    object["status"] = json!({ "loadBalancer": { "ingress": ingress } });
    if let Some(object) = object.as_object_mut() {
        object.remove("spec");
    }
    let params = PatchParams::apply(MANAGER).force();
    services
        .patch_status(GATEWAY, &params, &Patch::Apply(&object))
        .await?;
    Ok(())
}

fn config_map(name: &str, key: &str, text: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name },
        "data": { key: text },
    })
}

async fn apply_map(client: &Client, namespace: &str, object: &Value) -> Result<(), IstiodError> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    applied(&maps, name, object).await
}

async fn applied<K>(api: &Api<K>, name: &str, object: &Value) -> Result<(), IstiodError>
where
    K: Clone + DeserializeOwned + Serialize + Debug,
{
    let params = PatchParams::apply(MANAGER).force();
    api.patch(name, &params, &Patch::Apply(object)).await?;
    Ok(())
}
