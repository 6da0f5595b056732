//! The suite that every provider passes, on clouds that behave well and badly.

use std::sync::Arc;

use meshvm_provider_api::Kind;
use meshvm_provider_api::conformance::suite;
use meshvm_provider_sim::{FaultPlan, SimCloud, Simulated};

use crate::harness::{OnSim, hostile, late};

#[tokio::test]
async fn a_cloud_in_memory_conforms() {
    suite(&OnSim::memory(FaultPlan::default())).await;
}

#[tokio::test]
async fn a_cloud_in_a_file_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let plan = late();
    let cloud = SimCloud::file(folder.path().join("sim/cloud.jsonl"), plan.clone()).unwrap();
    suite(&OnSim::new(cloud, &plan)).await;
}

#[tokio::test]
async fn a_late_and_slow_cloud_conforms() {
    suite(&OnSim::memory(late())).await;
}

#[tokio::test]
async fn a_hostile_cloud_conforms_behind_retries() {
    for seed in 0..10 {
        suite(&OnSim::memory(hostile(seed)).with_retries()).await;
    }
}

#[tokio::test]
async fn another_provider_conforms_on_a_simulated_cloud() {
    let cloud = SimCloud::memory(late());
    let inner: Arc<dyn Kind> = Arc::new(SimCloud::memory(FaultPlan::default()).kind());
    let mut harness = OnSim::new(cloud.clone(), &late());
    harness.kind = Arc::new(Simulated::new(inner, cloud.clone()));
    suite(&harness).await;
    assert!(cloud.calls().unwrap().values().sum::<u64>() > 100);
}
