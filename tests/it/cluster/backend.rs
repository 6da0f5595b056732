//! The backend by itself: what is written, whose it is, what is asked, and what is tried again.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use meshvm::istio::Gateway;
use meshvm::mesh::objects::{Side, entry, of_fleet};
use meshvm::mesh::{Backend, MeshError, Object, TokenFor, secret_ref};
use meshvm::spec::model::Membership;
use meshvm_lab::kube::{Effect, Fault};
use meshvm_provider_api::{Attributes, ErrorClass, Labels, Machine, Power, Readiness};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::ground::{Ground, NAMESPACE, ROOT_CERT};

const STACK: &str = "shop";

fn membership() -> Membership {
    serde_json::from_value(json!({
        "namespace": NAMESPACE,
        "serviceAccount": "web",
        "labels": {"app": "web", "version": "v1"},
        "ports": {"http": 8080},
        "probe": {"httpGet": {"port": 8080, "path": "/health"}, "periodSeconds": 5},
        "network": "vms",
        "locality": "region/zone",
        "weight": 3,
        "service": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        "serviceEntry": {"hosts": ["web.example"], "addresses": ["240.0.0.1"],
                         "ports": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
        "traffic": {"timeout": "2s", "retries": {"attempts": 2, "perTryTimeout": "500ms"},
                    "fault": {"delay": {"fixedDelay": "1s", "percentage": 10},
                              "abort": {"httpStatus": 503}},
                    "subsets": {"v1": {"version": "v1"}}},
    }))
    .unwrap()
}

fn side(membership: &Membership) -> Side<'_> {
    Side::Member {
        membership,
        reports: true,
    }
}

fn machine(number: u32) -> Machine {
    let [_, b, c, d] = (0x0a00_0001 + number).to_be_bytes();
    Machine {
        id: format!("m-{number}").as_str().into(),
        name: format!("web-{number}"),
        zone: "a".to_owned(),
        power: Power::Running,
        readiness: Readiness::Ready,
        address: Some([10, b, c, d].into()),
        labels: Labels::new(),
        attributes: Attributes::new(),
    }
}

fn entries(membership: &Membership, count: u32) -> Vec<Object> {
    let side = side(membership);
    (0..count)
        .map(|number| entry(STACK, "web", side, &machine(number), None).unwrap())
        .collect()
}

/// Returns all objects of a fleet with so many machines.
fn objects(count: u32) -> Vec<Object> {
    let membership = membership();
    let mut objects = of_fleet(STACK, "web", side(&membership));
    objects.extend(entries(&membership, count));
    objects
}

#[tokio::test]
async fn what_is_written_is_seen_as_it_was_written() {
    let ground = Ground::new().await;
    let mesh = ground.mesh(false);
    let objects = objects(2);
    mesh.write(STACK, &objects).await.unwrap();
    let seen = mesh.observe(STACK).await.unwrap();
    assert_eq!(seen.len(), objects.len());
    for object in &objects {
        let found = seen
            .iter()
            .find(|seen| seen.object.reference == object.reference)
            .unwrap();
        assert_eq!(*found.comparable(&object.body), object.body);
    }
    let before: Vec<_> = seen
        .iter()
        .map(|s| s.object.body["metadata"]["resourceVersion"].clone())
        .collect();
    mesh.write(STACK, &objects).await.unwrap();
    let seen = mesh.observe(STACK).await.unwrap();
    let after: Vec<_> = seen
        .iter()
        .map(|s| s.object.body["metadata"]["resourceVersion"].clone())
        .collect();
    assert_eq!(after, before, "writing the same again changes nothing");
    let group = ground.istio("WorkloadGroup").get("web").await.unwrap();
    let entry = ground.istio("WorkloadEntry").get("web-0").await.unwrap();
    let owner = &entry.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!(Some(&owner.uid), group.metadata.uid.as_ref());
    let references: Vec<_> = objects
        .iter()
        .map(|object| object.reference.clone())
        .collect();
    mesh.delete(STACK, &references).await.unwrap();
    mesh.delete(STACK, &references).await.unwrap();
    assert_eq!(mesh.observe(STACK).await.unwrap(), []);
}

#[tokio::test]
async fn what_others_made_is_never_touched() {
    let ground = Ground::new().await;
    let mesh = ground.mesh(true);
    ground
        .create(json!({"apiVersion": "v1", "kind": "ServiceAccount",
                       "metadata": {"name": "web", "namespace": NAMESPACE, "labels": {"meshvm-stack": "other"}}}))
        .await;
    let objects = objects(1);
    let error = mesh.write(STACK, &objects).await.unwrap_err();
    assert!(matches!(error, MeshError::Foreign { .. }), "{error}");
    assert!(
        error.to_string().contains("but to stack `other`"),
        "{error}"
    );
    assert_eq!(
        mesh.observe(STACK).await.unwrap(),
        [],
        "nothing of it was written"
    );
    let error = mesh
        .delete(STACK, &[objects[0].reference.clone()])
        .await
        .unwrap_err();
    assert!(matches!(error, MeshError::Foreign { .. }), "{error}");
    let account = ground
        .api("v1", "ServiceAccount", Some(NAMESPACE))
        .get("web")
        .await
        .unwrap();
    assert_eq!(account.metadata.labels.unwrap()["meshvm-stack"], "other");
}

#[tokio::test]
async fn what_is_let_go_stays_and_can_be_taken_back() {
    let ground = Ground::new().await;
    let mesh = ground.mesh(false);
    let objects = objects(1);
    mesh.write(STACK, &objects).await.unwrap();
    let seen = mesh.observe(STACK).await.unwrap();
    let entry = seen
        .iter()
        .find(|seen| seen.object.reference.kind == "WorkloadEntry")
        .unwrap();
    mesh.write(STACK, &[entry.released()]).await.unwrap();
    let live = ground.istio("WorkloadEntry").get("web-0").await.unwrap();
    assert_eq!(live.metadata.labels.unwrap_or_default().len(), 0);
    assert_eq!(live.data["spec"]["address"], "10.0.0.1");
    let references = [entry.object.reference.clone()];
    assert!(
        mesh.delete(STACK, &references).await.is_err(),
        "it is nobody's"
    );
    mesh.write(STACK, &objects).await.unwrap();
    mesh.delete(STACK, &references).await.unwrap();
}

#[tokio::test]
async fn what_is_handed_over_while_it_is_deleted_stays() {
    let ground = Ground::new().await;
    let mesh = ground.mesh(false);
    let objects = objects(2);
    mesh.write(STACK, &objects).await.unwrap();
    let of_kind = |kind: &str| {
        let all = objects.iter().map(|object| object.reference.clone());
        all.filter(|it| it.kind == kind).collect::<Vec<_>>()
    };
    let (entries, groups) = (of_kind("WorkloadEntry"), of_kind("WorkloadGroup"));
    // Looked up with the entries, and another's when its turn comes.
    let all: Vec<_> = entries.iter().chain(&groups).collect();
    mesh.announce(&[], &all).await;
    mesh.delete(STACK, &entries).await.unwrap();
    let api = ground.istio("WorkloadGroup");
    let name = groups[0].name.as_str();
    let label = json!({"metadata": {"labels": {"meshvm-stack": "other"}}});
    let how = PatchParams::default();
    api.patch(name, &how, &Patch::Merge(label)).await.unwrap();
    let refused = mesh.delete(STACK, &groups).await.unwrap_err();
    assert!(refused.to_string().contains("does not belong"), "{refused}");
    assert!(api.get_opt(name).await.unwrap().is_some());
    // What only changed is still the stack's.
    let label = json!({"metadata": {"labels": {"meshvm-stack": STACK}}});
    api.patch(name, &how, &Patch::Merge(label)).await.unwrap();
    mesh.delete(STACK, &groups).await.unwrap();
    assert!(api.get_opt(name).await.unwrap().is_none());
}

#[tokio::test]
async fn fields_of_others_are_told_with_both_values() {
    let ground = Ground::new().await;
    let objects = objects(2);
    ground.mesh(false).write(STACK, &objects).await.unwrap();
    let how = PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    };
    let weight = Patch::Merge(json!({"spec": {"weight": 7}}));
    for name in ["web-0", "web-1"] {
        ground
            .istio("WorkloadEntry")
            .patch(name, &how, &weight)
            .await
            .unwrap();
    }
    let error = ground.mesh(false).write(STACK, &objects).await.unwrap_err();
    let told = |name: &str| {
        format!(
            "WorkloadEntry vm/{name} has fields that others set: .spec.weight is 7 by \
             \"kubectl-edit\" using networking.istio.io/v1, and shall be 3"
        )
    };
    assert_eq!(
        error.to_string(),
        format!("{}; and {}", told("web-0"), told("web-1"))
    );
    assert!(error.hint().unwrap().contains("--force-conflicts"));
    ground.mesh(true).write(STACK, &objects).await.unwrap();
    let live = ground.istio("WorkloadEntry").get("web-0").await.unwrap();
    assert_eq!(live.data["spec"]["weight"], 3);
}

#[tokio::test]
async fn a_thousand_entries_are_observed_by_pages() {
    let ground = Ground::new().await;
    let mesh = ground.mesh(false);
    let membership = membership();
    mesh.write(STACK, &of_fleet(STACK, "web", side(&membership)))
        .await
        .unwrap();
    ground.cluster.requests().reset();
    mesh.write(STACK, &entries(&membership, 1000))
        .await
        .unwrap();
    assert_eq!(
        ground.cluster.requests().of("patch", "workloadentries"),
        1000
    );
    assert!(
        ground.cluster.requests().total() <= 1005,
        "{:?}",
        ground.cluster.requests().all()
    );
    ground.cluster.requests().reset();
    let seen = mesh.observe(STACK).await.unwrap();
    assert_eq!(seen.len(), 1006);
    assert_eq!(ground.cluster.requests().of("list", "workloadentries"), 2);
    assert_eq!(
        ground.cluster.requests().total(),
        8,
        "{:?}",
        ground.cluster.requests().all()
    );
}

#[tokio::test]
async fn what_may_help_is_tried_again_and_nothing_else() {
    let ground = Ground::new().await;
    let mesh = ground.mesh(false);
    let fault = |effect: Effect| Fault {
        verb: Some("patch".to_owned()),
        resource: Some("workloadentries".to_owned()),
        times: 2,
        effect,
    };
    let membership = membership();
    mesh.write(STACK, &of_fleet(STACK, "web", side(&membership)))
        .await
        .unwrap();
    for effect in [
        Effect::TooMany { retry_after: 0 },
        Effect::Status { code: 500 },
        Effect::Status { code: 503 },
        Effect::Reset,
        Effect::LoseReply,
    ] {
        ground.cluster.faults().add(fault(effect.clone()));
        let written = mesh.write(STACK, &entries(&membership, 1)).await;
        assert!(written.is_ok(), "{effect:?}: {written:?}");
    }
    let mut wrong = entries(&membership, 1);
    wrong[0].body["spec"]["weight"] = json!("many");
    ground.cluster.requests().reset();
    let error = mesh.write(STACK, &wrong).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Invalid, "{error}");
    assert!(
        error
            .to_string()
            .contains("failed to create typed patch object"),
        "{error}"
    );
    assert_eq!(ground.cluster.requests().of("patch", "workloadentries"), 1);
}

#[tokio::test]
async fn a_token_is_revoked_with_its_secret() {
    let ground = Ground::new().await;
    let mesh = ground.mesh(false);
    mesh.write(STACK, &objects(0)).await.unwrap();
    let wanted = TokenFor {
        stack: STACK,
        fleet: "web",
        machine: "web-0",
        namespace: NAMESPACE,
        service_account: "web",
        ttl: Duration::from_secs(900),
    };
    let first = mesh.token(&wanted).await.unwrap();
    assert!(review(&ground, first.expose_secret()).await);
    // Whoever asks again does not know whether the machine boots with the first.
    let second = mesh.token(&wanted).await.unwrap();
    for token in [&first, &second] {
        assert!(review(&ground, token.expose_secret()).await);
    }
    mesh.delete(STACK, &[secret_ref(NAMESPACE, "web-0")])
        .await
        .unwrap();
    for token in [&first, &second] {
        assert!(!review(&ground, token.expose_secret()).await);
    }
}

/// Returns whether the control plane would take a token.
async fn review(ground: &Ground, token: &str) -> bool {
    let review = TokenReview {
        spec: TokenReviewSpec {
            audiences: Some(vec!["istio-ca".to_owned()]),
            token: Some(token.to_owned()),
        },
        ..TokenReview::default()
    };
    let api: Api<TokenReview> = Api::all(ground.admin.clone());
    let answer = api.create(&PostParams::default(), &review).await.unwrap();
    let status = answer.status.unwrap();
    let user = status.user.and_then(|user| user.username);
    status.authenticated == Some(true) && user.as_deref() == Some("system:serviceaccount:vm:web")
}

#[tokio::test]
async fn a_mesh_is_read_as_istioctl_reads_it() {
    let ground = Ground::new().await;
    let settings: meshvm::spec::model::KubernetesMesh =
        serde_json::from_value(json!({"trustDomain": "other"})).unwrap();
    let namespaces = [NAMESPACE, "ops"].into();
    let read = ground.mesh(false).read_mesh(&settings, &namespaces).await;
    // Another namespace's certificate is not for this user to read.
    let error = read.unwrap_err();
    assert_eq!(error.class(), ErrorClass::PermissionDenied, "{error}");
    let read = ground
        .mesh(false)
        .read_mesh(&settings, &[NAMESPACE].into())
        .await
        .unwrap();
    assert_eq!(read.facts.cluster_id, "Kubernetes");
    assert_eq!(read.facts.trust_domain, "other");
    assert_eq!(read.overridden[0].cluster, "cluster.local");
    assert_eq!(read.facts.gateway, Gateway::Address([10, 1, 2, 3].into()));
    assert_eq!(read.facts.root_certs[NAMESPACE], ROOT_CERT);
    assert_eq!(read.network.as_deref(), Some("cluster"));
    let settings = serde_json::from_value(json!({"revision": "1-99"})).unwrap();
    let error = ground
        .mesh(false)
        .read_mesh(&settings, &[NAMESPACE].into())
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("1-99") || text.contains("forbidden"),
        "{text}"
    );
}
