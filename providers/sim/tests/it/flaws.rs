//! The conformance suite notices: each of these flaws breaks a provider in one way only.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use meshvm_provider_api::conformance::suite;
use meshvm_provider_api::{
    Batch, BatchKey, Created, Effort, ErrorClass, Machine, MachineId, PrivateFiles, Provider,
    ProviderError, Query, Shortfall, Template, Update, labels,
};
use meshvm_provider_sim::{FaultPlan, SimCloud};
use serde_json::json;

use crate::harness::OnSim;

#[derive(Clone, Copy, Debug)]
enum Flaw {
    ForgetsKeys,
    AcceptsAnotherRequest,
    RemakesUnderNewNames,
    HidesTheShortfall,
    LabelsLate,
    LosesALabel,
    IgnoresTheStack,
    IgnoresPatterns,
    ListsTwice,
    HidesForeignMachines,
    ShowsDeletedMachines,
    AsksForEachMachine,
    KeepsLabels,
    LabelsBystanders,
    ForgetsToStart,
    StartsUnasked,
    IgnoresAttributes,
    UpdatesWhatIsGone,
    DeletesOnce,
    DeletesWhatIsNotItsOwn,
    DeletesTheOwnOnConflict,
    ReusesNames,
    IsNotWhatWasAsked,
}

struct Flawed {
    flaw: Flaw,
    inner: Arc<dyn Provider>,
    cloud: SimCloud,
    seen: Mutex<BTreeSet<MachineId>>,
    keys: Mutex<u128>,
}

impl Flawed {
    fn next(&self) -> u128 {
        let mut keys = self.keys.lock().unwrap();
        *keys += 1;
        *keys
    }

    fn spoil(&self, machine: &mut Machine) {
        match self.flaw {
            Flaw::LosesALabel => drop(machine.labels.remove(labels::USER_DATA)),
            Flaw::ReusesNames => machine.name = "machine".into(),
            Flaw::IsNotWhatWasAsked => drop(machine.attributes.insert("size".into(), json!("s"))),
            _ => {}
        }
    }
}

#[async_trait]
impl Provider for Flawed {
    async fn observe(&self, query: &Query) -> Result<Vec<Machine>, ProviderError> {
        let mut machines = match (self.flaw, query) {
            (Flaw::IgnoresTheStack, Query::Stack(_)) => self.cloud.machines().unwrap(),
            (Flaw::IgnoresPatterns, Query::Labelled(_)) => self.cloud.machines().unwrap(),
            (Flaw::AsksForEachMachine, Query::Machines(ids)) => {
                let mut machines = Vec::new();
                for id in ids {
                    let query = Query::Machines(vec![id.clone()]);
                    machines.extend(self.inner.observe(&query).await?);
                }
                machines
            }
            _ => self.inner.observe(query).await?,
        };
        let mut seen = self.seen.lock().unwrap();
        for machine in &mut machines {
            self.spoil(machine);
            if matches!(self.flaw, Flaw::LabelsLate) && seen.insert(machine.id.clone()) {
                machine.labels.remove(labels::FLEET);
            }
        }
        match (self.flaw, query) {
            (Flaw::ListsTwice, _) => machines.extend(machines.clone()),
            (Flaw::HidesForeignMachines, Query::Machines(_)) => {
                machines.retain(|machine| machine.labels.contains_key(labels::STACK));
            }
            (Flaw::ShowsDeletedMachines, Query::Machines(ids)) => {
                let shown: BTreeSet<_> = machines.iter().map(|m| m.id.clone()).collect();
                let template = machines.first().cloned();
                for id in ids.iter().filter(|id| !shown.contains(id)) {
                    machines.extend(template.clone().map(|m| Machine {
                        id: id.clone(),
                        ..m
                    }));
                }
            }
            _ => {}
        }
        Ok(machines)
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
        let mut batch = batch.clone();
        if matches!(self.flaw, Flaw::ForgetsKeys) {
            batch.key = BatchKey(uuid::Uuid::from_u128(self.next() << 64));
        }
        let mut created = match self.inner.create(&batch, private).await {
            Err(error)
                if error.class == ErrorClass::Conflict
                    && matches!(self.flaw, Flaw::AcceptsAnotherRequest) =>
            {
                let (machines, class) = (Vec::new(), ErrorClass::Conflict);
                let message = String::new();
                let shortfall = Some(Shortfall { class, message });
                Created {
                    machines,
                    shortfall,
                }
            }
            answer => answer?,
        };
        if created.shortfall.is_some() {
            match self.flaw {
                Flaw::HidesTheShortfall => created.shortfall = None,
                Flaw::RemakesUnderNewNames => {
                    batch.key = BatchKey(uuid::Uuid::from_u128(self.next() << 64));
                    let more = self.inner.create(&batch, private).await?;
                    created.machines.extend(more.machines);
                    created.shortfall = None;
                }
                _ => {}
            }
        }
        created.machines.iter_mut().for_each(|m| self.spoil(m));
        Ok(created)
    }

    async fn update(&self, update: &Update) -> Result<(), ProviderError> {
        let mut update = update.clone();
        match self.flaw {
            Flaw::KeepsLabels => update.remove_labels.clear(),
            Flaw::LabelsBystanders => {
                let all = self.cloud.machines().unwrap();
                update
                    .machines
                    .extend(all.into_iter().map(|machine| machine.id));
            }
            Flaw::ForgetsToStart => update.start = false,
            Flaw::StartsUnasked => update.start = true,
            Flaw::IgnoresAttributes => update.attributes.clear(),
            _ => {}
        }
        match self.inner.update(&update).await {
            Err(error)
                if error.class == ErrorClass::NotFound
                    && matches!(self.flaw, Flaw::UpdatesWhatIsGone) =>
            {
                Ok(())
            }
            answer => answer,
        }
    }

    async fn delete(&self, stack: &str, machines: &[MachineId]) -> Result<(), ProviderError> {
        if matches!(self.flaw, Flaw::DeletesOnce) {
            for id in machines {
                if self.cloud.machine(id).unwrap().is_none() {
                    return Err(ProviderError::new(ErrorClass::NotFound, "gone"));
                }
            }
        }
        match (self.inner.delete(stack, machines).await, self.flaw) {
            (Err(error), Flaw::DeletesWhatIsNotItsOwn) if error.class == ErrorClass::Conflict => {
                for id in machines {
                    self.cloud.kill(id, meshvm_provider_sim::Death::Gone).ok();
                }
                Ok(())
            }
            (Err(error), Flaw::DeletesTheOwnOnConflict) if error.class == ErrorClass::Conflict => {
                for id in machines {
                    self.inner
                        .delete(stack, std::slice::from_ref(id))
                        .await
                        .ok();
                }
                Err(error)
            }
            (answer, _) => answer,
        }
    }
}

async fn notices(flaw: Flaw) -> bool {
    let mut harness = OnSim::memory(FaultPlan::default());
    let cloud = harness.cloud.clone();
    harness.flaw = Some(Arc::new(move |inner| {
        Arc::new(Flawed {
            flaw,
            inner,
            cloud: cloud.clone(),
            seen: Mutex::default(),
            keys: Mutex::new(0),
        })
    }));
    let run = tokio::spawn(async move { suite(&harness).await });
    run.await.is_err_and(|error| error.is_panic())
}

#[tokio::test]
async fn every_flaw_is_noticed() {
    let flaws = [
        Flaw::ForgetsKeys,
        Flaw::AcceptsAnotherRequest,
        Flaw::RemakesUnderNewNames,
        Flaw::HidesTheShortfall,
        Flaw::LabelsLate,
        Flaw::LosesALabel,
        Flaw::IgnoresTheStack,
        Flaw::IgnoresPatterns,
        Flaw::ListsTwice,
        Flaw::HidesForeignMachines,
        Flaw::ShowsDeletedMachines,
        Flaw::AsksForEachMachine,
        Flaw::KeepsLabels,
        Flaw::LabelsBystanders,
        Flaw::ForgetsToStart,
        Flaw::StartsUnasked,
        Flaw::IgnoresAttributes,
        Flaw::UpdatesWhatIsGone,
        Flaw::DeletesOnce,
        Flaw::DeletesWhatIsNotItsOwn,
        Flaw::DeletesTheOwnOnConflict,
        Flaw::ReusesNames,
        Flaw::IsNotWhatWasAsked,
    ];
    let mut missed = Vec::new();
    for flaw in flaws {
        if !notices(flaw).await {
            missed.push(flaw);
        }
    }
    assert!(
        missed.is_empty(),
        "the suite passes providers with {missed:?}"
    );
}
