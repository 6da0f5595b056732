//! Rows about server-side apply.

use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams, PostParams, ValidationDirective};
use serde_json::{Value, json};

use super::{Lab, object, refusal};

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": data})
}

async fn apply(lab: &Lab, params: PatchParams, map: &Value) -> Result<ConfigMap, kube::Error> {
    lab.maps().patch("s", &params, &Patch::Apply(map)).await
}

/// Rows: SSA creates; the same again; another manager with another value; force; a field that is
/// left out.
#[tokio::test]
async fn fields_have_owners() {
    let lab = Lab::new().await;
    let m1 = || PatchParams::apply("m1");
    let both = map(json!({"k": "1", "q": "2"}));
    let made = apply(&lab, m1(), &both).await.unwrap();
    let managed = serde_json::to_value(made.managed_fields()).unwrap();
    assert_eq!(managed[0]["manager"], "m1");
    assert_eq!(managed[0]["operation"], "Apply");
    assert_eq!(
        managed[0]["fieldsV1"],
        json!({"f:data": {"f:k": {}, "f:q": {}}})
    );

    let again = apply(&lab, m1(), &both).await.unwrap();
    assert_eq!(again.resource_version(), made.resource_version());

    let other = map(json!({"k": "9"}));
    let status = refusal(apply(&lab, PatchParams::apply("m2"), &other).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"m1\": .data.k"
    );

    let taken = apply(&lab, PatchParams::apply("m2").force(), &other)
        .await
        .unwrap();
    assert_eq!(taken.data, object(json!({"k": "9", "q": "2"})));
    let managed = serde_json::to_value(taken.managed_fields()).unwrap();
    assert_eq!(managed[0]["fieldsV1"], json!({"f:data": {"f:q": {}}}));
    assert_eq!(managed[1]["fieldsV1"], json!({"f:data": {"f:k": {}}}));

    let dropped = apply(&lab, m1(), &map(json!({"r": "3"}))).await.unwrap();
    assert_eq!(dropped.data, object(json!({"k": "9", "r": "3"})));
}

/// A field that two managers apply with the same value stays until both leave it out.
#[tokio::test]
async fn shared_fields_stay_until_nobody_wants_them() {
    let lab = Lab::new().await;
    let both = map(json!({"k": "1", "q": "2"}));
    apply(&lab, PatchParams::apply("m1"), &both).await.unwrap();
    apply(&lab, PatchParams::apply("m2"), &map(json!({"k": "1"})))
        .await
        .unwrap();
    let nothing = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}});
    let left = apply(&lab, PatchParams::apply("m1"), &nothing)
        .await
        .unwrap();
    assert_eq!(left.data, object(json!({"k": "1"})));
    let left = apply(&lab, PatchParams::apply("m2"), &nothing)
        .await
        .unwrap();
    assert_eq!(left.data, None);
    assert!(left.managed_fields().is_empty());
    assert!(left.uid().is_some());
}

/// Those who write in other ways own fields too, and several conflicts are told together.
#[tokio::test]
async fn other_writers_are_owners() {
    let lab = Lab::new().await;
    let params = PostParams {
        field_manager: Some("creator".into()),
        ..PostParams::default()
    };
    let made = object(map(json!({"k": "1", "q": "2"})));
    lab.maps().create(&params, &made).await.unwrap();
    let wanted = map(json!({"k": "3", "q": "4"}));
    let status = refusal(apply(&lab, PatchParams::apply("m1"), &wanted).await);
    assert_eq!(
        status.message,
        "Apply failed with 2 conflicts: conflicts with \"creator\" using v1:\n- .data.k\n- .data.q"
    );
    assert_eq!(status.details.unwrap().causes.len(), 2);
    // What has the value that is applied is shared, not in conflict.
    apply(&lab, PatchParams::apply("m1"), &map(json!({"k": "1"})))
        .await
        .unwrap();
    // Who changes it by a patch takes it.
    let patcher = PatchParams {
        field_manager: Some("patcher".into()),
        ..PatchParams::default()
    };
    let patch = json!({"data": {"k": "5"}});
    lab.maps()
        .patch("s", &patcher, &Patch::Merge(&patch))
        .await
        .unwrap();
    let status = refusal(apply(&lab, PatchParams::apply("m1"), &map(json!({"k": "1"}))).await);
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"patcher\" using v1: .data.k"
    );
}

/// Row: unknown field with fieldValidation=Strict.
#[tokio::test]
async fn an_unknown_field_fits_no_schema() {
    let lab = Lab::new().await;
    let mut params = PatchParams::apply("m");
    params.field_validation = Some(ValidationDirective::Strict);
    let body =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "u"}, "dta": {}});
    let maps: Api<ConfigMap> = lab.maps();
    let status = refusal(maps.patch("u", &params, &Patch::Apply(&body)).await);
    assert_eq!((status.code, status.reason.as_str()), (500, ""));
    assert_eq!(
        status.message,
        "failed to create typed patch object (/u; /v1, Kind=ConfigMap): .dta: field not declared in \
         schema"
    );
    // In every other way of writing, it is a bad request.
    let params = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    lab.make(json!({"metadata": {"name": "u"}})).await;
    let patch = json!({"dta": "x"});
    let status = refusal(maps.patch("u", &params, &Patch::Merge(&patch)).await);
    assert_eq!(status.code, 400);
    assert!(
        status
            .message
            .ends_with("strict decoding error: unknown field \"dta\"")
    );
}

/// Row: SSA of a ServiceAccount.
#[tokio::test]
async fn a_service_account_is_applied() {
    let lab = Lab::new().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(lab.client.clone(), "ns");
    let body = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "vm"},
        "automountServiceAccountToken": false,
    });
    let params = PatchParams::apply("m").force();
    let made = accounts
        .patch("vm", &params, &Patch::Apply(&body))
        .await
        .unwrap();
    assert_eq!(made.name_any(), "vm");
    assert_eq!(made.automount_service_account_token, Some(false));
}

/// Lists with keys are merged item by item; a Service gets what is left out.
#[tokio::test]
async fn ports_are_owned_one_by_one() {
    let lab = Lab::new().await;
    let services: Api<Service> = Api::namespaced(lab.client.clone(), "ns");
    let body = |ports: Value| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
               "spec": {"selector": {"app": "web"}, "ports": ports}})
    };
    let http = json!({"name": "http", "port": 80});
    let m1 = PatchParams::apply("m1");
    let wanted = body(json!([http]));
    let made = services
        .patch("web", &m1, &Patch::Apply(&wanted))
        .await
        .unwrap();
    let spec = made.spec.clone().unwrap();
    assert!(spec.cluster_ip.unwrap().starts_with("10.96."));
    let port = spec.ports.unwrap()[0].clone();
    assert_eq!(port.protocol.as_deref(), Some("TCP"));
    let again = services
        .patch("web", &m1, &Patch::Apply(&wanted))
        .await
        .unwrap();
    assert_eq!(again.resource_version(), made.resource_version());

    let m2 = PatchParams::apply("m2");
    let other = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"ports": [{"name": "admin", "port": 81, "protocol": "TCP"}]}});
    let both = services
        .patch("web", &m2, &Patch::Apply(&other))
        .await
        .unwrap();
    let numbers = |service: Service| -> Vec<i32> {
        let ports = service.spec.unwrap().ports.unwrap();
        ports.iter().map(|port| port.port).collect()
    };
    assert_eq!(numbers(both), [80, 81]);
    let wanted = body(json!([{"name": "h2", "port": 82}]));
    let changed = services
        .patch("web", &m1, &Patch::Apply(&wanted))
        .await
        .unwrap();
    let mut left = numbers(changed);
    left.sort_unstable();
    assert_eq!(left, [81, 82]);
    let status = refusal(
        services
            .patch(
                "web",
                &m2,
                &Patch::Apply(&body(json!([{"name": "x", "port": 82}]))),
            )
            .await,
    );
    let said = "conflict with \"m1\": .spec.ports[port=82,protocol=\"TCP\"].name";
    assert!(status.message.ends_with(said), "{}", status.message);
}
