//! Counts operations, retries and their latency.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::{Layer, Operation};
use crate::error::{ErrorClass, ProviderError};

/// What was measured of one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationMetrics {
    /// Operations asked for.
    pub operations: u64,
    /// Operations that failed in the end.
    pub failed: u64,
    /// Calls made again after a transient error, by class.
    pub retries: BTreeMap<String, u64>,
    /// The time of all operations together, retries and waits included, in microseconds.
    pub total_micros: u64,
    /// The longest operation, in microseconds.
    pub longest_micros: u64,
}

/// Measures every operation; clones share their counts.
#[derive(Clone, Default)]
pub struct Meter(Arc<Mutex<BTreeMap<Operation, OperationMetrics>>>);

impl Meter {
    /// Returns what was measured so far.
    pub fn snapshot(&self) -> BTreeMap<Operation, OperationMetrics> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn retried(&self, operation: Operation, class: ErrorClass) {
        self.record(operation, |metrics| {
            *metrics
                .retries
                .entry(class.as_str().to_owned())
                .or_default() += 1;
        });
    }

    fn record(&self, operation: Operation, change: impl FnOnce(&mut OperationMetrics)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(operation).or_default());
    }
}

impl Layer for Meter {
    async fn around<T, F, Fut>(&self, operation: Operation, call: F) -> Result<T, ProviderError>
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        let begun = Instant::now();
        let answer = call().await;
        let micros = micros(begun.elapsed());
        self.record(operation, |metrics| {
            metrics.operations += 1;
            metrics.failed += u64::from(answer.is_err());
            metrics.total_micros += micros;
            metrics.longest_micros = metrics.longest_micros.max(micros);
        });
        answer
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Retry;

    #[tokio::test(start_paused = true)]
    async fn retries_and_failures_are_counted() {
        let meter = Meter::default();
        let retry = Retry::cloud(meter.clone());
        let fail = || async { Err::<(), _>(ProviderError::new(ErrorClass::Unavailable, "down")) };
        let outcome = meter
            .around(Operation::Delete, || retry.around(Operation::Delete, fail))
            .await;
        assert!(outcome.is_err());
        let metrics = &meter.snapshot()[&Operation::Delete];
        assert_eq!((metrics.operations, metrics.failed), (1, 1));
        assert_eq!(metrics.retries["unavailable"], 7);
        assert!(metrics.longest_micros > 1_000_000);
    }
}
