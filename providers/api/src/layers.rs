//! Wrappers round any provider, written once: metrics, retries, pace, injected faults.
//!
//! A layer sees every operation as an opaque repeatable call. It may delay,
//! repeat, count or fail it; it may not look into or change its arguments.
//! Repeating is right for every operation, since the contract makes all safe
//! to repeat: a lost reply of `create` is settled by its key.

mod faults;
mod meter;
mod pace;
mod retry;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::contract::{Batch, Created, Effort, Provider, Query, Update};
use crate::error::ProviderError;
use crate::machine::{Machine, MachineId};
use crate::need::{Growth, Need};
use crate::private::PrivateFiles;
use crate::template::Template;

pub use faults::{Fault, Faults};
pub use meter::{Meter, OperationMetrics};
pub use pace::Pace;
pub use retry::Retry;

/// An operation of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// [`Provider::observe`].
    Observe,
    /// [`Provider::prepare`].
    Prepare,
    /// [`Provider::check`].
    Check,
    /// [`Provider::create`].
    Create,
    /// [`Provider::update`].
    Update,
    /// [`Provider::delete`].
    Delete,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Observe => "observe",
            Self::Prepare => "prepare",
            Self::Check => "check",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        })
    }
}

/// Something done round every operation of a provider.
pub trait Layer: Send + Sync + 'static {
    /// Runs `call`, any number of times, and returns the answer of the last.
    ///
    /// # Errors
    /// Those of the call, or the layer's own.
    fn around<T, F, Fut>(
        &self,
        operation: Operation,
        call: F,
    ) -> impl Future<Output = Result<T, ProviderError>> + Send
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send;
}

/// A provider inside a layer.
pub struct Layered<L> {
    inner: Arc<dyn Provider>,
    layer: L,
}

/// Puts a layer round a provider.
pub fn wrap(inner: Arc<dyn Provider>, layer: impl Layer) -> Arc<dyn Provider> {
    Arc::new(Layered { inner, layer })
}

#[async_trait]
impl<L: Layer> Provider for Layered<L> {
    async fn observe(&self, query: &Query) -> Result<Vec<Machine>, ProviderError> {
        self.layer
            .around(Operation::Observe, || self.inner.observe(query))
            .await
    }

    async fn prepare(
        &self,
        template: &Template,
        effort: Effort,
    ) -> Result<Template, ProviderError> {
        self.layer
            .around(Operation::Prepare, || self.inner.prepare(template, effort))
            .await
    }

    async fn check(
        &self,
        template: &Template,
        growth: &Growth,
    ) -> Result<Vec<Need>, ProviderError> {
        self.layer
            .around(Operation::Check, || self.inner.check(template, growth))
            .await
    }

    async fn create(
        &self,
        batch: &Batch,
        private: &dyn PrivateFiles,
    ) -> Result<Created, ProviderError> {
        self.layer
            .around(Operation::Create, || self.inner.create(batch, private))
            .await
    }

    async fn update(&self, update: &Update) -> Result<(), ProviderError> {
        self.layer
            .around(Operation::Update, || self.inner.update(update))
            .await
    }

    async fn delete(&self, stack: &str, machines: &[MachineId]) -> Result<(), ProviderError> {
        self.layer
            .around(Operation::Delete, || self.inner.delete(stack, machines))
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::error::ErrorClass;
    use crate::labels::{BatchKey, Hash, Labels, Ownership};
    use crate::private::PrivateFile;
    use crate::scope::Scope;

    /// Asks for the files of one machine, and answers nothing else.
    struct Asks;

    #[async_trait]
    impl Provider for Asks {
        async fn observe(&self, _: &Query) -> Result<Vec<Machine>, ProviderError> {
            Ok(Vec::new())
        }

        async fn prepare(&self, it: &Template, _: Effort) -> Result<Template, ProviderError> {
            Ok(it.clone())
        }

        async fn create(
            &self,
            _: &Batch,
            private: &dyn PrivateFiles,
        ) -> Result<Created, ProviderError> {
            private.of("one").await?;
            Ok(Created {
                machines: Vec::new(),
                shortfall: None,
            })
        }

        async fn update(&self, _: &Update) -> Result<(), ProviderError> {
            Ok(())
        }

        async fn delete(&self, _: &str, _: &[MachineId]) -> Result<(), ProviderError> {
            Ok(())
        }
    }

    /// Fails the first time, for a reason that passes.
    #[derive(Default)]
    struct Late(Mutex<Vec<String>>);

    #[async_trait]
    impl PrivateFiles for Late {
        async fn of(&self, machine: &str) -> Result<Vec<PrivateFile>, ProviderError> {
            let mut asked = self.0.lock().unwrap();
            asked.push(machine.to_owned());
            if asked.len() == 1 {
                return Err(ProviderError::new(ErrorClass::Unavailable, "later"));
            }
            Ok(Vec::new())
        }
    }

    fn batch() -> Batch {
        Batch {
            key: BatchKey(uuid::Uuid::nil()),
            ownership: Ownership {
                stack: "s".into(),
                fleet: "f".into(),
                batch: None,
                spec: Hash::of("spec"),
                user_data: None,
            },
            labels: Labels::new(),
            zone: "z".into(),
            count: 1,
            template: Template {
                scope: Scope::new("p", [], []),
                zones: Vec::new(),
                settings: serde_json::Value::Null,
                attributes: [].into(),
            },
            user_data: String::new(),
            media: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn private_files_are_passed_through_every_layer() {
        let meter = Meter::default();
        let faults = Faults::default();
        faults.add(Operation::Create, Fault::Before(ErrorClass::Unavailable));
        let provider = wrap(Arc::new(Asks), faults);
        let provider = wrap(provider, Pace::per_second(10));
        let provider = wrap(provider, Retry::cloud(meter.clone()));
        let provider = wrap(provider, meter.clone());
        let late = Late::default();
        provider.create(&batch(), &late).await.unwrap();
        // The injected fault keeps the first call from asking; the second is told to come later.
        assert_eq!(*late.0.lock().unwrap(), ["one", "one"]);
        let retries = &meter.snapshot()[&Operation::Create].retries;
        assert_eq!(retries["unavailable"], 2);
    }
}
