//! Each fault of a plan, by itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use meshvm_provider_api::conformance::Harness;
use meshvm_provider_api::labels::{Hash, Labels, Ownership};
use meshvm_provider_api::{
    Batch, ErrorClass, Kind, MachineId, NoPrivateFiles, Power, Provider, ProviderError, Query,
    Readiness, Update,
};
use meshvm_provider_sim::{
    Call, Death, Event, EventKind, FailBootstrap, FaultPlan, Probability, Scripted, SimCloud, Span,
    SpontaneousDeath, Throttle,
};
use serde_json::json;

use crate::harness::OnSim;

/// A stack `s` on a cloud of its own.
pub struct Stage {
    pub harness: OnSim,
    pub cloud: SimCloud,
    pub provider: Arc<dyn Provider>,
}

impl Stage {
    pub async fn new(plan: FaultPlan) -> Self {
        Self::on(OnSim::memory(plan)).await
    }

    pub async fn on(harness: OnSim) -> Self {
        Self {
            cloud: harness.cloud.clone(),
            provider: harness.open().await.unwrap(),
            harness,
        }
    }

    pub fn batch(&self, count: u32) -> Batch {
        let kind = self.cloud.kind();
        let template = kind
            .template(&json!({"zones": ["a", "b"]}), Path::new(""))
            .unwrap();
        let key = self.harness.key();
        Batch {
            key,
            ownership: Ownership {
                stack: "s".into(),
                fleet: "web".into(),
                batch: Some(key),
                spec: Hash::of("spec"),
                user_data: Some(Hash::of("data")),
            },
            labels: Labels::new(),
            zone: "a".into(),
            count,
            template,
            user_data: "data".into(),
            media: Vec::new(),
        }
    }

    pub async fn make(&self, count: u32) -> Vec<MachineId> {
        let created = self
            .provider
            .create(&self.batch(count), &NoPrivateFiles)
            .await
            .unwrap();
        created.machines.into_iter().map(|m| m.id).collect()
    }

    pub async fn listed(&self) -> usize {
        let query = Query::Stack("s".into());
        self.provider.observe(&query).await.unwrap().len()
    }

    pub async fn by_id(&self, ids: &[MachineId]) -> usize {
        let query = Query::Machines(ids.to_vec());
        self.provider.observe(&query).await.unwrap().len()
    }

    pub fn power(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for machine in self.cloud.machines().unwrap() {
            *counts.entry(format!("{:?}", machine.power)).or_default() += 1;
        }
        counts
    }
}

fn class<T>(answer: Result<T, ProviderError>) -> Option<ErrorClass> {
    answer.err().map(|error| error.class)
}

#[tokio::test]
async fn listings_are_late_by_their_own_lags() {
    let stage = Stage::new(FaultPlan {
        list_lag: Span::exactly(3),
        by_id_lag: Span::exactly(1),
        ..FaultPlan::default()
    })
    .await;
    let ids = stage.make(2).await; // Clock 1.
    assert_eq!(stage.by_id(&ids).await, 2); // 2, as of 1.
    assert_eq!(stage.listed().await, 0); // 3, as of 0.
    assert_eq!(stage.listed().await, 2); // 4, as of 1.
    let drop = Update {
        machines: ids.clone(),
        template: None,
        attributes: Vec::new(),
        start: false,
        set_labels: Labels::from([("meshvm-stack".into(), "other".into())]),
        remove_labels: Vec::new(),
    };
    stage.provider.update(&drop).await.unwrap(); // 5
    stage.provider.delete("other", &ids[..1]).await.unwrap(); // 6
    assert_eq!(stage.cloud.machines().unwrap().len(), 1);
    assert_eq!(stage.listed().await, 2); // 7, as of 4: still of the stack.
    assert_eq!(stage.listed().await, 0); // 8, as of 5.
    assert_eq!(stage.by_id(&ids).await, 1); // 9, as of 8.
}

#[tokio::test]
async fn a_batch_appears_bit_by_bit_when_the_lag_varies() {
    let stage = Stage::new(FaultPlan {
        list_lag: Span { min: 1, max: 20 },
        ..FaultPlan::default()
    })
    .await;
    stage.make(100).await;
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.push(stage.listed().await);
    }
    assert!(seen.is_sorted() && seen[0] > 0 && seen[0] < 20, "{seen:?}");
    assert_eq!(seen[19], 100);
}

#[tokio::test]
async fn machines_start_and_become_ready_when_the_plan_says() {
    let stage = Stage::new(FaultPlan {
        start_after: Span::exactly(2),
        ready_after: Span { min: 3, max: 6 },
        ..FaultPlan::default()
    })
    .await;
    let created = stage
        .provider
        .create(&stage.batch(50), &NoPrivateFiles)
        .await
        .unwrap();
    let is_starting = |m: &meshvm_provider_api::Machine| m.power == Power::Starting;
    assert!(created.machines.iter().all(is_starting));
    stage.cloud.tick(100).unwrap();
    let clocks = |kind: EventKind| {
        let events = stage.cloud.events().into_iter();
        let mut counts = BTreeMap::new();
        for event in events.filter(|event: &Event| event.kind == kind) {
            *counts.entry(event.clock).or_insert(0) += 1;
        }
        counts
    };
    assert_eq!(clocks(EventKind::Running), BTreeMap::from([(3, 50)]));
    let ready = clocks(EventKind::Ready);
    assert_eq!(ready.keys().copied().collect::<Vec<_>>(), [6, 7, 8, 9]);
    assert_eq!(ready.values().sum::<i32>(), 50);

    let bare = Batch {
        user_data: String::new(),
        ..stage.batch(1)
    };
    let bare = stage
        .provider
        .create(&bare, &NoPrivateFiles)
        .await
        .unwrap()
        .machines;
    stage.cloud.tick(100).unwrap();
    let bare = stage.cloud.machine(&bare[0].id).unwrap().unwrap();
    assert_eq!(
        (bare.power, bare.readiness),
        (Power::Running, Readiness::Unknown)
    );
}

#[tokio::test]
async fn quota_and_capacity_cut_batches_short() {
    let stage = Stage::new(FaultPlan {
        quota: Some(6),
        capacity: BTreeMap::from([("a".into(), 3)]),
        ..FaultPlan::default()
    })
    .await;
    let short = stage.batch(5);
    let created = stage
        .provider
        .create(&short, &NoPrivateFiles)
        .await
        .unwrap();
    assert_eq!(created.machines.len(), 3);
    assert_eq!(
        created.shortfall.as_ref().map(|s| s.class),
        Some(ErrorClass::Capacity)
    );
    assert_eq!(
        stage
            .provider
            .create(&short, &NoPrivateFiles)
            .await
            .unwrap(),
        created,
        "the same answer again"
    );
    let full = stage.batch(1);
    assert_eq!(
        class(stage.provider.create(&full, &NoPrivateFiles).await),
        Some(ErrorClass::Capacity)
    );
    let elsewhere = Batch {
        zone: "b".into(),
        ..stage.batch(5)
    };
    let created = stage
        .provider
        .create(&elsewhere, &NoPrivateFiles)
        .await
        .unwrap();
    assert_eq!(created.machines.len(), 3);
    assert_eq!(created.shortfall.map(|s| s.class), Some(ErrorClass::Quota));
    assert_eq!(
        class(stage.provider.create(&full, &NoPrivateFiles).await),
        Some(ErrorClass::Quota)
    );

    // What failed took nothing: with room again, the same request succeeds.
    let ids: Vec<_> = stage
        .cloud
        .machines()
        .unwrap()
        .into_iter()
        .map(|m| m.id)
        .collect();
    stage.provider.delete("s", &ids).await.unwrap();
    assert_eq!(
        stage
            .provider
            .create(&full, &NoPrivateFiles)
            .await
            .unwrap()
            .machines
            .len(),
        1
    );
    let again = stage
        .provider
        .create(&short, &NoPrivateFiles)
        .await
        .unwrap();
    assert_eq!((again.machines.len(), again.shortfall.is_some()), (0, true));
}

#[tokio::test]
async fn refused_calls_have_no_effect_and_count() {
    for (plan, expected) in [
        (
            FaultPlan {
                throttle: Throttle {
                    every: 2,
                    ..Throttle::default()
                },
                ..FaultPlan::default()
            },
            ErrorClass::Throttled,
        ),
        (
            FaultPlan {
                seed: 1,
                unavailable: Probability::percent(50),
                ..FaultPlan::default()
            },
            ErrorClass::Unavailable,
        ),
    ] {
        let stage = Stage::new(plan).await;
        let (mut made, mut refused) = (0, 0);
        for _ in 0..40 {
            match stage
                .provider
                .create(&stage.batch(1), &NoPrivateFiles)
                .await
            {
                Ok(_) => made += 1,
                Err(error) => {
                    assert_eq!(error.class, expected);
                    refused += 1;
                }
            }
        }
        assert_eq!(stage.cloud.machines().unwrap().len(), made);
        assert!((10..=30).contains(&refused), "{refused} of 40");
        assert_eq!(stage.cloud.calls().unwrap()[&Call::Create], 40);
        assert_eq!(stage.cloud.clock().unwrap(), 40);
    }
}

#[tokio::test]
async fn a_lost_reply_hides_what_happened() {
    let stage = Stage::new(FaultPlan {
        lost_reply: Probability::ALWAYS,
        ..FaultPlan::default()
    })
    .await;
    let batch = stage.batch(2);
    assert_eq!(
        class(stage.provider.create(&batch, &NoPrivateFiles).await),
        Some(ErrorClass::ReplyLost)
    );
    let ids: Vec<_> = stage
        .cloud
        .machines()
        .unwrap()
        .into_iter()
        .map(|m| m.id)
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(
        class(stage.provider.create(&batch, &NoPrivateFiles).await),
        Some(ErrorClass::ReplyLost)
    );
    assert_eq!(
        stage.listed().await,
        2,
        "listings have their reply, and nothing is doubled"
    );
    assert_eq!(
        class(stage.provider.delete("s", &ids).await),
        Some(ErrorClass::ReplyLost)
    );
    assert_eq!(stage.listed().await, 0);
}

#[tokio::test]
async fn scripted_faults_hit_exactly_their_call() {
    let script = [
        (Call::Create, 2, ErrorClass::ReplyLost),
        (Call::Create, 3, ErrorClass::PermissionDenied),
        (Call::List, 1, ErrorClass::Unavailable),
    ];
    let stage = Stage::new(FaultPlan {
        script: script
            .map(|(call, nth, fault)| Scripted { call, nth, fault })
            .to_vec(),
        ..FaultPlan::default()
    })
    .await;
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        outcomes.push(class(
            stage
                .provider
                .create(&stage.batch(1), &NoPrivateFiles)
                .await,
        ));
    }
    let expected = [
        None,
        Some(ErrorClass::ReplyLost),
        Some(ErrorClass::PermissionDenied),
        None,
    ];
    assert_eq!(outcomes, expected);
    let query = Query::Stack("s".into());
    assert_eq!(
        class(stage.provider.observe(&query).await),
        Some(ErrorClass::Unavailable)
    );
    assert_eq!(stage.listed().await, 3);
}

#[tokio::test]
async fn bootstraps_fail_by_name_and_by_chance() {
    let stage = Stage::new(FaultPlan {
        fail_bootstrap: FailBootstrap {
            probability: Probability::percent(20),
            names: vec!["bad-".into()],
        },
        ..FaultPlan::default()
    })
    .await;
    let mut bad = stage.batch(10);
    bad.ownership.fleet = "bad".into();
    stage.provider.create(&bad, &NoPrivateFiles).await.unwrap();
    stage.make(200).await;
    let failed = |prefix: &str| {
        let machines = stage.cloud.machines().unwrap();
        let failed = |m: &&meshvm_provider_api::Machine| {
            m.name.starts_with(prefix) && matches!(m.readiness, Readiness::Failed { .. })
        };
        machines.iter().filter(failed).count()
    };
    assert_eq!(failed("bad-"), 10);
    assert!((20..60).contains(&failed("web-")), "{}", failed("web-"));
}

#[tokio::test]
async fn machines_die_by_themselves_and_as_allowed() {
    let stage = Stage::new(FaultPlan {
        seed: 5,
        death: SpontaneousDeath {
            probability: Probability::percent(1),
            how: vec![Death::Gone, Death::Broken, Death::Stopped],
        },
        ..FaultPlan::default()
    })
    .await;
    stage.make(300).await;
    stage.cloud.tick(100).unwrap();
    // (1 - 0.01)^100 is 0.366.
    let power = stage.power();
    let alive = power["Running"];
    assert!((80..140).contains(&alive), "{power:?}");
    let gone = 300 - stage.cloud.machines().unwrap().len();
    for count in [gone, power["Broken"], power["Stopped"]] {
        assert!((40..90).contains(&count), "{gone} gone, {power:?}");
    }

    // A stopped machine can be started, and gets a new life; a broken one stays broken.
    let machines = stage.cloud.machines().unwrap();
    let start = Update {
        machines: machines.iter().map(|m| m.id.clone()).collect(),
        template: None,
        attributes: Vec::new(),
        start: true,
        set_labels: Labels::new(),
        remove_labels: Vec::new(),
    };
    stage.provider.update(&start).await.unwrap();
    let after = stage.power();
    assert_eq!(after.get("Stopped"), None);
    assert_eq!(after["Broken"], power["Broken"]);
    stage.cloud.tick(2000).unwrap();
    assert_eq!(stage.power().get("Running"), None, "all die in the end");
}

#[tokio::test]
async fn bad_requests_are_refused_with_their_class() {
    let stage = Stage::new(FaultPlan::default()).await;
    let mut zone = stage.batch(1);
    zone.zone = "nowhere".into();
    let mut scope = stage.batch(1);
    scope
        .template
        .scope
        .key
        .insert("region".into(), "sim-2".into());
    for batch in [zone, scope, stage.batch(0), stage.batch(1001)] {
        assert_eq!(
            class(stage.provider.create(&batch, &NoPrivateFiles).await),
            Some(ErrorClass::Invalid)
        );
    }
    assert_eq!(stage.cloud.machines().unwrap(), []);

    let batch = stage.batch(1);
    let ids: Vec<_> = stage
        .provider
        .create(&batch, &NoPrivateFiles)
        .await
        .unwrap()
        .machines;
    let mut image = batch.template.clone();
    image.attributes.insert("image".into(), json!("debian-13"));
    let update = Update {
        machines: vec![ids[0].id.clone()],
        template: Some(image),
        attributes: vec!["image".into()],
        start: false,
        set_labels: Labels::from([("x".into(), "1".into())]),
        remove_labels: Vec::new(),
    };
    assert_eq!(
        class(stage.provider.update(&update).await),
        Some(ErrorClass::Invalid)
    );
    assert_eq!(stage.cloud.machines().unwrap(), ids, "nothing changed");
}
