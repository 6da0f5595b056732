//! The half of the provider that makes and finds machines, for asynchronous callers.
//!
//! Everything here blocks, so each operation runs on a thread of its own. A
//! caller that gives up does not stop it: it comes to its end all the same.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use meshvm_provider_api::{
    Batch, Created, Effort, ErrorClass, Machine, MachineId, PrivateFiles, Provider, ProviderError,
    Query, Template, Update,
};

use crate::error::LocalError;
use crate::host::Host;

/// How many machines' tokens are asked for at the same time: a cluster serves one client so many
/// without queueing.
const TOKENS_AT_ONCE: usize = 8;

/// The machines of a data folder.
pub(crate) struct LocalProvider {
    host: Arc<Host>,
}

impl LocalProvider {
    pub fn new(host: Host) -> Self {
        Self {
            host: Arc::new(host),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Host) -> Result<T, LocalError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let host = self.host.clone();
        match tokio::task::spawn_blocking(move || work(&host)).await {
            Ok(answer) => Ok(answer?),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(error) => {
                    let message = "the operation was given up as the program ends";
                    Err(ProviderError::new(ErrorClass::ReplyLost, message).with_source(error))
                }
            },
        }
    }
}

#[async_trait]
impl Provider for LocalProvider {
    async fn observe(&self, query: &Query) -> Result<Vec<Machine>, ProviderError> {
        let query = query.clone();
        self.run(move |host| host.observe(&query)).await
    }

    async fn prepare(
        &self,
        template: &Template,
        effort: Effort,
    ) -> Result<Template, ProviderError> {
        let template = template.clone();
        match effort {
            // A template says by itself what it is made from.
            Effort::Look => Ok(template),
            Effort::Make => {
                self.run(move |host| host.prepare(&template).map(|()| template))
                    .await
            }
        }
    }

    async fn create(
        &self,
        batch: &Batch,
        private: &dyn PrivateFiles,
    ) -> Result<Created, ProviderError> {
        // No lock is held meanwhile: that nobody else makes machines of the same batch is the
        // engine's promise, and what goes all the same is noticed.
        let asked = batch.clone();
        let wanted = self.run(move |host| host.wanted(&asked)).await?;
        let files = wanted.into_iter().map(|name| async move {
            let own = private.of(&name).await?;
            Ok::<_, ProviderError>((name, own))
        });
        let files = stream::iter(files).buffered(TOKENS_AT_ONCE);
        let files: BTreeMap<_, _> = files.try_collect().await?;
        let batch = batch.clone();
        self.run(move |host| host.create(&batch, files)).await
    }

    async fn update(&self, update: &Update) -> Result<(), ProviderError> {
        let update = update.clone();
        self.run(move |host| host.update(&update)).await
    }

    async fn delete(&self, stack: &str, machines: &[MachineId]) -> Result<(), ProviderError> {
        let (stack, machines) = (stack.to_owned(), machines.to_vec());
        self.run(move |host| host.delete(&stack, &machines)).await
    }
}
