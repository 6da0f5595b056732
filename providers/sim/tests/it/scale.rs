//! A large cloud: requests grow with pages, and one request does not rewrite the world.

use std::fs;

use meshvm_provider_api::conformance::Harness;
use meshvm_provider_api::{MachineId, Query};
use meshvm_provider_sim::{Call, FaultPlan, SimCloud, Throttle};

use crate::faults::Stage;
use crate::harness::OnSim;

async fn list_many(stage: &Stage, thousands: u64) {
    for _ in 0..thousands {
        stage.make(1000).await;
    }
    let count = |name: &str| stage.harness.context().requests.snapshot()[name];
    let expected = usize::try_from(thousands * 1000).unwrap();
    assert_eq!(stage.listed().await, expected);
    assert_eq!((count("create"), count("list")), (thousands, thousands));
    assert_eq!(stage.cloud.calls().unwrap()[&Call::List], thousands);
    let query = Query::Stack("other".into());
    assert_eq!(stage.provider.observe(&query).await.unwrap(), []);
    assert_eq!(count("list"), thousands + 1);
}

#[tokio::test]
async fn a_hundred_thousand_machines_are_a_hundred_pages() {
    list_many(&Stage::new(FaultPlan::default()).await, 100).await;
}

#[tokio::test]
async fn a_large_cloud_in_a_file_is_not_rewritten_for_a_tick() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cloud");
    let open = || SimCloud::file(&path, FaultPlan::default()).unwrap();
    list_many(
        &Stage::on(OnSim::new(open(), &FaultPlan::default())).await,
        10,
    )
    .await;

    let fresh = Stage::on(OnSim::new(open(), &FaultPlan::default())).await;
    let before = fs::read(&path).unwrap();
    assert_eq!(fresh.listed().await, 10_000);
    let after = fs::read(&path).unwrap();
    assert!(after.starts_with(&before), "only appended to");
    let grown = after.len() - before.len();
    assert!(grown < 10 * 40, "{grown} bytes for ten ticks");

    let ids: Vec<MachineId> = fresh
        .cloud
        .machines()
        .unwrap()
        .into_iter()
        .map(|m| m.id)
        .collect();
    let twice: Vec<_> = ids.iter().chain(&ids).cloned().collect();
    assert_eq!(fresh.by_id(&twice).await, 10_000);
    assert_eq!(fresh.harness.context().requests.snapshot()["list"], 20);
}

#[tokio::test]
async fn a_long_listing_outlives_refused_pages() {
    let plan = FaultPlan {
        throttle: Throttle {
            every: 3,
            ..Throttle::default()
        },
        ..FaultPlan::default()
    };
    let stage = Stage::new(FaultPlan::default()).await;
    for _ in 0..10 {
        stage.make(1000).await;
    }
    stage.cloud.set_faults(plan);
    let query = Query::Stack("s".into());
    // Clock 11, so the first refusal is the second page.
    assert_eq!(stage.provider.observe(&query).await.unwrap().len(), 10_000);
    let refused = stage.cloud.calls().unwrap()[&Call::List] - 10;
    assert!(refused >= 4, "{refused}");
}
