//! Sending requests again that the API server wants later.

use std::time::Duration;

use http::{Request, Response};
use kube::client::Body;
use kube::client::retry::RetryPolicy;
use thiserror::Error;
use tokio::time::{Instant, Sleep};
use tower::BoxError;
use tower::retry::Policy;

use super::{Calls, KubernetesError};

/// The codes that mean later, and that [`Later`] waits for.
const LATER: [u16; 3] = [429, 503, 504];

/// The pauses where the API server does not say how long, and how often a request is sent again:
/// together below half a minute.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const MOST_RETRIES: u32 = 8;

/// How long one request is waited for, whatever the API server says.
const LONGEST: Duration = Duration::from_secs(60);

/// The API server wants a request later than anybody waits for it.
#[derive(Debug, Error)]
#[error("answered {code}: not before {} s", after.as_secs())]
pub(super) struct TooLate {
    /// What it answered with.
    pub(super) code: u16,
    /// After how long it wants it.
    pub(super) after: Duration,
}

/// When a request is sent again: at the server's Retry-After, and without one after growing pauses.
#[derive(Clone)]
pub(super) struct Later {
    policy: RetryPolicy,
    /// When it is not sent again any more; from its first answer on.
    until: Option<Instant>,
    calls: Calls,
}

impl Later {
    /// Prepares to, and counts how often.
    pub(super) fn new(calls: Calls) -> Self {
        let policy = RetryPolicy::new(FIRST_PAUSE, LONGEST_PAUSE, MOST_RETRIES, true);
        Self {
            policy: policy.unwrap_or_else(|_| RetryPolicy::default()),
            until: None,
            calls,
        }
    }
}

/// Returns whether an error is of a request that was sent again already, as often as it helps.
pub(super) fn is_spent(error: &KubernetesError) -> bool {
    let code = error.code();
    matches!(error, KubernetesError::TooLate { .. })
        || code.is_some_and(|code| LATER.contains(&code))
}

impl<T> Policy<Request<Body>, Response<T>, BoxError> for Later {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request<Body>,
        result: &mut Result<Response<T>, BoxError>,
    ) -> Option<Sleep> {
        let now = Instant::now();
        let pause = self.policy.retry(request, result)?;
        let until = *self.until.get_or_insert(now + LONGEST);
        if pause.deadline() <= until {
            let answer = result.as_ref().ok().map(Response::status);
            self.calls.retried(request, answer);
            return Some(pause);
        }
        if let Ok(response) = result {
            let code = response.status().as_u16();
            let after = pause.deadline() - now;
            *result = Err(Box::new(TooLate { code, after }));
        }
        None
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Policy::<Request<Body>, Response<T>, BoxError>::clone_request(&mut self.policy, request)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use k8s_openapi::api::core::v1::Namespace;
    use kube::{Api, Client};
    use tower::ServiceBuilder;
    use tower::buffer::BufferLayer;
    use tower::retry::RetryLayer;

    use super::*;
    use crate::mesh::kubernetes::attempt;

    /// Asks a server that answers so, and returns how that ended, after how many requests and after
    /// how long.
    async fn asked(code: u16, after: Option<&'static str>) -> (KubernetesError, u32, Duration) {
        metered(code, after, &Calls::default()).await
    }

    async fn metered(
        code: u16,
        after: Option<&'static str>,
        calls: &Calls,
    ) -> (KubernetesError, u32, Duration) {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let server = tower::service_fn(move |_: Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut answer = Response::builder().status(code);
            if let Some(after) = after {
                answer = answer.header("Retry-After", after);
            }
            let answer = answer.body(Body::from(b"later".to_vec()));
            async move { answer.map_err(BoxError::from) }
        });
        let server = ServiceBuilder::new()
            .layer(calls)
            .layer(RetryLayer::new(Later::new(calls.clone())))
            .layer(BufferLayer::new(1))
            .service(server);
        let api: Api<Namespace> = Api::all(Client::new(server, "default"));
        let begun = Instant::now();
        let error = attempt("read it", || api.get("vm")).await.unwrap_err();
        (error, count.load(Ordering::Relaxed), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_later_is_waited_for_once_and_not_by_two() {
        for code in LATER {
            let (error, requests, waited) = asked(code, None).await;
            assert_eq!(error.code(), Some(code));
            assert_eq!(requests, MOST_RETRIES + 1, "{code}");
            assert!(waited < Duration::from_secs(30), "{code}: {waited:?}");
        }
        let (error, requests, _) = asked(500, None).await;
        assert_eq!((error.code(), requests), (Some(500), 5));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_counted_with_their_retries() {
        for (code, class) in [(429, "throttled"), (503, "unavailable")] {
            let calls = Calls::default();
            metered(code, None, &calls).await;
            let measured = calls.snapshot();
            let get = &measured["namespaces"]["get"];
            assert_eq!((get.operations, get.failed), (1, 1));
            assert_eq!(get.retries[class], u64::from(MOST_RETRIES));
            assert!(get.longest_micros > 1_000_000);
        }
        let calls = Calls::default();
        metered(404, None, &calls).await;
        let get = &calls.snapshot()["namespaces"]["get"];
        assert_eq!((get.operations, get.failed), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_an_hour() {
        let (error, requests, waited) = asked(429, Some("3600")).await;
        assert_eq!((requests, waited), (1, Duration::ZERO));
        let said = error.to_string();
        assert!(said.contains("3600 s"), "{said}");
        // Each pause alone is short enough, and not all of them together.
        let (error, requests, waited) = asked(503, Some("25")).await;
        assert_eq!((requests, waited), (3, Duration::from_secs(50)));
        assert!(error.to_string().contains("25 s"), "{error}");
    }
}
