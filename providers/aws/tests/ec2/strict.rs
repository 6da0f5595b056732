//! A server that checks signatures and rights: the least policy is enough, and less is refused.

use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use meshvm_ec2::{Manners, Moto, Proxy, xml};
use meshvm_provider_api::{ErrorClass, Growth, Kind, NoPrivateFiles, Query};
use meshvm_provider_aws::{AwsKind, policy};
use serde_json::json;

use crate::ground::{Ground, STACK, batch, ids};

/// How many calls it takes to make the users.
const SETTING_UP: u32 = 5;

async fn iam(proxy: &Proxy, parameters: &[(&str, &str)]) -> String {
    let mut call = vec![("Version", "2010-05-08")];
    call.extend(parameters);
    proxy.ask("iam", "us-east-1", &call).await.unwrap()
}

/// Makes a user, and returns its key and secret.
async fn user(proxy: &Proxy, name: &str) -> (String, String) {
    iam(proxy, &[("Action", "CreateUser"), ("UserName", name)]).await;
    let made = iam(proxy, &[("Action", "CreateAccessKey"), ("UserName", name)]).await;
    let first = |name: &str| xml::texts(&made, name)[0].to_owned();
    (first("AccessKeyId"), first("SecretAccessKey"))
}

fn credentials(key: &str, secret: &str) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new(key, secret, None, None, "test"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_policy_is_enough_and_less_is_refused() {
    let moto = Moto::strict(SETTING_UP);
    let proxy = Proxy::start(moto.address(), Manners::default()).await;
    let (key, secret) = user(&proxy, "meshvm").await;
    let (other_key, other_secret) = user(&proxy, "nobody").await;
    let least = policy::least().to_string();
    let put = [
        ("Action", "PutUserPolicy"),
        ("UserName", "meshvm"),
        ("PolicyName", "least"),
        ("PolicyDocument", &least),
    ];
    iam(&proxy, &put).await;

    let ground = Ground::before(proxy, credentials(&key, &secret)).await;
    let owned = json!({"owned": {"ports": [8080], "from": ["10.0.0.0/8"]}});
    // The server takes signatures for wrong where a value has a blank: of an image by its id,
    // machines need not be told how it was found.
    let image = "ami-0ef3038e9b73a0746";
    let block = json!({"image": image, "tags": {"a": "1"}, "securityGroup": owned});
    let template = ground.template(&block).await;
    let provider = ground.open(&template).await;
    let one = Growth::from([(template.zones[0].clone(), 1)]);
    provider.check(&template, &one).await.unwrap();
    let made = ground.make(&template, 1).await;
    let after = json!({
        "image": image, "tags": {"b": "1"}, "instanceType": "c7g.large",
        "metadata": {"hopLimit": 3},
    });
    let after = ground.template(&after).await;
    let attributes = ["tags.a", "tags.b", "instanceType", "metadata.hopLimit"];
    ground.update(&after, &made, &attributes).await.unwrap();
    assert_eq!(
        ground.differences(&after, &ground.list(&after).await),
        [""; 0]
    );

    for (who, key, secret) in [
        ("without rights", other_key.as_str(), other_secret.as_str()),
        ("with a wrong secret", key.as_str(), "wrong"),
        ("that are none", "AKIANOBODY", "wrong"),
    ] {
        let kind = AwsKind::with_credentials(credentials(key, secret));
        let context = ground.context();
        let opened = kind.open(Some(&template), &template.scope, &context).await;
        let provider = opened.unwrap();
        let listed = provider.observe(&Query::Stack(STACK.to_owned())).await;
        let error = listed.unwrap_err();
        assert_eq!(error.class, ErrorClass::PermissionDenied, "{who}: {error}");
        let created = provider.create(&batch(&template, 1), &NoPrivateFiles).await;
        assert_eq!(
            created.unwrap_err().class,
            ErrorClass::PermissionDenied,
            "{who}"
        );
        let told = format!("{error} {error:?}");
        assert!(!told.contains(secret), "{told}");
    }
    ground.calls();
    provider.delete(STACK, &ids(&made)).await.unwrap();
    assert_eq!(ground.calls()["DeleteSecurityGroup"], 1);
    assert_eq!(ground.list(&after).await, []);
}
