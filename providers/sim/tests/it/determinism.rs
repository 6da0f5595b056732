//! One seed and one sequence of calls give one outcome, wherever the cloud is kept.

use std::fmt::Write;

use meshvm_provider_api::{Labels, NoPrivateFiles, Query, Update};
use meshvm_provider_sim::{FaultPlan, Probability, SimCloud, SpontaneousDeath};

use crate::faults::Stage;
use crate::harness::{OnSim, hostile};

fn plan(seed: u64) -> FaultPlan {
    FaultPlan {
        death: SpontaneousDeath {
            probability: Probability::percent(2),
            how: Vec::new(),
        },
        ..hostile(seed)
    }
}

/// Writes down everything that a fixed script of calls is answered, and all events.
async fn trace(harness: OnSim) -> String {
    let stage = Stage::on(harness).await;
    let mut trace = String::new();
    for round in 0..40_u32 {
        let batch = stage.batch(round % 5 + 1);
        let created = stage.provider.create(&batch, &NoPrivateFiles).await;
        writeln!(trace, "{created:?}").unwrap();
        let listed = stage.provider.observe(&Query::Stack("s".into())).await;
        writeln!(trace, "{listed:?}").unwrap();
        let mut ids: Vec<_> = listed
            .unwrap_or_default()
            .into_iter()
            .map(|m| m.id)
            .collect();
        let update = Update {
            machines: ids.split_off(ids.len() / 2),
            template: None,
            attributes: Vec::new(),
            start: true,
            set_labels: Labels::from([("round".into(), round.to_string())]),
            remove_labels: Vec::new(),
        };
        writeln!(trace, "{:?}", stage.provider.update(&update).await).unwrap();
        ids.truncate(2);
        writeln!(trace, "{:?}", stage.provider.delete("s", &ids).await).unwrap();
    }
    writeln!(trace, "{:#?}", stage.cloud.events()).unwrap();
    writeln!(trace, "{:#?}", stage.cloud.machines().unwrap()).unwrap();
    trace
}

#[tokio::test]
async fn the_same_seed_and_calls_give_the_same_answers() {
    for seed in 0..5 {
        let first = trace(OnSim::memory(plan(seed))).await;
        assert!(
            first == trace(OnSim::memory(plan(seed))).await,
            "seed {seed}"
        );
        assert!(
            first != trace(OnSim::memory(plan(seed + 1))).await,
            "seed {seed}"
        );

        let folder = tempfile::tempdir().unwrap();
        let cloud = SimCloud::file(folder.path().join("cloud"), plan(seed)).unwrap();
        let in_file = trace(OnSim::new(cloud, &plan(seed))).await;
        assert!(first == in_file, "seed {seed} in a file");
    }
}
