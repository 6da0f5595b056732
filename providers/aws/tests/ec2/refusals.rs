//! What goes wrong: throttling, rights, endpoints; and that nothing is asked that the policy lacks.

use std::collections::BTreeSet;

use meshvm_ec2::{Bucket, Manners, Refusal, nowhere};
use meshvm_provider_api::{ErrorClass, Growth, Query};
use meshvm_provider_aws::policy::{self, ACTIONS};
use serde_json::json;

use crate::ground::{Ground, REGION, STACK, batch, ids};

#[tokio::test(flavor = "multi_thread")]
async fn being_throttled_slows_down_and_is_no_error() {
    let mut manners = Manners::default();
    let bucket = Bucket::new(1, 4);
    manners.buckets.insert("RunInstances".to_owned(), bucket);
    let ground = Ground::with(manners).await;
    let template = ground.template(&json!({})).await;
    for _ in 0..4 {
        // No layer retries here: the provider itself does.
        ground.make(&template, 1).await;
    }
    assert!(ground.proxy.throttled() > 0, "nothing was throttled");
    assert_eq!(ground.list(&template).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_their_class_and_what_to_do() {
    let ground = Ground::new().await;
    let template = ground.template(&json!({})).await;
    for (code, status, class, hint) in [
        (
            "VcpuLimitExceeded",
            400,
            ErrorClass::Quota,
            "Service Quotas",
        ),
        (
            "UnauthorizedOperation",
            403,
            ErrorClass::PermissionDenied,
            "doctor --iam",
        ),
        ("InvalidParameterValue", 400, ErrorClass::Invalid, ""),
        ("Unavailable", 503, ErrorClass::Unavailable, ""),
    ] {
        let refusal = Refusal::new("RunInstances", status, code, "No.");
        ground.proxy.behave(|now| now.refusals.push(refusal));
        let error = ground.create(&batch(&template, 1)).await.unwrap_err();
        assert_eq!(error.class, class, "{code}");
        assert!(error.message.contains(code), "{}", error.message);
        assert!(error.hint.unwrap_or_default().contains(hint), "{code}");
    }
    assert_eq!(ground.list(&template).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_a_change_does_not_find_yet_is_not_gone() {
    let ground = Ground::new().await;
    let template = ground.template(&json!({"tags": {"a": "1"}})).await;
    let made = ground.make(&template, 1).await;
    let refusal = Refusal::new("CreateTags", 400, "InvalidInstanceID.NotFound", "No.");
    ground.proxy.behave(|now| now.refusals.push(refusal));
    let after = ground.template(&json!({"tags": {"a": "2"}})).await;
    let error = ground.update(&after, &made, &["tags.a"]).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unavailable, "{error}");
    ground.update(&after, &made, &["tags.a"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_answers_is_told() {
    let ground = Ground::new().await;
    let endpoint = format!("http://{}", nowhere());
    let named = ground.named(&json!({"endpoint": endpoint}));
    let provider = ground.open(&named).await;
    let answer = provider.observe(&Query::Stack(STACK.to_owned())).await;
    let error = answer.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unavailable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_in_the_policy_and_counted() {
    let ground = Ground::new().await;
    let parameters = [
        ("Action", "CreateInstanceProfile"),
        ("Version", "2010-05-08"),
        ("InstanceProfileName", "web"),
    ];
    ground.proxy.ask("iam", REGION, &parameters).await.unwrap();
    let block =
        json!({"rootVolume": {"size": "20GiB"}, "tags": {"a": "1"}, "instanceProfile": "web"});
    let before = ground.template(&block).await;
    let provider = ground.open(&before).await;
    let one = Growth::from([(before.zones[0].clone(), 1)]);
    provider.check(&before, &one).await.unwrap();
    let made = ground.make(&before, 1).await;
    let ssm =
        json!({"ssm": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"});
    let after = json!({
        "image": ssm, "instanceType": "c7g.large", "metadata": {"hopLimit": 2},
        "securityGroups": [],
    });
    let after = ground.template(&after).await;
    let attributes = ["instanceType", "metadata.hopLimit", "tags.a"];
    ground.update(&after, &made, &attributes).await.unwrap();
    ground.list(&after).await;
    provider.delete(STACK, &ids(&made)).await.unwrap();
    let on_the_wire = ground.proxy.calls();
    let known: BTreeSet<&str> = ACTIONS.iter().map(|action| action.as_str()).collect();
    let unknown: Vec<_> = on_the_wire
        .keys()
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?} are not in the policy");
    assert!(on_the_wire.len() >= 15, "{on_the_wire:?}");
    // What is counted for the user is what went over the wire.
    let counted = ground.requests.snapshot();
    let counted: std::collections::BTreeMap<String, u64> = counted
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect();
    assert_eq!(counted, on_the_wire);
    assert!(policy::least()["Statement"].is_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_decoded_where_that_is_allowed() {
    let ground = Ground::new().await;
    let template = ground.template(&json!({})).await;
    let code = "Encoded authorization failure message: abc_DEF-1";
    let refuse = || {
        let said = format!("You are not authorized. {code}");
        let refusal = Refusal::new("RunInstances", 403, "UnauthorizedOperation", &said);
        ground.proxy.behave(|now| now.refusals.push(refusal));
    };
    // As the service writes it, with what it decoded in it.
    let decoded = "{&quot;allowed&quot;:false,&quot;explicitDeny&quot;:true,&quot;context&quot;:\
        {&quot;action&quot;:&quot;ec2:RunInstances&quot;,&quot;resource&quot;:&quot;arn:aws:ec2:eu-west-1:1:subnet/s&quot;}}";
    let answer = format!(
        "<DecodeAuthorizationMessageResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <DecodeAuthorizationMessageResult><DecodedMessage>{decoded}</DecodedMessage>\
         </DecodeAuthorizationMessageResult></DecodeAuthorizationMessageResponse>"
    );
    let action = "DecodeAuthorizationMessage".to_owned();
    ground
        .proxy
        .behave(|now| drop(now.answers.insert(action.clone(), answer)));
    refuse();
    let error = ground.create(&batch(&template, 1)).await.unwrap_err();
    let why = "ec2:RunInstances on arn:aws:ec2:eu-west-1:1:subnet/s is denied";
    assert!(error.message.ends_with(why), "{}", error.message);
    // Where it is not, the refusal is told without what nobody can read.
    ground.proxy.behave(|now| {
        now.answers.clear();
        let refusal = Refusal::new(&action, 403, "AccessDenied", "No.");
        now.refusals.push(refusal);
    });
    refuse();
    let error = ground.create(&batch(&template, 1)).await.unwrap_err();
    assert!(!error.message.contains("abc_DEF"), "{}", error.message);
    assert_eq!(error.class, ErrorClass::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_acted_as_where_the_file_names_one() {
    let ground = Ground::new().await;
    let arn = "arn:aws:iam::123456789012:role/deployer";
    let role = json!({"assumeRole": {"arn": arn, "externalId": "x-7"}});
    let template = ground.template(&role).await;
    assert_eq!(template.scope.access["role"], arn);
    assert!(template.scope.to_string().contains("123456789012"));
    let sent = ground.proxy.sent("AssumeRole").remove(0);
    assert_eq!(sent["RoleArn"], arn);
    assert_eq!(sent["ExternalId"], "x-7");
    assert_eq!(sent["RoleSessionName"], "meshvm");
    ground.make(&template, 1).await;
    assert_eq!(ground.list(&template).await.len(), 1);
}
