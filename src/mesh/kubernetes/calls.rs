//! How requests are sent: many at a time, and again where that may help.

use std::fmt::Debug;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::KubernetesError;
use super::later::is_spent;

/// How many objects a page of a listing has, as kubectl asks for.
pub(super) const PAGE: u32 = 500;

/// How often a listing begins anew whose beginning the server keeps no longer.
const MOST_RESTARTS: u32 = 3;

/// The most requests at the same time: what an API server allows one client without queueing.
pub(super) const AT_ONCE: usize = 16;

/// How often a request is sent again that may succeed the next time.
const MOST_TRIES: usize = 5;

/// After how long a request is not sent again: a server that takes connections and never answers
/// would be waited for once a try.
const PATIENCE: Duration = Duration::from_secs(45);

/// Lists everything that `first` asks for, page by page.
///
/// # Errors
/// Those of a page; a listing that took longer than the server keeps its beginning begins anew.
pub(super) async fn pages<K>(
    api: &Api<K>,
    action: &str,
    first: ListParams,
) -> Result<Vec<K>, KubernetesError>
where
    K: Clone + DeserializeOwned + Debug,
{
    let first = first.limit(PAGE);
    let mut page = first.clone();
    let (mut found, mut restarts) = (Vec::new(), 0);
    loop {
        let listed = attempt(action, || api.list(&page)).await;
        let listed = match listed {
            Err(error) if error.code() == Some(410) && restarts < MOST_RESTARTS => {
                restarts += 1;
                found.clear();
                page = first.clone();
                continue;
            }
            other => other?,
        };
        found.extend(listed.items);
        match listed.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}

/// Makes calls, many at a time, and returns their answers in order; the first error ends it.
pub(super) async fn together<T, E>(calls: Vec<BoxFuture<'_, Result<T, E>>>) -> Result<Vec<T>, E> {
    stream::iter(calls).buffered(AT_ONCE).try_collect().await
}

/// Makes calls, many at a time, all of them whatever becomes of others, and returns how each ended.
pub(super) async fn each<E>(calls: Vec<BoxFuture<'_, Result<(), E>>>) -> Vec<Result<(), E>> {
    stream::iter(calls).buffered(AT_ONCE).collect().await
}

/// Sends a request, and again while that may help; what is sent here may be sent twice. What the API
/// server wants later was sent again below, and is not here.
pub(super) async fn attempt<T, F>(
    action: &str,
    request: impl Fn() -> F,
) -> Result<T, KubernetesError>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let begun = Instant::now();
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
        .when(|error| {
            error.class().is_transient() && !is_spent(error) && begun.elapsed() < PATIENCE
        })
        .await
}
