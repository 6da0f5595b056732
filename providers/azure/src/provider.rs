//! The half of the provider that talks to one scope.

use std::sync::Arc;

use async_trait::async_trait;
use meshvm_provider_api::{
    Batch, Created, Effort, ErrorClass, Growth, Machine, MachineId, Need, PrivateFiles, Provider,
    ProviderError, Query, Scope, Template, Update,
};

use crate::client::Client;
use crate::group::Group;
use crate::observe::{self, Which};
use crate::recipe::Recipe;
use crate::{check, create, delete, resolve, update};

/// One scope: a location of a resource group.
pub(crate) struct AzureProvider {
    client: Client,
    scope: Scope,
    group: Arc<Group>,
}

impl AzureProvider {
    /// Makes the provider; sends nothing.
    pub fn new(client: Client, scope: Scope, group: Arc<Group>) -> Self {
        Self {
            client,
            scope,
            group,
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
impl Provider for AzureProvider {
    async fn observe(&self, query: &Query) -> Result<Vec<Machine>, ProviderError> {
        let which = match query {
            Query::Stack(stack) => Which::of_stack(stack),
            Query::Machines(ids) => Which::machines(ids),
            Query::Labelled(patterns) => Which::Labelled(patterns.clone()),
        };
        observe::machines(&self.client, &which).await
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
        let is_own = Recipe::of(&batch.template)?.asked.create_resource_group;
        let owner = is_own.then_some(batch.ownership.stack.as_str());
        let make = create::batch(&self.client, batch);
        self.group.while_making(&self.client, owner, make).await
    }

    async fn update(&self, update: &Update) -> Result<(), ProviderError> {
        if let Some(template) = &update.template {
            self.check_scope(template)?;
        }
        update::machines(&self.client, update).await
    }

    async fn delete(&self, stack: &str, machines: &[MachineId]) -> Result<(), ProviderError> {
        delete::machines(&self.client, stack, machines).await?;
        self.group.remove_if_empty(&self.client, stack).await
    }
}
