//! A watch as a body that goes on and on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use super::respond::Body;
use super::serve::Shared;
use crate::kube::api::Request;
use crate::kube::status::Refusal;
use crate::kube::verbs::watch::Watch;

struct Stream {
    shared: Arc<Shared>,
    watch: Option<Watch>,
    told: VecDeque<Value>,
    changes: Receiver<u64>,
    end: Instant,
}

/// Begins a watch. That its version is gone is told in the watch, as by a real server.
///
/// # Errors
///
/// 400 when selectors or version cannot be read.
pub fn begin(shared: &Arc<Shared>, request: Request) -> Result<Response<Body>, Refusal> {
    // A watch that says nothing of its time lasts half an hour at least on a real server.
    let seconds = request.query.timeout.unwrap_or(1_800);
    let changes = shared.changes();
    let begun = Watch::begin(&shared.api(), request);
    let (watch, told) = match begun {
        Ok((watch, told)) => (Some(watch), told),
        Err(refusal) if refusal.code == 410 => (None, vec![gone(&refusal)]),
        Err(refusal) => return Err(refusal),
    };
    Ok(response(Stream {
        shared: Arc::clone(shared),
        watch,
        told: told.into(),
        changes,
        end: Instant::now() + Duration::from_secs(seconds),
    }))
}

/// Returns a watch whose version is gone at once.
pub fn gone_at_once(shared: &Arc<Shared>) -> Response<Body> {
    let refusal = Refusal::gone("too old resource version: 1 (2)");
    response(Stream {
        shared: Arc::clone(shared),
        watch: None,
        told: VecDeque::from([gone(&refusal)]),
        changes: shared.changes(),
        end: Instant::now(),
    })
}

fn gone(refusal: &Refusal) -> Value {
    json!({"type": "ERROR", "object": refusal.to_status()})
}

fn response(stream: Stream) -> Response<Body> {
    let frames = stream::unfold(stream, |mut stream| async {
        let line = stream.next().await?;
        let frame = Frame::data(Bytes::from(format!("{line}\n")));
        Some((Ok::<_, Infallible>(frame), stream))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let value = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}

impl Stream {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(value) = self.told.pop_front() {
                return Some(value);
            }
            let watch = self.watch.as_mut()?;
            self.changes.mark_unchanged();
            match watch.news(&self.shared.api()) {
                Ok(news) => self.told.extend(news),
                Err(refusal) => {
                    self.told.push_back(gone(&refusal));
                    self.watch = None;
                }
            }
            if !self.told.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.end) => {
                    let watch = self.watch.take()?;
                    return watch.farewell(&self.shared.api());
                }
            }
        }
    }
}
