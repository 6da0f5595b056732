//! The conformance suite notices a provider that handles private files wrongly.
//!
//! The simulated cloud hands none over, so a layer over it does: once rightly, and then with
//! each of these flaws.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use meshvm_provider_api::conformance::{
    Harness, machines_wait_for_their_files, private_files_are_asked_for_once,
};
use meshvm_provider_api::{
    Batch, Created, Difference, Effort, Finding, Info, Kind, Machine, MachineId, OpenContext,
    PrivateFiles, Provider, ProviderError, Query, Scope, Template, Update,
};
use meshvm_provider_sim::FaultPlan;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::harness::OnSim;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    AsksAgain,
    AsksForNone,
    AsksForOneOnly,
    AsksByAnotherName,
    AsksBeforeItRefuses,
    MixesMachinesUp,
    LosesThem,
    TellsThem,
    WritesThemDown,
    MakesMachinesWithout,
    HidesTheError,
}

/// What the machines were handed, by their names and the files' names.
type Handed = Arc<Mutex<BTreeMap<(String, String), String>>>;

/// Hands private files over; the cloud below knows nothing of them.
struct HandsOver {
    inner: Arc<dyn Provider>,
    handed: Handed,
    flaw: Option<Flaw>,
}

impl HandsOver {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Returns the names of the batch's machines that do not exist, if it is not refused.
    async fn missing(&self, batch: &Batch) -> Result<Vec<String>, ProviderError> {
        let query = Query::Stack(batch.ownership.stack.clone());
        let existing = self.inner.observe(&query).await?;
        let names = (0..batch.count).map(|i| batch.key.machine_name(&batch.ownership.fleet, i));
        let is_new = |name: &String| {
            self.has(Flaw::AsksAgain) || existing.iter().all(|machine| machine.name != *name)
        };
        // A key that made machines of another count was used for another request.
        if !existing.is_empty()
            && existing.len() as u64 != u64::from(batch.count)
            && !self.has(Flaw::AsksBeforeItRefuses)
        {
            return Ok(Vec::new());
        }
        let most = if self.has(Flaw::AsksForNone) {
            0
        } else if self.has(Flaw::AsksForOneOnly) {
            1
        } else {
            usize::MAX
        };
        Ok(names.filter(is_new).take(most).collect())
    }

    async fn hand_over(&self, name: &str, private: &dyn PrivateFiles) -> Result<(), ProviderError> {
        let other = format!("x{name}");
        let asked = if self.has(Flaw::AsksByAnotherName) {
            &other
        } else {
            name
        };
        for file in private.of(asked).await? {
            let content = if self.has(Flaw::LosesThem) {
                String::new()
            } else {
                file.content.expose_secret().to_owned()
            };
            let mut handed = self.handed.lock().unwrap();
            handed.insert((name.to_owned(), file.name), content);
        }
        Ok(())
    }

    /// Puts what a machine was handed where everyone sees it.
    fn spoil(&self, machines: &mut [Machine]) {
        if !self.has(Flaw::TellsThem) {
            return;
        }
        let handed = self.handed.lock().unwrap();
        for machine in machines {
            let own = handed.iter().filter(|((name, _), _)| *name == machine.name);
            let told = own.map(|((_, file), content)| (file.clone(), json!(content)));
            machine.attributes.extend(told.collect::<BTreeMap<_, _>>());
        }
    }
}

#[async_trait]
impl Provider for HandsOver {
    async fn observe(&self, query: &Query) -> Result<Vec<Machine>, ProviderError> {
        self.inner.observe(query).await
    }

    async fn prepare(
        &self,
        template: &Template,
        effort: Effort,
    ) -> Result<Template, ProviderError> {
        self.inner.prepare(template, effort).await
    }

    async fn create(
        &self,
        batch: &Batch,
        private: &dyn PrivateFiles,
    ) -> Result<Created, ProviderError> {
        for name in self.missing(batch).await? {
            match self.hand_over(&name, private).await {
                Err(_) if self.has(Flaw::MakesMachinesWithout) => {}
                Err(error) if self.has(Flaw::HidesTheError) => {
                    return Ok(Created {
                        machines: Vec::new(),
                        shortfall: Some(meshvm_provider_api::Shortfall {
                            class: error.class,
                            message: error.message,
                        }),
                    });
                }
                answer => answer?,
            }
        }
        let mut created = self.inner.create(batch, private).await?;
        self.spoil(&mut created.machines);
        Ok(created)
    }

    async fn update(&self, update: &Update) -> Result<(), ProviderError> {
        self.inner.update(update).await
    }

    async fn delete(&self, stack: &str, machines: &[MachineId]) -> Result<(), ProviderError> {
        self.inner.delete(stack, machines).await
    }
}

/// A kind that says of itself that it hands private files over.
struct Private {
    inner: Arc<dyn Kind>,
    info: &'static Info,
}

#[async_trait]
impl Kind for Private {
    fn info(&self) -> &'static Info {
        self.info
    }

    fn template(&self, settings: &Value, base_dir: &Path) -> Result<Template, Vec<Finding>> {
        self.inner.template(settings, base_dir)
    }

    fn compare(&self, template: &Template, machine: &Machine) -> Vec<Difference> {
        self.inner.compare(template, machine)
    }

    async fn open(
        &self,
        template: Option<&Template>,
        scope: &Scope,
        context: &OpenContext,
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        self.inner.open(template, scope, context).await
    }
}

/// The simulated cloud below a layer that hands files over.
struct OnPrivate {
    sim: OnSim,
    handed: Handed,
    flaw: Option<Flaw>,
}

impl OnPrivate {
    fn new(flaw: Option<Flaw>) -> Self {
        let mut sim = OnSim::memory(FaultPlan::default());
        let info = Info {
            private_files: true,
            ..*sim.kind.info()
        };
        sim.kind = Arc::new(Private {
            inner: sim.kind.clone(),
            info: Box::leak(Box::new(info)),
        });
        let handed = Handed::default();
        let own = handed.clone();
        sim.flaw = Some(Arc::new(move |inner| {
            let handed = own.clone();
            Arc::new(HandsOver {
                inner,
                handed,
                flaw,
            })
        }));
        Self { sim, handed, flaw }
    }
}

#[async_trait]
impl Harness for OnPrivate {
    fn kind(&self) -> Arc<dyn Kind> {
        self.sim.kind()
    }

    fn template(&self) -> Template {
        self.sim.template()
    }

    fn context(&self) -> OpenContext {
        self.sim.context()
    }

    async fn open(&self) -> Result<Arc<dyn Provider>, ProviderError> {
        self.sim.open().await
    }

    fn key(&self) -> meshvm_provider_api::BatchKey {
        self.sim.key()
    }

    async fn settle(&self) {
        self.sim.settle().await;
    }

    async fn private_file(&self, machine: &Machine, name: &str) -> Option<String> {
        let handed = self.handed.lock().unwrap();
        let found = if self.flaw == Some(Flaw::MixesMachinesUp) {
            handed.values().next()
        } else {
            handed.get(&(machine.name.clone(), name.to_owned()))
        };
        Some(found.cloned().unwrap_or_default())
    }

    async fn records(&self, machine: &Machine) -> String {
        if self.flaw != Some(Flaw::WritesThemDown) {
            return machine.name.clone();
        }
        format!("{:?}", self.handed.lock().unwrap())
    }
}

/// Returns whether the rules pass a provider.
async fn passes(harness: impl Harness + 'static) -> bool {
    let rules = tokio::spawn(async move {
        private_files_are_asked_for_once(&harness).await;
        machines_wait_for_their_files(&harness).await;
    });
    match rules.await {
        Ok(()) => true,
        Err(error) => {
            assert!(error.is_panic(), "{error}");
            false
        }
    }
}

#[tokio::test]
async fn who_hands_them_over_rightly_passes() {
    assert!(passes(OnPrivate::new(None)).await);
}

#[tokio::test]
async fn who_has_no_private_way_may_not_ask() {
    let mut asks = OnPrivate::new(None);
    asks.sim.kind = OnSim::memory(FaultPlan::default()).kind;
    assert!(!passes(asks).await);
}

#[tokio::test]
async fn every_flaw_with_private_files_is_noticed() {
    let flaws = [
        Flaw::AsksAgain,
        Flaw::AsksForNone,
        Flaw::AsksForOneOnly,
        Flaw::AsksByAnotherName,
        Flaw::AsksBeforeItRefuses,
        Flaw::MixesMachinesUp,
        Flaw::LosesThem,
        Flaw::TellsThem,
        Flaw::WritesThemDown,
        Flaw::MakesMachinesWithout,
        Flaw::HidesTheError,
    ];
    let mut missed = Vec::new();
    for flaw in flaws {
        if passes(OnPrivate::new(Some(flaw))).await {
            missed.push(flaw);
        }
    }
    assert!(
        missed.is_empty(),
        "the rules pass providers with {missed:?}"
    );
}
