//! The harness of the conformance suite, and what else several tests need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use meshvm_provider_api::conformance::Harness;
use meshvm_provider_api::layers::{Meter, Retry, wrap};
use meshvm_provider_api::{
    BatchKey, Kind, Machine, MachineId, OpenContext, Power, Progress, Provider, ProviderError,
    Readiness, Requests, Shared, Template,
};
use meshvm_provider_sim::{Death, FaultPlan, Probability, SimCloud, Span, Throttle};
use serde_json::{Value, json};

/// What is put round every provider that the harness opens.
pub type Flawed = Arc<dyn Fn(Arc<dyn Provider>) -> Arc<dyn Provider> + Send + Sync>;

/// The suite's view of a simulated cloud.
pub struct OnSim {
    pub cloud: SimCloud,
    pub kind: Arc<dyn Kind>,
    pub lag: u64,
    pub retries: bool,
    pub flaw: Option<Flawed>,
    requests: Requests,
    counter: AtomicU64,
}

impl OnSim {
    pub fn new(cloud: SimCloud, plan: &FaultPlan) -> Self {
        Self {
            kind: Arc::new(cloud.kind()),
            lag: plan.longest_lag(),
            retries: false,
            flaw: None,
            requests: Requests::default(),
            counter: AtomicU64::new(0),
            cloud,
        }
    }

    pub fn memory(plan: FaultPlan) -> Self {
        Self::new(SimCloud::memory(plan.clone()), &plan)
    }

    pub fn with_retries(mut self) -> Self {
        self.retries = true;
        self
    }

    fn block(&self, settings: &Value) -> Template {
        self.kind.template(settings, Path::new("")).unwrap()
    }
}

#[async_trait]
impl Harness for OnSim {
    fn kind(&self) -> Arc<dyn Kind> {
        self.kind.clone()
    }

    fn template(&self) -> Template {
        self.block(&json!({"tags": {"a": "1"}}))
    }

    fn changed_template(&self) -> Option<(Template, Vec<String>)> {
        let changed = self.block(&json!({"size": "large", "diskGiB": 11, "tags": {"b": "2"}}));
        let names = ["size", "diskGiB", "tags.a", "tags.b"];
        Some((changed, names.map(str::to_owned).to_vec()))
    }

    fn context(&self) -> OpenContext {
        OpenContext {
            data_dir: PathBuf::new(),
            // Retries make the count say nothing of pages: nobody counts then.
            requests: if self.retries {
                Requests::default()
            } else {
                self.requests.clone()
            },
            progress: Progress::silent(),
            shared: Shared::default(),
        }
    }

    async fn open(&self) -> Result<Arc<dyn Provider>, ProviderError> {
        let (template, context) = (self.template(), self.context());
        let opened = self.kind.open(Some(&template), &template.scope, &context);
        let retry = Retry::paced_by(self.kind.info().poll, Meter::default());
        let provider = opened.await?;
        let provider = match &self.flaw {
            Some(flaw) => flaw(provider),
            None => provider,
        };
        Ok(if self.retries {
            wrap(provider, retry)
        } else {
            provider
        })
    }

    fn key(&self) -> BatchKey {
        let count = self.counter.fetch_add(1, Ordering::Relaxed) + 1;
        BatchKey(uuid::Uuid::from_u128(u128::from(count) << 96))
    }

    async fn settle(&self) {
        self.cloud.tick(self.lag).unwrap();
    }

    async fn stop(&self, machine: &MachineId) -> Option<()> {
        self.cloud.kill(machine, Death::Stopped).ok()
    }

    async fn add_foreign(&self) -> Option<MachineId> {
        let id = MachineId(format!("foreign-{}", self.key().short()));
        let machine = Machine {
            id: id.clone(),
            name: id.0.clone(),
            zone: "a".into(),
            power: Power::Running,
            readiness: Readiness::Unknown,
            address: None,
            labels: BTreeMap::new(),
            attributes: BTreeMap::new(),
        };
        self.cloud
            .add_foreign(&self.template().scope, machine)
            .ok()?;
        Some(id)
    }

    async fn remove_foreign(&self, machine: &MachineId) {
        self.cloud.kill(machine, Death::Gone).unwrap();
    }
}

/// A cloud that is late and slow, and refuses nothing.
pub fn late() -> FaultPlan {
    FaultPlan {
        seed: 3,
        list_lag: Span { min: 2, max: 9 },
        by_id_lag: Span { min: 0, max: 4 },
        start_after: Span { min: 1, max: 5 },
        ready_after: Span { min: 0, max: 20 },
        ..FaultPlan::default()
    }
}

/// The same, refusing calls and losing replies.
pub fn hostile(seed: u64) -> FaultPlan {
    FaultPlan {
        seed,
        throttle: Throttle {
            every: 7,
            probability: Probability::percent(5),
        },
        unavailable: Probability::percent(5),
        lost_reply: Probability::percent(20),
        ..late()
    }
}
