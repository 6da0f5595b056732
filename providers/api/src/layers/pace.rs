//! Keeps the calls to a cloud under its rate, and slows down when it says so.
//!
//! A plain rate limiter would not do: a throttled answer has to slow every
//! caller of the provider, not only the one that got it, and the pace has to
//! come back by itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Layer, Operation};
use crate::error::{ErrorClass, ProviderError};

/// The slowest pace: this many times the configured interval.
const SLOWEST: u32 = 64;

/// Spaces calls out; clones share one pace.
#[derive(Clone)]
pub struct Pace(Arc<Mutex<State>>);

struct State {
    /// The interval when nothing is throttled.
    base: Duration,
    /// How many times slower than that the pace is now; doubled and halved.
    slowdown: u32,
    /// When the next call may start.
    next: Instant,
}

impl Pace {
    /// Starts at most `per_second` calls a second.
    pub fn per_second(per_second: u32) -> Self {
        Self(Arc::new(Mutex::new(State {
            base: Duration::from_secs(1) / per_second.max(1),
            slowdown: 1,
            next: Instant::now(),
        })))
    }

    fn reserve(&self) -> Instant {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = state.next.max(Instant::now());
        state.next = start + state.base * state.slowdown;
        start
    }

    fn learn<T>(&self, answer: &Result<T, ProviderError>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Err(error) if error.class == ErrorClass::Throttled => {
                state.slowdown = (state.slowdown * 2).min(SLOWEST);
                let pause = error.retry_after.unwrap_or(state.base * state.slowdown);
                state.next = state.next.max(Instant::now() + pause);
            }
            Ok(_) | Err(_) => state.slowdown = (state.slowdown / 2).max(1),
        }
    }
}

impl Layer for Pace {
    async fn around<T, F, Fut>(&self, _: Operation, call: F) -> Result<T, ProviderError>
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        tokio::time::sleep_until(self.reserve()).await;
        let answer = call().await;
        self.learn(&answer);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_throttled_answer_slows_everyone_and_success_recovers() {
        let pace = Pace::per_second(10);
        let ok = || async { Ok(()) };
        let begun = Instant::now();
        for _ in 0..11 {
            pace.around(Operation::Observe, ok).await.ok();
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(1));

        let other = pace.clone();
        let throttled = || async {
            let mut error = ProviderError::new(ErrorClass::Throttled, "slow down");
            error.retry_after = Some(Duration::from_secs(5));
            Err::<(), _>(error)
        };
        pace.around(Operation::Create, throttled).await.ok();
        let begun = Instant::now();
        other.around(Operation::Observe, ok).await.ok();
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }
}
