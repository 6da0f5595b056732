//! What a watcher is told.

use std::sync::Arc;

use serde_json::{Value, json};

use super::read::{in_version, selector};
use crate::kube::api::{Api, Request};
use crate::kube::kinds::Kind;
use crate::kube::select::Selector;
use crate::kube::status::Refusal;
use crate::kube::store::Event;

/// A watch that is going on.
#[derive(Debug)]
pub struct Watch {
    request: Request,
    selector: Selector,
    /// The number of the last write that was told.
    seen: u64,
}

impl Watch {
    /// Begins a watch. Returns with it what there is to tell at once.
    ///
    /// # Errors
    ///
    /// 400 when the selectors or the version cannot be read; 410 when the version is gone.
    pub fn begin(api: &Api, request: Request) -> Result<(Self, Vec<Value>), Refusal> {
        let (kind, version) = api.kind_of(&request)?;
        let selector = selector(kind, &request)?;
        let from = request.query.resource_version.as_str();
        let initial = request.query.initial_events
            || matches!(from, "" | "0") && request.query.version_match.is_empty();
        let mut told = Vec::new();
        let seen = if initial {
            let namespace = Some(request.namespace.as_str()).filter(|n| !n.is_empty());
            for ((_, name), object) in api.store.list(request.kind, namespace, None) {
                let named = request.name.is_empty() || request.name == *name;
                if named && selector.matches(object) {
                    told.push(event("ADDED", in_version(kind, &version.name, object)));
                }
            }
            if request.query.initial_events && request.query.bookmarks {
                told.push(bookmark(kind, &version.name, api.store.version(), true));
            }
            api.store.version()
        } else {
            from.parse()
                .map_err(|_| Refusal::bad_request(format!("Invalid value: {from:?}")))?
        };
        let watch = Self {
            request,
            selector,
            seen,
        };
        if api.store.events_after(watch.request.kind, seen).is_none() {
            let oldest = api.store.version();
            return Err(Refusal::gone(format!(
                "too old resource version: {seen} ({oldest})"
            )));
        }
        Ok((watch, told))
    }

    /// Returns what is new since the last time.
    ///
    /// # Errors
    ///
    /// 410 when some of it is forgotten.
    pub fn news(&mut self, api: &Api) -> Result<Vec<Value>, Refusal> {
        let (kind, version) = api.kind_of(&self.request)?;
        let events = api.store.events_after(self.request.kind, self.seen);
        let events = events
            .ok_or_else(|| Refusal::gone(format!("too old resource version: {}", self.seen)))?;
        let mut told = Vec::new();
        for event in events {
            if let Some(event) = self.told(kind, &version.name, event) {
                told.push(event);
            }
        }
        self.seen = self.seen.max(api.store.version());
        Ok(told)
    }

    /// Returns the last thing a watch says before its time is over, for those who want it.
    pub fn farewell(&self, api: &Api) -> Option<Value> {
        let (kind, version) = api.kind_of(&self.request).ok()?;
        let wanted = self.request.query.bookmarks;
        wanted.then(|| bookmark(kind, &version.name, self.seen, false))
    }

    fn told(&self, kind: &Kind, version: &str, change: &Event) -> Option<Value> {
        let here = |object: &&Arc<Value>| {
            let Request {
                namespace, name, ..
            } = &self.request;
            (namespace.is_empty() || object["metadata"]["namespace"] == **namespace)
                && (name.is_empty() || object["metadata"]["name"] == **name)
                && self.selector.matches(object)
        };
        let old = change.old.as_ref().filter(here);
        let new = change.new.as_ref().filter(here);
        let (what, object) = match (old, new) {
            (None, None) => return None,
            (None, Some(new)) => ("ADDED", new),
            (Some(_), Some(new)) => ("MODIFIED", new),
            (Some(old), None) => ("DELETED", old),
        };
        let mut object = in_version(kind, version, object);
        object["metadata"]["resourceVersion"] = json!(change.version.to_string());
        Some(event(what, object))
    }
}

fn event(what: &str, object: Value) -> Value {
    json!({"type": what, "object": object})
}

fn bookmark(kind: &Kind, version: &str, seen: u64, initial: bool) -> Value {
    let mut metadata = json!({"resourceVersion": seen.to_string(), "creationTimestamp": null});
    if initial {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    event(
        "BOOKMARK",
        json!({
            "kind": kind.kind,
            "apiVersion": kind.api_version(version),
            "metadata": metadata,
        }),
    )
}
