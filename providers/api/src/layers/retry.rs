//! Retries with jittered exponential backoff, by class of error.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use super::{Layer, Meter, Operation};
use crate::error::ProviderError;

/// Repeats calls that failed for a transient reason.
#[derive(Clone)]
pub struct Retry {
    /// The most calls in all, the first included.
    pub attempts: usize,
    /// The wait before the second call; doubled each time, jittered.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// Counts the retries.
    pub meter: Meter,
}

impl Retry {
    /// Makes the policy for a cloud: eight calls over about a minute.
    pub fn cloud(meter: Meter) -> Self {
        Self {
            attempts: 8,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(20),
            meter,
        }
    }

    /// Makes the policy for a provider that is polled every `poll`: the waits scale with it.
    pub fn paced_by(poll: Duration, meter: Meter) -> Self {
        let cloud = Self::cloud(meter);
        Self {
            first_wait: cloud.first_wait.min(poll),
            longest_wait: cloud.longest_wait.min(poll * 8),
            attempts: 12,
            ..cloud
        }
    }
}

impl Layer for Retry {
    async fn around<T, F, Fut>(&self, operation: Operation, call: F) -> Result<T, ProviderError>
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        let backoff = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(self.first_wait)
            .with_max_delay(self.longest_wait)
            .with_max_times(self.attempts.saturating_sub(1));
        (|| call())
            .retry(backoff)
            .when(|error: &ProviderError| error.class.is_transient())
            .adjust(|error: &ProviderError, wait| {
                // What the cloud asks for outranks our own guess, never the bound on attempts.
                wait.map(|wait| error.retry_after.unwrap_or(wait))
            })
            .notify(|error: &ProviderError, _| self.meter.retried(operation, error.class))
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::ErrorClass;

    async fn calls_until(class: ErrorClass, succeed_at: usize) -> (usize, bool) {
        let calls = AtomicUsize::new(0);
        let retry = Retry::cloud(Meter::default());
        let answer = retry
            .around(Operation::Create, || {
                let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
                async move {
                    if call >= succeed_at {
                        Ok(())
                    } else {
                        Err(ProviderError::new(class, "no"))
                    }
                }
            })
            .await;
        (calls.load(Ordering::SeqCst), answer.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn transient_errors_are_retried_within_bounds() {
        assert_eq!(calls_until(ErrorClass::Throttled, 3).await, (3, true));
        assert_eq!(calls_until(ErrorClass::ReplyLost, 99).await, (8, false));
    }

    #[tokio::test(start_paused = true)]
    async fn permanent_errors_are_not() {
        assert_eq!(calls_until(ErrorClass::Quota, 2).await, (1, false));
        assert_eq!(calls_until(ErrorClass::Invalid, 2).await, (1, false));
    }
}
