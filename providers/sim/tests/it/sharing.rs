//! A file that several clouds share, and what may befall it.

use std::fs;

use meshvm_provider_api::{ErrorClass, Labels, NoPrivateFiles, Query, Update};
use meshvm_provider_sim::{Call, FaultPlan, SimCloud, SimError, Span};

use crate::faults::Stage;
use crate::harness::OnSim;

fn plan() -> FaultPlan {
    FaultPlan {
        list_lag: Span::exactly(2),
        ready_after: Span::exactly(10),
        ..FaultPlan::default()
    }
}

async fn stage(path: &std::path::Path) -> Stage {
    let cloud = SimCloud::file(path, plan()).unwrap();
    Stage::on(OnSim::new(cloud, &plan())).await
}

#[tokio::test]
async fn what_one_does_the_other_sees() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/cloud");
    let (one, two) = (stage(&path).await, stage(&path).await);
    let ids = one.make(3).await;
    assert_eq!(two.cloud.machines().unwrap(), one.cloud.machines().unwrap());
    two.provider.delete("s", &ids[..1]).await.unwrap();
    assert_eq!(one.cloud.machines().unwrap().len(), 2);
    assert_eq!(one.listed().await, 3, "as of the creation");
    let late = stage(&path).await;
    assert_eq!(late.listed().await, 2);
    assert_eq!(late.cloud.calls().unwrap()[&Call::List], 2);
    late.cloud.tick(10).unwrap();
    assert!(
        one.cloud
            .machines()
            .unwrap()
            .iter()
            .all(|m| m.is_available())
    );
    let clocks = [&one, &two, &late].map(|stage| stage.cloud.clock().unwrap());
    assert_eq!(clocks, [14; 3]);
}

/// Many changes make the file be written anew; nothing is lost, also for those who read it before.
#[tokio::test]
async fn the_file_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cloud");
    let (writer, reader) = (stage(&path).await, stage(&path).await);
    let ids = writer.make(500).await;
    let header = || {
        let text = fs::read_to_string(&path).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    let (mut headers, mut largest) = (std::collections::BTreeSet::new(), 0);
    for round in 0..120 {
        let update = Update {
            machines: ids.clone(),
            template: None,
            attributes: Vec::new(),
            start: false,
            set_labels: Labels::from([("round".into(), round.to_string())]),
            remove_labels: Vec::new(),
        };
        // Every other round is a process of its own, as a command is.
        let fresh = stage(&path).await;
        let who = if round % 2 == 0 { &fresh } else { &writer };
        who.provider.update(&update).await.unwrap();
        headers.insert(header());
        largest = largest.max(fs::metadata(&path).unwrap().len());
        if round % 10 == 0 {
            assert_eq!(
                reader.cloud.machines().unwrap(),
                writer.cloud.machines().unwrap()
            );
        }
    }
    assert!(headers.len() > 2, "{} times", headers.len());
    assert!(largest < 800_000, "{largest} bytes");
    let fresh = stage(&path).await;
    assert_eq!(
        fresh.cloud.machines().unwrap(),
        writer.cloud.machines().unwrap()
    );
    let query = Query::Stack("s".into());
    // As of two calls ago, which only the past that was kept knows.
    let seen = fresh.provider.observe(&query).await.unwrap();
    assert!(
        seen.iter().all(|m| m.labels["round"] == "118"),
        "{:?}",
        seen[0]
    );
    let names = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = names.map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["cloud", "cloud.lock"]);
}

/// Every length that a killed writer can leave the file at is a cloud that works.
#[tokio::test]
async fn a_torn_tail_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cloud");
    let first = stage(&path).await;
    first.make(2).await;
    let whole = fs::read(&path).unwrap();
    first.make(2).await;
    let torn = fs::read(&path).unwrap();
    assert!(torn.starts_with(&whole) && torn.len() > whole.len() + 100);
    for length in whole.len()..torn.len() {
        fs::write(&path, &torn[..length]).unwrap();
        let stage = stage(&path).await;
        assert_eq!(stage.cloud.machines().unwrap().len(), 2, "{length}");
        assert_eq!(fs::read(&path).unwrap(), whole, "{length}");
        if length % 50 == 0 {
            // The reader that was there before does not stumble either.
            assert_eq!(first.cloud.machines().unwrap().len(), 2, "{length}");
        }
    }
    fs::write(&path, &torn).unwrap();
    assert_eq!(first.cloud.machines().unwrap().len(), 4);
}

#[tokio::test]
async fn damage_is_told_and_not_mended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cloud");
    stage(&path).await.make(1).await;
    let good = fs::read_to_string(&path).unwrap();
    let offset = good.find('\n').unwrap() + 1;
    let bad = good.replacen("\"clock\":1", "\"clock\":x", 1);
    assert_ne!(good, bad);
    fs::write(&path, &bad).unwrap();
    let damaged = stage(&path).await;
    match damaged.cloud.machines().unwrap_err() {
        SimError::Damaged { offset: found, .. } => assert_eq!(found, offset as u64),
        other => panic!("{other}"),
    }
    let error = damaged
        .provider
        .create(&damaged.batch(1), &NoPrivateFiles)
        .await
        .unwrap_err();
    assert_eq!(error.class, ErrorClass::Environment);
    assert_eq!(fs::read_to_string(&path).unwrap(), bad);

    fs::write(&path, good.replacen("\"format\":1", "\"format\":2", 1)).unwrap();
    let error = damaged.cloud.machines().unwrap_err();
    assert!(
        matches!(
            error,
            SimError::Format {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
    // Mended by hand, it goes on.
    fs::write(&path, &good).unwrap();
    assert_eq!(damaged.cloud.machines().unwrap().len(), 1);
    // Removed, it is a new cloud.
    fs::remove_file(&path).unwrap();
    assert_eq!(damaged.cloud.machines().unwrap(), []);
    assert_eq!(damaged.cloud.clock().unwrap(), 0);
}
