//! How requests are sent: many at a time, and again where that may help.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::KubernetesError;

/// The most requests at the same time: what an API server allows one client without queueing.
const AT_ONCE: usize = 16;

/// How often a request is sent again that may succeed the next time.
const MOST_TRIES: usize = 5;

/// Makes calls, many at a time, and returns their answers in order; the first error ends it.
pub(super) async fn together<T, E>(calls: Vec<BoxFuture<'_, Result<T, E>>>) -> Result<Vec<T>, E> {
    stream::iter(calls).buffered(AT_ONCE).try_collect().await
}

/// Sends a request, and again while that may help; what is sent here may be sent twice.
pub(super) async fn attempt<T, F>(
    action: &str,
    request: impl Fn() -> F,
) -> Result<T, KubernetesError>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let send = || async {
        request()
            .await
            .map_err(|error| KubernetesError::of(action, error))
    };
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_max_times(MOST_TRIES - 1)
        .with_jitter();
    send.retry(pauses)
        .when(|error| error.class().is_transient())
        .await
}
