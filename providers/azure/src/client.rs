//! Sends single calls: counted, paced, and their errors put in classes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use azure_core::http::headers::Headers;
use azure_core::http::{Context, Method, Pipeline, PipelineSendOptions, Request, Url};
use meshvm_provider_api::layers::{Layer, Operation, Pace};
use meshvm_provider_api::{ErrorClass, ProviderError, Requests};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::cloud::Place;
use crate::error;
use crate::policy::Action;

/// How many calls may start in a second: what a subscription's bucket of reads refills by
/// (<https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>).
const RATE: u32 = 25;
/// How often a call that is throttled is sent; the pace halves each time.
const ATTEMPTS: u32 = 8;
/// How often a change is sent whose reply is lost. Each is safe to repeat.
const LOST_ATTEMPTS: u32 = 3;
/// What the counts of calls that are left begin with
/// (the same page, and <https://learn.microsoft.com/troubleshoot/azure/virtual-machines/windows/troubleshooting-throttling-errors>).
const REMAINING: &str = "x-ms-ratelimit-remaining-";
/// How few calls may be left before all of them slow down.
const FEW: u64 = 10;
/// How long all calls wait when few are left.
const BREATH: Duration = Duration::from_secs(1);

/// The client of one scope.
pub(crate) struct Client {
    pub place: Place,
    pipeline: Pipeline,
    requests: Requests,
    pace: Pace,
    not_before: Mutex<Option<Instant>>,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// What it is.
    pub action: Action,
    method: Method,
    /// A path with an optional query, or an address that an answer gave.
    target: String,
    body: Option<Value>,
    condition: Option<(&'static str, String)>,
}

impl Call {
    /// Makes one that reads.
    pub fn get(action: Action, target: impl Into<String>) -> Self {
        Self::of(action, Method::Get, target, None)
    }

    /// Makes one that puts something in its place.
    pub fn put(action: Action, target: impl Into<String>, body: Value) -> Self {
        Self::of(action, Method::Put, target, Some(body))
    }

    /// Makes one that changes something.
    pub fn patch(action: Action, target: impl Into<String>, body: Value) -> Self {
        Self::of(action, Method::Patch, target, Some(body))
    }

    /// Makes one that has something done.
    pub fn post(action: Action, target: impl Into<String>) -> Self {
        Self::of(action, Method::Post, target, None)
    }

    /// Makes one that deletes something.
    pub fn delete(action: Action, target: impl Into<String>) -> Self {
        Self::of(action, Method::Delete, target, None)
    }

    fn of(action: Action, method: Method, target: impl Into<String>, body: Option<Value>) -> Self {
        Self {
            action,
            method,
            target: target.into(),
            body,
            condition: None,
        }
    }

    /// Makes it do nothing where there is something already.
    pub fn if_absent(mut self) -> Self {
        self.condition = Some(("if-none-match", "*".to_owned()));
        self
    }

    /// Makes it do nothing where there is another version by now.
    pub fn if_match(mut self, etag: Option<&str>) -> Self {
        self.condition = etag.map(|etag| ("if-match", etag.to_owned()));
        self
    }
}

/// What a call was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub status: u16,
    /// The body; `null` when there is none.
    pub body: Value,
    /// Where to look at what goes on.
    pub operation: Option<String>,
    /// Where to look for the result.
    pub location: Option<String>,
    /// How long to wait until then.
    pub retry_after: Option<Duration>,
}

impl Client {
    /// Makes the client; sends nothing.
    pub fn new(place: Place, pipeline: Pipeline, requests: Requests) -> Self {
        Self {
            place,
            pipeline,
            requests,
            pace: Pace::per_second(RATE),
            not_before: Mutex::default(),
        }
    }

    /// Sends a call; again when the cloud asks to slow down, which had no effect and slows down
    /// everyone on this scope, and a few times when its reply is lost.
    ///
    /// # Errors
    /// That of the last call; `NotFound` for a status of 404.
    pub async fn send(&self, call: &Call) -> Result<Answer, ProviderError> {
        let operation = match call.action.is_reading() {
            true => Operation::Observe,
            false => Operation::Update,
        };
        let (mut throttled, mut lost) = (1, 1);
        loop {
            match self.pace.around(operation, || self.once(call)).await {
                Err(error) if error.class == ErrorClass::Throttled && throttled < ATTEMPTS => {
                    throttled += 1;
                }
                Err(error) if error.class == ErrorClass::ReplyLost && lost < LOST_ATTEMPTS => {
                    lost += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Reads something of a type.
    ///
    /// # Errors
    /// Those of [`Client::send`], and `Unrecognized` when it is of another type.
    pub async fn read<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ProviderError> {
        let answer = self.send(call).await?;
        typed(call.action, answer.body)
    }

    /// Reads all pages of a list.
    ///
    /// # Errors
    /// Those of [`Client::read`].
    pub async fn list<T: DeserializeOwned>(
        &self,
        action: Action,
        target: String,
    ) -> Result<Vec<T>, ProviderError> {
        let mut found = Vec::new();
        let mut call = Call::get(action, target);
        loop {
            let mut page = self.send(&call).await?.body;
            let items = page.get_mut("value").map(Value::take).unwrap_or_default();
            found.extend(typed::<Vec<T>>(action, items)?);
            let next = page.get("nextLink").and_then(Value::as_str);
            match next.filter(|link| !link.is_empty()) {
                None => return Ok(found),
                Some(next) => call = Call::get(action, next),
            }
        }
    }

    async fn once(&self, call: &Call) -> Result<Answer, ProviderError> {
        let action = call.action;
        let wait = *self
            .not_before
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = wait {
            tokio::time::sleep_until(until).await;
        }
        let mut request = Request::new(self.url(call)?, call.method);
        request.insert_header("accept", "application/json");
        if let Some(body) = &call.body {
            request.insert_header("content-type", "application/json");
            request.set_body(body.to_string());
        }
        if let Some((name, value)) = &call.condition {
            request.insert_header(*name, value.clone());
        }
        self.requests.count(action.as_str());
        let options = PipelineSendOptions {
            skip_checks: true,
            ..PipelineSendOptions::default()
        };
        let context = Context::new();
        let sent = self.pipeline.send(&context, &mut request, Some(options));
        let response = sent.await.map_err(|error| error::of(action, error))?;
        let status = u16::from(response.status());
        let (headers, body) = (response.headers().clone(), response.into_body());
        self.learn(&headers);
        let retry_after = retry_after(&headers);
        let body = match body.is_empty() {
            true => Value::Null,
            // What is no JSON says nothing that a status does not.
            false => serde_json::from_slice(&body).unwrap_or_default(),
        };
        if !(200..300).contains(&status) {
            return Err(error::of_answer(action, status, &body, retry_after));
        }
        let header = |name: &'static str| {
            let value = headers.get_optional_str(&name.into());
            value.map(str::to_owned)
        };
        Ok(Answer {
            status,
            body,
            operation: header("azure-asyncoperation"),
            location: header("location"),
            retry_after,
        })
    }

    /// Returns the address of a call.
    ///
    /// # Errors
    /// `Unrecognized` when an answer leads to another host: it would be given the token.
    fn url(&self, call: &Call) -> Result<Url, ProviderError> {
        let unreadable = |error| {
            let message = format!("`{}` is no address", call.target);
            ProviderError::new(ErrorClass::Invalid, message).with_source(error)
        };
        let base = Url::parse(&self.place.endpoint).map_err(unreadable)?;
        let mut url = base.join(&call.target).map_err(unreadable)?;
        let host = |url: &Url| {
            (
                url.host_str().map(str::to_owned),
                url.port_or_known_default(),
            )
        };
        if url.scheme() != "https" || !is_within(&host(&url), &host(&base)) {
            let message = format!(
                "an answer leads to `{}`",
                url.host_str().unwrap_or_default()
            );
            return Err(ProviderError::new(ErrorClass::Unrecognized, message));
        }
        if url.query_pairs().all(|(name, _)| name != "api-version") {
            let version = call.action.api_version();
            url.query_pairs_mut().append_pair("api-version", version);
        }
        Ok(url)
    }

    /// Slows everybody down while there is something left to slow down for.
    fn learn(&self, headers: &Headers) {
        let counts = headers.iter().filter_map(|(name, value)| {
            let is_count = name.as_str().starts_with(REMAINING);
            // One header has several, each behind what it is of.
            let values = value.as_str().split(',').map(|part| {
                let count = part.rsplit(';').next().unwrap_or_default();
                count.trim().parse::<u64>().unwrap_or(u64::MAX)
            });
            is_count.then(|| values.min()).flatten()
        });
        if counts.min().is_some_and(|left| left < FEW) {
            let mut wait = self
                .not_before
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *wait = Some(Instant::now() + BREATH);
        }
    }
}

/// Returns whether a host is another's, or below it as the hosts of regions are.
fn is_within(host: &(Option<String>, Option<u16>), of: &(Option<String>, Option<u16>)) -> bool {
    let ((Some(host), port), (Some(of), of_port)) = (host, of) else {
        return false;
    };
    port == of_port && (host == of || host.ends_with(&format!(".{of}")))
}

/// Returns how long an answer asks to wait; the finer header goes first, as in Microsoft's own
/// clients.
fn retry_after(headers: &Headers) -> Option<Duration> {
    let number = |name: &'static str| {
        let value = headers.get_optional_str(&name.into())?;
        value.trim().parse::<u64>().ok()
    };
    number("x-ms-retry-after-ms")
        .or_else(|| number("retry-after-ms"))
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))
}

/// Reads what was answered.
///
/// # Errors
/// `Unrecognized` when it is of another type.
pub(crate) fn typed<T: DeserializeOwned>(action: Action, body: Value) -> Result<T, ProviderError> {
    serde_json::from_value(body).map_err(|error| {
        let message = format!("{}: the answer is not what it was", action.as_str());
        ProviderError::new(ErrorClass::Unrecognized, message).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_to_the_hosts_of_the_cloud_alone() {
        let host = |name: &str| (Some(name.to_owned()), Some(443));
        let arm = host("management.azure.com");
        assert!(is_within(&arm, &arm));
        assert!(is_within(&host("westus.management.azure.com"), &arm));
        assert!(!is_within(&host("evil-management.azure.com"), &arm));
        assert!(!is_within(&host("management.azure.com.evil.com"), &arm));
    }

    #[test]
    fn the_finer_wait_goes_first() {
        let mut headers = Headers::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert("retry-after", "7");
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
        headers.insert("retry-after-ms", "30");
        assert_eq!(retry_after(&headers), Some(Duration::from_millis(30)));
    }
}
