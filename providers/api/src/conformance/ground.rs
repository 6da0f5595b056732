//! A stack of a rule's own, and the few moves that all rules are made of.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;

use super::Harness;
use crate::contract::{Batch, Effort, Provider, Query, Update};
use crate::error::{ErrorClass, ProviderError};
use crate::labels::{Hash, Labels, Ownership};
use crate::machine::{Machine, MachineId, Power};
use crate::private::NoPrivateFiles;

/// A stack that nobody else uses.
pub(super) struct Ground<'h> {
    pub harness: &'h dyn Harness,
    pub provider: Arc<dyn Provider>,
    pub stack: String,
}

impl<'h> Ground<'h> {
    pub async fn new(harness: &'h dyn Harness) -> Self {
        let provider = done("opening", harness.open().await);
        let prepared = provider.prepare(&harness.template(), Effort::Make).await;
        done("preparing", prepared);
        Self {
            harness,
            provider,
            stack: format!("conformance-{}", harness.key().short()),
        }
    }

    /// Returns a batch under a fresh key.
    pub fn batch(&self, count: u32) -> Batch {
        let template = self.harness.template();
        let key = self.harness.key();
        let user_data = self.harness.user_data();
        Batch {
            key,
            ownership: Ownership {
                stack: self.stack.clone(),
                fleet: "fleet".to_owned(),
                batch: Some(key),
                spec: Hash::of("spec"),
                user_data: Some(Hash::of(&user_data)),
            },
            labels: Labels::from([("team".to_owned(), "a".to_owned())]),
            zone: template.zones.first().cloned().unwrap_or_default(),
            count,
            template,
            user_data,
            media: self.harness.media(),
        }
    }

    /// Creates a batch, all of it.
    pub async fn create(&self, batch: &Batch) -> Vec<Machine> {
        let created = done(
            "creating",
            self.provider.create(batch, &NoPrivateFiles).await,
        );
        assert_eq!(created.shortfall, None, "a small batch comes out whole");
        let count = usize::try_from(batch.count).unwrap_or(usize::MAX);
        assert_eq!(created.machines.len(), count, "a batch has its count");
        created.machines
    }

    /// Creates so many machines, and returns their ids once listings show them.
    pub async fn machines(&self, count: u32) -> Vec<MachineId> {
        let made = self.create(&self.batch(count)).await;
        self.harness.settle().await;
        ids(&made).into_iter().collect()
    }

    /// Lists the stack once listings show everything.
    pub async fn list(&self) -> Vec<Machine> {
        self.list_stack(&self.stack).await
    }

    /// Lists another stack once listings show everything.
    pub async fn list_stack(&self, stack: &str) -> Vec<Machine> {
        self.harness.settle().await;
        self.observe(&Query::Stack(stack.to_owned())).await
    }

    /// Lists machines by id once listings show everything; those that are said to be gone are not
    /// among them.
    pub async fn find(&self, machines: &[MachineId]) -> Vec<Machine> {
        self.harness.settle().await;
        let mut found = self.observe(&Query::Machines(machines.to_vec())).await;
        found.retain(|machine| machine.power != Power::Gone);
        found
    }

    /// Lists at once, however late the listing may be.
    pub async fn observe(&self, query: &Query) -> Vec<Machine> {
        let machines = done("observing", self.provider.observe(query).await);
        assert_eq!(
            ids(&machines).len(),
            machines.len(),
            "nothing is listed twice"
        );
        let is_listing = matches!(query, Query::Stack(_));
        assert!(
            !is_listing || machines.iter().all(|m| m.power != Power::Gone),
            "a stack's listing shows no machine that is gone"
        );
        machines
    }

    /// Waits until all of these machines run.
    pub async fn running(&self, machines: &[MachineId]) -> Vec<Machine> {
        let info = self.harness.kind().info();
        for _ in 0..info.polls {
            let found = self.observe(&Query::Machines(machines.to_vec())).await;
            let running = found.iter().filter(|m| m.power == Power::Running).count();
            if running == machines.len() {
                return found;
            }
            tokio::time::sleep(info.poll).await;
        }
        panic!("{machines:?} did not run within {} looks", info.polls);
    }

    /// Makes an update that changes nothing yet.
    pub fn update(&self, machines: &[MachineId]) -> Update {
        Update {
            machines: machines.to_vec(),
            template: None,
            attributes: Vec::new(),
            start: false,
            set_labels: Labels::new(),
            remove_labels: Vec::new(),
        }
    }

    pub async fn apply(&self, update: &Update) {
        done("updating", self.provider.update(update).await);
    }

    pub async fn delete(&self, machines: &[MachineId]) {
        done(
            "deleting",
            self.provider.delete(&self.stack, machines).await,
        );
    }

    /// Deletes what the stack has left.
    pub async fn clear(self) {
        let left: Vec<MachineId> = ids(&self.list().await).into_iter().collect();
        self.delete(&left).await;
        assert_eq!(self.list().await, [], "a deleted stack is empty");
    }
}

/// Returns what a call returned, which must have succeeded.
pub(super) fn done<T>(what: &str, answer: Result<T, ProviderError>) -> T {
    match answer {
        Ok(value) => value,
        Err(error) => panic!("{what} failed: {}", chain(&error)),
    }
}

/// Checks that a call failed, and with what.
pub(super) fn fails<T>(rule: impl Display, class: ErrorClass, answer: Result<T, ProviderError>) {
    match answer {
        Ok(_) => panic!("{rule}: it succeeded"),
        Err(error) => assert_eq!(error.class, class, "{rule}: {}", chain(&error)),
    }
}

/// Returns the ids of machines.
pub(super) fn ids(machines: &[Machine]) -> BTreeSet<MachineId> {
    machines.iter().map(|machine| machine.id.clone()).collect()
}

fn chain(error: &ProviderError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
