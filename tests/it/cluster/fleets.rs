//! Several fleets in one mesh: what is refused to one keeps no other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use kube::api::{Patch, PatchParams};
use meshvm::mesh::objects::{Side, of_fleet};
use meshvm::mesh::{Backend as _, Kubernetes, Object, ObjectRef};
use meshvm::spec::model::Membership;
use meshvm_lab::kube::{Effect, Fault};
use serde_json::{Value, json};

use super::ground::{Ground, NAMESPACE};
use super::program::{names, run};
use crate::support::program::{Ran, Sandbox};

const ISTIO: &str = "networking.istio.io/v1";

/// A fleet file with a fleet that goes later; two have one account.
fn file(is_old_there: bool) -> String {
    let fleet = |(name, account): (&str, &str)| {
        format!(
            "  {name}:\n    sim: {{}}\n    replicas: \"${{var.replicas}}\"\n    membership:\n      \
             namespace: vm\n      serviceAccount: {account}\n      labels: {{app: {name}}}\n      \
             ports: {{http: 8080}}\n      service: {{ports: [{{name: http, port: 80}}]}}\n"
        )
    };
    let old = is_old_there.then_some(("old", "old"));
    let fleets = [("api", "api"), ("cache", "both"), ("db", "both")];
    let fleets = fleets.into_iter().chain(old).chain([("web", "web")]);
    format!(
        "apiVersion: meshvm/v1\nstack: shop\nvars: {{replicas: 1}}\nmesh: {{kubernetes: {{context: lab, \
         network: vms}}}}\nidentity: none\nbudgets: {{destroy: 100%, replace: 100%}}\nfleets:\n{}",
        fleets.map(fleet).collect::<String>()
    )
}

/// Returns how many machines of each fleet are in the mesh.
async fn machines(ground: &Ground) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names(ground, ISTIO, "WorkloadEntry").await {
        let fleet = name.split('-').next().unwrap_or_default().to_owned();
        *counts.entry(fleet).or_default() += 1;
    }
    counts
}

async fn edit(ground: &Ground, kind: &str, name: &str, change: Value) {
    let how = PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    };
    let api = ground.api("v1", kind, Some(NAMESPACE));
    api.patch(name, &how, &Patch::Merge(change)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_holds_up_its_own_fleet_and_no_other() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(&file(true));
    run(&ground, &sandbox, "apply -y").await.exits(0);
    let service = json!({"spec": {"selector": {"app": "mine"}}});
    edit(&ground, "Service", "web", service).await;
    let account = json!({"automountServiceAccountToken": true});
    edit(&ground, "ServiceAccount", "both", account).await;
    sandbox.write("meshvm.yaml", &file(false));

    let more = "apply -y --var replicas=2";
    let applied: Ran = run(&ground, &sandbox, more).await.exits(1);
    let counts = machines(&ground).await;
    let counts: Vec<_> = counts
        .iter()
        .map(|(fleet, count)| (fleet.as_str(), *count))
        .collect();
    assert_eq!(counts, [("api", 2), ("cache", 1), ("db", 1), ("web", 1)]);
    assert_eq!(
        names(&ground, "v1", "Service").await,
        ["api", "cache", "db", "web"]
    );
    let applied = applied.all();
    for told in [
        "write 1 object of fleet web: Service vm/web has fields that others set",
        "write 1 object of fleets cache, db: ServiceAccount vm/both has fields that others set",
        "create 1 machine of fleet web in",
        "create 1 machine of fleet cache in",
        "1 created",
    ] {
        assert!(applied.contains(told), "{told}: {applied}");
    }
    assert!(
        !applied.contains("Not started: create 1 machine of fleet api"),
        "{applied}"
    );

    let forced = format!("{more} --force-conflicts");
    run(&ground, &sandbox, &forced).await.exits(0);
    assert_eq!(machines(&ground).await.values().sum::<usize>(), 8);
    assert_eq!(
        names(&ground, "v1", "ServiceAccount").await,
        ["api", "both", "web"]
    );
    let again = "plan --detailed-exitcode --var replicas=2";
    run(&ground, &sandbox, again).await.exits(0);
}

/// Returns one object for each of so many fleets.
fn groups(count: u32) -> Vec<Object> {
    let membership: Membership = serde_json::from_value(json!({
        "namespace": NAMESPACE, "serviceAccount": "web", "labels": {"app": "web"},
    }))
    .unwrap();
    let side = Side::Member {
        membership: &membership,
        reports: false,
    };
    let group = |number| of_fleet("shop", &format!("web-{number}"), side).pop();
    (0..count).filter_map(group).collect()
}

/// Writes objects, each by itself and all at the same time.
async fn write_each(mesh: &Kubernetes, objects: &[Object]) {
    let writes = objects.chunks(1).map(|one| mesh.write("shop", one));
    for written in join_all(writes).await {
        written.unwrap();
    }
}

#[tokio::test]
async fn what_many_fleets_write_and_delete_is_looked_up_together() {
    let ground = Ground::new().await;
    ground.grant(&["namespaces.yaml"]).await;
    let mesh = ground.mesh_with(false, true);
    let groups = groups(12);
    let references: Vec<ObjectRef> = groups.iter().map(|it| it.reference.clone()).collect();
    let all: Vec<&ObjectRef> = references.iter().collect();
    mesh.announce(&all, &all).await;

    let requests = ground.cluster.requests();
    requests.reset();
    write_each(&mesh, &groups).await;
    assert_eq!(requests.of("get", "namespaces"), 1);
    let deletes = references.chunks(1).map(|one| mesh.delete("shop", one));
    for deleted in join_all(deletes).await {
        deleted.unwrap();
    }
    let of = |verb: &str| requests.of(verb, "workloadgroups");
    let (get, list, patch, delete) = (of("get"), of("list"), of("patch"), of("delete"));
    assert_eq!((get, list, patch, delete), (0, 2, 12, 12));
    assert_eq!(mesh.observe("shop").await.unwrap(), []);

    // Nobody said so of these: each is asked for by itself.
    mesh.write("shop", &groups[..1]).await.unwrap();
    assert_eq!((of("get"), of("list")), (1, 3));
}

#[tokio::test]
async fn all_fleets_share_what_may_be_asked_at_once() {
    let ground = Ground::new().await;
    let mesh = ground.mesh(false);
    let groups = groups(40);
    ground.cluster.faults().add(Fault {
        verb: Some("patch".to_owned()),
        resource: Some("workloadgroups".to_owned()),
        times: 40,
        effect: Effect::Slow { millis: 400 },
    });
    let begun = Instant::now();
    write_each(&mesh, &groups).await;
    // 16, and 16, and the rest.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1200), "{took:?}");
}
