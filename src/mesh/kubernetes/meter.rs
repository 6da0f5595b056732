//! Counts calls to the API server by kind and verb, as the roles that allow them name both.
//!
//! A call is one that waits, where the API server wants it later, and is then made again: that is
//! told as its retry. A call that fails otherwise, and is made once more, counts as two.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use meshvm_provider_api::ErrorClass;
use meshvm_provider_api::layers::OperationMetrics;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

/// What was measured, by kind and then by verb, in the words of RBAC: `workloadentries`, `list`.
pub type CallMetrics = BTreeMap<String, BTreeMap<&'static str, OperationMetrics>>;

/// Counts calls; clones share their counts.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<CallMetrics>>);

impl Calls {
    /// Returns what was measured so far.
    pub fn snapshot(&self) -> CallMetrics {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Counts that a call is made again after an answer.
    pub(super) fn retried(&self, request: &Request<Body>, answer: Option<StatusCode>) {
        let class = match answer {
            Some(StatusCode::TOO_MANY_REQUESTS) => ErrorClass::Throttled,
            Some(_) | None => ErrorClass::Unavailable,
        };
        self.record(named(request), |metrics| {
            *metrics
                .retries
                .entry(class.as_str().to_owned())
                .or_default() += 1;
        });
    }

    fn ended(&self, call: (String, &'static str), failed: bool, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.record(call, |metrics| {
            metrics.operations += 1;
            metrics.failed += u64::from(failed);
            metrics.total_micros += micros;
            metrics.longest_micros = metrics.longest_micros.max(micros);
        });
    }

    fn record(
        &self,
        (kind, verb): (String, &'static str),
        change: impl FnOnce(&mut OperationMetrics),
    ) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(kind).or_default().entry(verb).or_default());
    }
}

impl<S> Layer<S> for Calls {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Metered<S> {
        Metered {
            inner,
            calls: self.clone(),
        }
    }
}

/// Sends requests, and counts them.
#[derive(Clone)]
pub struct Metered<S> {
    inner: S,
    calls: Calls,
}

impl<S, B> Service<Request<Body>> for Metered<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (call, calls) = (named(&request), self.calls.clone());
        let begun = Instant::now();
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await;
            // That something is not there is an answer to the question whether it is.
            let failed = answer.as_ref().map_or(true, |answer| {
                let code = answer.status();
                code != StatusCode::NOT_FOUND && (code.is_client_error() || code.is_server_error())
            });
            calls.ended(call, failed, begun.elapsed());
            answer
        }
        .boxed()
    }
}

/// Names a request by kind and verb
/// (<https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb>).
fn named(request: &Request<Body>) -> (String, &'static str) {
    let mut path = request.uri().path().split('/').filter(|p| !p.is_empty());
    // A version follows; and before it, outside the core, a group.
    match path.next() {
        Some("api") => path.next(),
        Some("apis") => path.nth(1),
        other => other,
    };
    let mut path: Vec<&str> = path.collect();
    if path.len() > 2 && path[0] == "namespaces" {
        path.drain(..2);
    }
    let kind = match path[..] {
        [kind, _, part] => format!("{kind}/{part}"),
        [kind, ..] => kind.to_owned(),
        [] => request.uri().path().to_owned(),
    };
    let verb = match *request.method() {
        Method::GET if path.len() < 2 => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if path.len() < 2 => "deletecollection",
        Method::DELETE => "delete",
        _ => "other",
    };
    (kind, verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_as_roles_name_them() {
        let istio = "/apis/networking.istio.io/v1";
        for (method, path, kind, verb) in [
            (
                "GET",
                format!("{istio}/workloadentries"),
                "workloadentries",
                "list",
            ),
            (
                "GET",
                format!("{istio}/namespaces/vm/workloadentries"),
                "workloadentries",
                "list",
            ),
            (
                "GET",
                format!("{istio}/namespaces/vm/workloadentries/a"),
                "workloadentries",
                "get",
            ),
            (
                "PATCH",
                "/api/v1/namespaces/vm/services/web".to_owned(),
                "services",
                "patch",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/vm/secrets/a".to_owned(),
                "secrets",
                "delete",
            ),
            (
                "GET",
                "/api/v1/namespaces/vm".to_owned(),
                "namespaces",
                "get",
            ),
            (
                "POST",
                "/api/v1/namespaces".to_owned(),
                "namespaces",
                "create",
            ),
            (
                "POST",
                "/api/v1/namespaces/vm/serviceaccounts/web/token".to_owned(),
                "serviceaccounts/token",
                "create",
            ),
            ("GET", "/version".to_owned(), "/version", "list"),
        ] {
            let request = Request::builder().method(method).uri(&path);
            let request = request.body(Body::empty()).unwrap();
            assert_eq!(named(&request), (kind.to_owned(), verb), "{path}");
        }
    }
}
