//! Injected faults: makes any provider fail on purpose, for tests.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Layer, Operation};
use crate::error::{ErrorClass, ProviderError};

/// A fault to inject into one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is not made and fails with this class.
    Before(ErrorClass),
    /// The call is made, and its reply is lost.
    ReplyLost,
}

/// Injects faults in order: each entry waits for the next call of its operation.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<(Operation, Fault)>>>);

impl Faults {
    /// Adds a fault for the next call of `operation` that has none yet.
    pub fn add(&self, operation: Operation, fault: Fault) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((operation, fault));
    }

    fn take(&self, operation: Operation) -> Option<Fault> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = faults.iter().position(|(of, _)| *of == operation)?;
        Some(faults.remove(index).1)
    }
}

impl Layer for Faults {
    async fn around<T, F, Fut>(&self, operation: Operation, call: F) -> Result<T, ProviderError>
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        match self.take(operation) {
            None => call().await,
            Some(Fault::Before(class)) => Err(ProviderError::new(class, "injected fault")),
            Some(Fault::ReplyLost) => {
                call().await?;
                Err(ProviderError::new(
                    ErrorClass::ReplyLost,
                    "injected loss of the reply",
                ))
            }
        }
    }
}
