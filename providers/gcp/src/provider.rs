//! The half of the provider that talks to one scope.

use std::sync::Arc;

use async_trait::async_trait;
use meshvm_provider_api::{
    Batch, Created, Effort, ErrorClass, Growth, Machine, MachineId, Need, PrivateFiles, Provider,
    ProviderError, Query, Scope, Template, Update, labels,
};

use crate::client::Client;
use crate::firewall::{Owner, Rules};
use crate::observe;
use crate::recipe::Recipe;
use crate::{check, create, delete, resolve, update};

/// One scope: what some credentials reach of one project in one region.
pub(crate) struct GcpProvider {
    client: Client,
    scope: Scope,
    rules: Arc<Rules>,
}

impl GcpProvider {
    /// Makes the provider, of a project whose rules other scopes may use as well; sends nothing.
    pub fn new(client: Client, scope: Scope, rules: Arc<Rules>) -> Self {
        Self {
            client,
            scope,
            rules,
        }
    }

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

#[async_trait]
impl Provider for GcpProvider {
    async fn observe(&self, query: &Query) -> Result<Vec<Machine>, ProviderError> {
        let mut machines = observe::machines(&self.client, query).await?;
        if let Query::Labelled(patterns) = query {
            // The cloud's filters know no pattern: it tells who has the labels at all.
            let fits = |machine: &Machine, (key, pattern): (&String, &String)| {
                let value = machine.labels.get(key);
                value.is_some_and(|value| labels::fits(pattern, value))
            };
            machines.retain(|machine| patterns.iter().all(|label| fits(machine, label)));
        }
        Ok(machines)
    }

    async fn prepare(&self, template: &Template, _: Effort) -> Result<Template, ProviderError> {
        self.check_scope(template)?;
        // What a machine needs is made in its own call.
        resolve::template(&self.client, template).await
    }

    async fn check(
        &self,
        template: &Template,
        growth: &Growth,
    ) -> Result<Vec<Need>, ProviderError> {
        self.check_scope(template)?;
        let template = resolve::template(&self.client, template).await?;
        check::template(&self.client, &template, growth).await
    }

    async fn create(&self, batch: &Batch, _: &dyn PrivateFiles) -> Result<Created, ProviderError> {
        self.check_scope(&batch.template)?;
        let asked = Recipe::of(&batch.template)?.asked;
        if let Some(firewall) = &asked.firewall {
            let owner = Owner {
                stack: &batch.ownership.stack,
                fleet: &batch.ownership.fleet,
            };
            let rule = &firewall.owned;
            self.rules.ensure(&self.client, owner, &asked, rule).await?;
        }
        create::batch(&self.client, batch).await
    }

    async fn update(&self, update: &Update) -> Result<(), ProviderError> {
        if let Some(template) = &update.template {
            self.check_scope(template)?;
        }
        update::machines(&self.client, &self.rules, update).await
    }

    async fn delete(&self, stack: &str, machines: &[MachineId]) -> Result<(), ProviderError> {
        let may_be_last = delete::machines(&self.client, stack, machines).await?;
        self.rules.remember_ended(machines).await;
        match may_be_last {
            true => self.rules.remove_unused(&self.client, stack).await,
            false => Ok(()),
        }
    }
}
