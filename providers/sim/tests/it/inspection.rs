//! What the engine's tests use beside the contract.

use std::sync::{Arc, Mutex};

use meshvm_provider_api::{Kind, NoPrivateFiles, Power, Query, Requests};
use meshvm_provider_sim::{Call, Death, EventKind, FaultPlan, SimCloud, SimError, Simulated, Span};
use serde_json::json;

use crate::faults::Stage;

#[tokio::test]
async fn hands_reach_in_and_events_tell() {
    let stage = Stage::new(FaultPlan {
        ready_after: Span::exactly(2),
        ..FaultPlan::default()
    })
    .await;
    let watched = Arc::new(Mutex::new(Vec::new()));
    let log = watched.clone();
    stage.cloud.watch(move |event, truth| {
        assert_eq!(truth.clock(), event.clock);
        let exists = truth.machine(&event.machine).is_some();
        let gone = matches!(event.kind, EventKind::Deleted | EventKind::Vanished);
        assert_eq!(exists, !gone, "the truth is that of right after the event");
        let available = truth.machines().iter().filter(|m| m.is_available()).count();
        log.lock()
            .unwrap()
            .push((event.clock, event.kind, available));
    });
    let ids = stage.make(2).await;
    stage.cloud.tick(2).unwrap();
    stage.cloud.edit(&ids[0], "size", json!("huge")).unwrap();
    stage.cloud.relabel(&ids[0], "team", Some("x")).unwrap();
    stage.cloud.kill(&ids[0], Death::Stopped).unwrap();
    stage.cloud.kill(&ids[0], Death::Broken).unwrap();
    stage.cloud.kill(&ids[0], Death::Gone).unwrap();
    stage.provider.delete("s", &ids).await.unwrap();
    assert_eq!(
        *watched.lock().unwrap(),
        [
            (1, EventKind::Created, 0),
            (1, EventKind::Running, 0),
            (1, EventKind::Created, 0),
            (1, EventKind::Running, 0),
            (3, EventKind::Ready, 1),
            (3, EventKind::Ready, 2),
            (3, EventKind::Changed, 2),
            (3, EventKind::Changed, 2),
            (3, EventKind::Stopped, 1),
            (3, EventKind::Broke, 1),
            (3, EventKind::Vanished, 1),
            (4, EventKind::Deleted, 0),
        ]
    );
    let events = stage.cloud.events();
    assert_eq!(events.len(), 12);
    let error = stage.cloud.kill(&ids[0], Death::Gone).unwrap_err();
    assert!(matches!(error, SimError::NoMachine(_)), "{error}");
    let calls = stage.cloud.calls().unwrap();
    assert_eq!(calls, [(Call::Create, 1), (Call::Delete, 1)].into());
}

#[tokio::test]
async fn a_restart_goes_through_a_boot() {
    let stage = Stage::new(FaultPlan {
        start_after: Span::exactly(2),
        ..FaultPlan::default()
    })
    .await;
    let ids = stage.make(1).await;
    stage.cloud.tick(2).unwrap();
    let mut template = stage.batch(1).template;
    template.attributes.insert("size".into(), json!("large"));
    let update = meshvm_provider_api::Update {
        machines: ids.clone(),
        template: Some(template),
        attributes: vec!["size".into()],
        start: false,
        set_labels: [].into(),
        remove_labels: Vec::new(),
    };
    let machine = || stage.cloud.machine(&ids[0]).unwrap().unwrap();
    stage.provider.update(&update).await.unwrap();
    assert_eq!(
        (machine().power, &machine().attributes["size"]),
        (Power::Starting, &json!("large"))
    );
    stage.cloud.tick(2).unwrap();
    assert!(machine().is_available());
    stage.provider.update(&update).await.unwrap();
    assert!(
        machine().is_available(),
        "what is so already needs no restart"
    );
}

#[tokio::test]
async fn faults_can_change_on_the_way() {
    let stage = Stage::new(FaultPlan::default()).await;
    stage.make(1).await;
    stage.cloud.set_faults(FaultPlan {
        list_lag: Span::exactly(5),
        ..FaultPlan::default()
    });
    stage.make(1).await;
    assert_eq!(stage.listed().await, 0, "as of before anything was");
    stage.cloud.tick(5).unwrap();
    assert_eq!(stage.listed().await, 2);
}

#[tokio::test]
async fn the_default_provider_keeps_its_cloud_in_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(FaultPlan::default()).await;
    let template = stage.batch(1).template;
    let mut context = meshvm_provider_api::conformance::Harness::context(&stage.harness);
    context.data_dir = folder.path().to_owned();
    context.requests = Requests::default();
    let kind = meshvm_provider_sim::SimKind::new();
    let open = async || kind.open(None, &template.scope, &context).await;

    open()
        .await
        .unwrap()
        .create(&stage.batch(2), &NoPrivateFiles)
        .await
        .unwrap();
    let again = open().await.unwrap();
    let query = Query::Stack("s".into());
    assert_eq!(again.observe(&query).await.unwrap().len(), 2);
    let requests = context.requests.snapshot();
    assert_eq!(requests, [("create", 1), ("list", 1)].into());

    let faults = folder.path().join("sim/faults.json");
    std::fs::write(
        &faults,
        r#"{"script": [{"call": "list", "nth": 2, "fault": "throttled"}]}"#,
    )
    .unwrap();
    let throttled = open().await.unwrap();
    assert!(throttled.observe(&query).await.is_err());
    assert!(throttled.observe(&query).await.is_ok());
    std::fs::write(&faults, "{").unwrap();
    let error = open().await.err().unwrap();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        source.ends_with("faults.json is not a fault plan"),
        "{source}"
    );
}

#[tokio::test]
async fn any_provider_can_be_simulated() {
    let cloud = SimCloud::memory(FaultPlan::default());
    static SIM: meshvm_provider_sim::SimKind = meshvm_provider_sim::SimKind::new();
    let inner: &'static dyn Kind = &SIM;
    let simulated = Simulated::new(inner, cloud);
    let (info, real) = (simulated.info(), inner.info());
    assert_eq!((info.name, info.max_batch), (real.name, real.max_batch));
    assert_eq!(info.user_data, real.user_data);
    assert!(info.rate.is_none() && info.poll < std::time::Duration::from_millis(10));
}
