//! Rows about tokens, and about what service accounts may do.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{
    BoundObjectReference, TokenRequest, TokenRequestSpec, TokenReview, TokenReviewSpec,
    TokenReviewStatus,
};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams,
};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::{Lab, object, refusal};

fn asks(seconds: i64, secret: Option<&Secret>) -> TokenRequest {
    TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec!["istio-ca".into()],
            expiration_seconds: Some(seconds),
            bound_object_ref: secret.map(|secret| BoundObjectReference {
                kind: Some("Secret".into()),
                api_version: Some("v1".into()),
                name: Some(secret.name_any()),
                uid: secret.uid(),
            }),
        },
        ..TokenRequest::default()
    }
}

async fn lab_with_account() -> (Lab, Api<ServiceAccount>) {
    let lab = Lab::new().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(lab.client.clone(), "ns");
    let account = object(json!({"metadata": {"name": "vm"}}));
    accounts
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    (lab, accounts)
}

async fn token(accounts: &Api<ServiceAccount>, seconds: i64, secret: Option<&Secret>) -> String {
    let (params, asked) = (PostParams::default(), asks(seconds, secret));
    let made = accounts.create_token_request("vm", &params, &asked).await;
    made.unwrap().status.unwrap().token
}

async fn review(client: &Client, token: &str, audience: &str) -> TokenReviewStatus {
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let asked = TokenReview {
        spec: TokenReviewSpec {
            token: Some(token.to_owned()),
            audiences: Some(vec![audience.to_owned()]),
        },
        ..TokenReview::default()
    };
    let answered = reviews
        .create(&PostParams::default(), &asked)
        .await
        .unwrap();
    answered.status.unwrap()
}

/// Rows: TokenRequest with an audience; for 60 s; for an absent account.
#[tokio::test]
async fn tokens_are_asked_for() {
    let (_lab, accounts) = lab_with_account().await;
    let token = token(&accounts, 600, None).await;
    let claims = token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["aud"], json!(["istio-ca"]));
    assert_eq!(claims["sub"], "system:serviceaccount:ns:vm");
    assert_eq!(
        claims["iss"],
        "https://kubernetes.default.svc.cluster.local"
    );
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        600
    );
    let about = &claims["kubernetes.io"];
    assert_eq!(about["namespace"], "ns");
    assert_eq!(about["serviceaccount"]["name"], "vm");
    let account = accounts.get("vm").await.unwrap();
    assert_eq!(
        about["serviceaccount"]["uid"].as_str(),
        account.uid().as_deref()
    );

    let params = PostParams::default();
    let short = accounts
        .create_token_request("vm", &params, &asks(60, None))
        .await;
    let status = refusal(short);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert_eq!(
        status.message,
        "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: \
         60: may not specify a duration less than 10 minutes"
    );
    let absent = accounts
        .create_token_request("absent", &params, &asks(600, None))
        .await;
    let status = refusal(absent);
    assert_eq!((status.code, status.reason.as_str()), (404, "NotFound"));
    assert_eq!(status.message, "serviceaccounts \"absent\" not found");
}

/// Row: TokenReview. Note 8: a token for `istio-ca` is none for the API server.
#[tokio::test]
async fn tokens_are_reviewed() {
    let (lab, accounts) = lab_with_account().await;
    let token = token(&accounts, 600, None).await;
    let good = review(&lab.client, &token, "istio-ca").await;
    assert_eq!(good.authenticated, Some(true));
    assert_eq!(
        good.audiences.as_deref(),
        Some(&["istio-ca".to_owned()][..])
    );
    let user = good.user.unwrap();
    assert_eq!(
        user.username.as_deref(),
        Some("system:serviceaccount:ns:vm")
    );
    assert!(
        user.groups
            .unwrap()
            .contains(&"system:serviceaccounts:ns".to_owned())
    );

    let other = review(&lab.client, &token, "other").await;
    assert_ne!(other.authenticated, Some(true));
    assert!(other.error.is_some());
    // What another key signed is nothing.
    let (_other, others) = lab_with_account().await;
    let foreign = self::token(&others, 600, None).await;
    let foreign = review(&lab.client, &foreign, "istio-ca").await;
    assert_ne!(foreign.authenticated, Some(true));

    let kubeconfig = lab.cluster.kubeconfig();
    let kubeconfig = kubeconfig.replace(lab.cluster.admin_token(), &token);
    let config = kube::config::Kubeconfig::from_yaml(&kubeconfig).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options).await;
    let client = Client::try_from(config.unwrap()).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "ns");
    assert_eq!(refusal(maps.list(&ListParams::default()).await).code, 401);
}

/// A token ends with its time, with its Secret, and with its account.
#[tokio::test]
async fn tokens_end() {
    let (lab, accounts) = lab_with_account().await;
    let secrets: Api<Secret> = Api::namespaced(lab.client.clone(), "ns");
    let params = PostParams::default();
    let secret = object(json!({"metadata": {"name": "m"}}));
    let made = secrets.create(&params, &secret).await.unwrap();
    let bound = token(&accounts, 3_600, Some(&made)).await;
    let short = token(&accounts, 600, None).await;
    let authenticated = async |token: &str| {
        let status = review(&lab.client, token, "istio-ca").await;
        status.authenticated == Some(true)
    };
    assert!(authenticated(&bound).await && authenticated(&short).await);
    lab.cluster.advance(601);
    assert!(authenticated(&bound).await && !authenticated(&short).await);
    secrets.delete("m", &DeleteParams::default()).await.unwrap();
    assert!(!authenticated(&bound).await);
    // A Secret of the same name is another one.
    secrets.create(&params, &secret).await.unwrap();
    assert!(!authenticated(&bound).await);
    let status = refusal(
        accounts
            .create_token_request("vm", &params, &asks(600, Some(&made)))
            .await,
    );
    assert_eq!(status.code, 409);
    let mut absent = made;
    absent.metadata.name = Some("absent".into());
    let asked = asks(600, Some(&absent));
    let status = refusal(accounts.create_token_request("vm", &params, &asked).await);
    assert_eq!(
        (status.code, status.message.as_str()),
        (404, "secrets \"absent\" not found")
    );

    let last = token(&accounts, 600, None).await;
    assert!(authenticated(&last).await);
    accounts
        .delete("vm", &DeleteParams::default())
        .await
        .unwrap();
    assert!(!authenticated(&last).await);
}

/// The roles that an account is bound to are all that it may do.
#[tokio::test]
async fn roles_are_kept_to() {
    let (lab, _accounts) = lab_with_account().await;
    let client = lab
        .cluster
        .service_account_client("ns", "vm")
        .await
        .unwrap();
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "WorkloadEntry");
    let resource = ApiResource::from_gvk_with_plural(&kind, "workloadentries");
    let entries: Api<DynamicObject> = Api::namespaced_with(client.clone(), "ns", &resource);
    let status = refusal(entries.list(&ListParams::default()).await);
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        status.message,
        "workloadentries.networking.istio.io is forbidden: User \"system:serviceaccount:ns:vm\" \
         cannot list resource \"workloadentries\" in API group \"networking.istio.io\" in the \
         namespace \"ns\""
    );
    let roles: Api<Role> = Api::namespaced(lab.client.clone(), "ns");
    let role = object(json!({
        "metadata": {"name": "r"},
        "rules": [
            {"apiGroups": ["networking.istio.io"], "resources": ["workloadentries"],
             "verbs": ["list", "get"]},
            {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"],
             "resourceNames": ["vm"]},
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]},
        ],
    }));
    roles.create(&PostParams::default(), &role).await.unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(lab.client.clone(), "ns");
    let binding = object(json!({
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "vm", "namespace": "ns"}],
    }));
    bindings
        .create(&PostParams::default(), &binding)
        .await
        .unwrap();

    entries.list(&ListParams::default()).await.unwrap();
    let everywhere: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let status = refusal(everywhere.list(&ListParams::default()).await);
    assert!(
        status.message.ends_with("at the cluster scope"),
        "{}",
        status.message
    );
    let status = refusal(entries.get_status("w").await);
    assert!(
        status
            .message
            .contains("resource \"workloadentries/status\"")
    );

    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "ns");
    let params = PostParams::default();
    accounts
        .create_token_request("vm", &params, &asks(600, None))
        .await
        .unwrap();
    let other = accounts
        .create_token_request("default", &params, &asks(600, None))
        .await;
    let status = refusal(other);
    assert_eq!(
        status.message,
        "serviceaccounts \"default\" is forbidden: User \"system:serviceaccount:ns:vm\" cannot \
         create resource \"serviceaccounts/token\" in API group \"\" in the namespace \"ns\""
    );
    // Who may patch may not apply what is not there yet.
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "ns");
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let apply = kube::api::PatchParams::apply("m");
    let applied = maps
        .patch("a", &apply, &kube::api::Patch::Apply(&body))
        .await;
    assert!(refusal(applied).message.contains("cannot create resource"));

    let reviews: Api<SelfSubjectAccessReview> = Api::all(client);
    for (verb, allowed) in [("list", true), ("delete", false)] {
        let asked = object(json!({"metadata": {}, "spec": {"resourceAttributes": {
            "verb": verb, "group": "networking.istio.io", "resource": "workloadentries",
            "namespace": "ns"}}}));
        let answered = reviews.create(&params, &asked).await.unwrap();
        assert_eq!(answered.status.unwrap().allowed, allowed, "{verb}");
    }
}
