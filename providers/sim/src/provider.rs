//! The half of the provider that sends requests to the simulated cloud.

use std::collections::BTreeSet;

use async_trait::async_trait;
use meshvm_provider_api::{
    Batch, Created, Effort, ErrorClass, Machine, MachineId, PrivateFiles, Provider, ProviderError,
    Query, Requests, Scope, Template, Update,
};

use crate::cloud::SimCloud;
use crate::requests::{self, List, Listed, PAGE, Page, Request};

/// How often a page after the first is asked for before the listing fails.
///
/// Without it a long listing would not end where calls are refused now and
/// then: the clouds' own libraries do the same.
const PAGE_ATTEMPTS: u32 = 8;

/// One scope of a simulated cloud.
pub(crate) struct SimProvider {
    pub cloud: SimCloud,
    pub scope: Scope,
    pub max_batch: u32,
    pub compare: requests::Compare,
    pub requests: Requests,
}

impl SimProvider {
    async fn send<R: Request>(&self, request: R) -> Result<R::Answer, ProviderError> {
        self.requests.count(R::CALL.as_str());
        self.cloud.send(request).await
    }

    /// Asks for page after page.
    async fn pages(
        &self,
        listed: impl Fn(Option<MachineId>) -> Listed + Send,
    ) -> Result<Vec<Machine>, ProviderError> {
        let mut machines = Vec::new();
        let mut last = None;
        loop {
            let page = self.page(machines.is_empty(), listed(last)).await?;
            machines.extend(page.machines);
            last = page.last;
            if last.is_none() {
                return Ok(machines);
            }
        }
    }

    async fn page(&self, first: bool, listed: Listed) -> Result<Page, ProviderError> {
        let mut attempts = if first { 1 } else { PAGE_ATTEMPTS };
        loop {
            let request = List {
                scope: self.scope.clone(),
                listed: listed.clone(),
            };
            attempts -= 1;
            match self.send(request).await {
                Err(error) if attempts > 0 && error.class.is_transient() => {}
                answer => return answer,
            }
        }
    }
}

#[async_trait]
impl Provider for SimProvider {
    async fn observe(&self, query: &Query) -> Result<Vec<Machine>, ProviderError> {
        let mut machines = Vec::new();
        match query {
            Query::Stack(stack) => {
                let listed = |last| Listed::Stack {
                    stack: stack.clone(),
                    last,
                };
                machines = self.pages(listed).await?;
            }
            Query::Labelled(patterns) => {
                let listed = |last| Listed::Labelled {
                    patterns: patterns.clone(),
                    last,
                };
                machines = self.pages(listed).await?;
            }
            Query::Machines(ids) => {
                let ids: Vec<MachineId> = ids
                    .iter()
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .cloned()
                    .collect();
                for (index, ids) in ids.chunks(PAGE).enumerate() {
                    let page = self
                        .page(index == 0, Listed::Machines(ids.to_vec()))
                        .await?;
                    machines.extend(page.machines);
                }
            }
        }
        Ok(machines)
    }

    async fn prepare(&self, template: &Template, _: Effort) -> Result<Template, ProviderError> {
        // Whatever a template names is there.
        self.check_scope(template)?;
        Ok(template.clone())
    }

    async fn create(&self, batch: &Batch, _: &dyn PrivateFiles) -> Result<Created, ProviderError> {
        self.check_scope(&batch.template)?;
        self.send(requests::Create {
            batch: batch.clone(),
            max_batch: self.max_batch,
        })
        .await
    }

    async fn update(&self, update: &Update) -> Result<(), ProviderError> {
        if update.machines.is_empty() {
            return Ok(());
        }
        self.send(requests::Update {
            scope: self.scope.clone(),
            update: update.clone(),
            compare: self.compare.clone(),
            max_batch: self.max_batch,
        })
        .await
    }

    async fn delete(&self, stack: &str, machines: &[MachineId]) -> Result<(), ProviderError> {
        if machines.is_empty() {
            return Ok(());
        }
        self.send(requests::Delete {
            scope: self.scope.clone(),
            stack: stack.to_owned(),
            machines: machines.to_vec(),
            max_batch: self.max_batch,
        })
        .await
    }
}

impl SimProvider {
    fn check_scope(&self, template: &Template) -> Result<(), ProviderError> {
        if template.scope == self.scope {
            return Ok(());
        }
        let message = format!(
            "{} asked for what belongs to {}",
            self.scope, template.scope
        );
        Err(ProviderError::new(ErrorClass::Invalid, message))
    }
}
