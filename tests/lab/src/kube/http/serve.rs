//! One request: who asks, what goes wrong on purpose, what is answered.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::sync::watch::{Receiver, Sender};

use super::respond::{self, Body};
use super::route::{Objects, Route, query, route};
use super::{discovery, openapi, protobuf, table, watching};
use crate::kube::api::{Api, Query, Request, Verb};
use crate::kube::auth::User;
use crate::kube::auth::rbac::{self, Wish};
use crate::kube::auth::tokens::ISSUER;
use crate::kube::faults::{Effect, Fault, Faults, Requests};
use crate::kube::kinds::KindId;
use crate::kube::lifecycle;
use crate::kube::status::Refusal;

/// The greatest body that a real server takes.
const MOST: usize = 3 * 1024 * 1024;

/// What all connections share.
pub struct Shared {
    api: Mutex<Api>,
    changed: Sender<u64>,
    chores: Notify,
    pub(in crate::kube) faults: Faults,
    pub(in crate::kube) requests: Requests,
    pub(in crate::kube) admin_token: String,
    pub(in crate::kube) url: String,
    /// How many seconds the cluster's clock is ahead.
    ahead: AtomicI64,
}

/// The connection is to be reset, on purpose.
#[derive(Debug, Error)]
#[error("reset on purpose")]
pub struct Reset;

/// The one answer of a request, or none.
pub type Outcome = Result<Response<Body>, Reset>;

impl Shared {
    /// Puts together what connections share.
    pub fn new(api: Api, admin_token: String, url: String) -> Self {
        Self {
            changed: Sender::new(api.store.version()),
            api: Mutex::new(api),
            chores: Notify::new(),
            faults: Faults::default(),
            requests: Requests::default(),
            admin_token,
            url,
            ahead: AtomicI64::new(0),
        }
    }

    /// Returns the API, for as long as nobody waits.
    pub fn api(&self) -> MutexGuard<'_, Api> {
        self.api.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a receiver that hears of every write.
    pub fn changes(&self) -> Receiver<u64> {
        self.changed.subscribe()
    }

    /// Returns the cluster's time.
    pub fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed));
        Timestamp::now()
            .saturating_add(ahead)
            .unwrap_or(Timestamp::MAX)
    }

    /// Moves the cluster's clock.
    pub fn advance(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Does something with the API, and tells those who wait for what came of it.
    pub fn with<T>(&self, f: impl FnOnce(&mut Api) -> T) -> T {
        let mut api = self.api();
        let done = f(&mut api);
        self.tell(&api);
        done
    }

    fn tell(&self, api: &Api) {
        let version = api.store.version();
        self.changed
            .send_if_modified(|known| std::mem::replace(known, version) != version);
        if !api.chores.is_empty() {
            self.chores.notify_one();
        }
    }

    /// Does the controllers' chores, for ever.
    pub async fn tend(&self) {
        loop {
            let now = self.now();
            self.with(|api| lifecycle::run(api, now));
            self.chores.notified().await;
        }
    }

    /// Answers a request.
    pub async fn serve(self: Arc<Self>, request: hyper::Request<Incoming>) -> Outcome {
        let (head, body) = request.into_parts();
        let Ok(body) = http_body_util::Limited::new(body, MOST).collect().await else {
            let refusal = Refusal::bad_request("the body of the request is too large");
            return Ok(respond::refusal(&refusal));
        };
        let body = body.to_bytes().to_vec();
        let query = query(head.uri.query().unwrap_or_default());
        let Some(route) = route(&head.method, head.uri.path(), &query) else {
            return Ok(respond::refusal(&Refusal::method_not_allowed()));
        };
        let objects = match route {
            Route::Path(path) => return Ok(self.path(&head, &path, &body)),
            Route::Objects(objects) => objects,
        };
        let (verb, resource) = (objects.verb.name(), objects.resource());
        self.requests.count(verb, &resource);
        let effect = self.faults.next(verb, &resource);
        match effect {
            None | Some(Effect::LoseReply) => {}
            Some(Effect::Slow { millis }) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
            Some(Effect::TooMany { retry_after }) => {
                return Ok(respond::refusal(&Refusal::too_many(retry_after)));
            }
            Some(Effect::Status { code }) => {
                let mut refusal = Refusal::internal("a fault on purpose");
                refusal.code = code;
                return Ok(respond::refusal(&refusal));
            }
            Some(Effect::Reset) => return Err(Reset),
            Some(Effect::Gone) if objects.verb == Verb::Watch => {
                return Ok(watching::gone_at_once(&self));
            }
            Some(Effect::Gone) => {
                let text = "The provided continue parameter is too old";
                return Ok(respond::refusal(&Refusal::gone(text)));
            }
        }
        let answered = self.objects(&head, objects, query, body);
        if effect == Some(Effect::LoseReply) {
            return Err(Reset);
        }
        Ok(answered.unwrap_or_else(|refusal| respond::refusal(&refusal)))
    }

    fn objects(
        self: &Arc<Self>,
        head: &Parts,
        objects: Objects,
        query: Query,
        body: Vec<u8>,
    ) -> Result<Response<Body>, Refusal> {
        let user = self.user(head)?;
        let request = self.request(head, objects, query, body, user)?;
        let answer = self.with(|api| api.handle(&request))?;
        if request.verb == Verb::Watch {
            return watching::begin(self, request);
        }
        let reads = matches!(request.verb, Verb::Get | Verb::List);
        let body = if reads && header(head, ACCEPT).contains("as=Table") {
            let api = self.api();
            let kind = api.kinds.get(request.kind);
            table::table(kind, &request.version, &answer.body, request.now)
        } else {
            answer.body
        };
        Ok(respond::json(answer.code, &body, &answer.warnings))
    }

    fn request(
        &self,
        head: &Parts,
        objects: Objects,
        query: Query,
        body: Vec<u8>,
        user: User,
    ) -> Result<Request, Refusal> {
        let kind = self.kind(&objects)?;
        let content_type = header(head, CONTENT_TYPE);
        let mut content_type = content_type.split(';').next().unwrap_or_default().trim();
        let mut body = body;
        if content_type == protobuf::CONTENT_TYPE {
            let read = protobuf::to_json(&body);
            let read = read.map_err(|error| Refusal::bad_request(error.to_string()))?;
            body = read.to_string().into_bytes();
            content_type = "application/json";
        }
        Ok(Request {
            user,
            verb: objects.verb,
            kind,
            version: objects.version,
            namespace: objects.namespace,
            name: objects.name,
            subresource: objects.subresource,
            query,
            content_type: content_type.to_owned(),
            body,
            agent: header(head, USER_AGENT).to_owned(),
            now: self.now(),
        })
    }

    fn kind(&self, objects: &Objects) -> Result<KindId, Refusal> {
        let api = self.api();
        let found = api.kinds.find(&objects.group, &objects.plural);
        let kind = found.ok_or_else(Refusal::no_such_path)?;
        let known = api.kinds.get(kind);
        let fits = known.version(&objects.version).is_some()
            && (known.namespaced || objects.namespace.is_empty());
        match fits {
            true => Ok(kind),
            false => Err(Refusal::no_such_path()),
        }
    }

    /// Finds out who asks.
    fn user(&self, head: &Parts) -> Result<User, Refusal> {
        let Some(token) = header(head, AUTHORIZATION).strip_prefix("Bearer ") else {
            return Ok(User::anonymous());
        };
        let user = if token == self.admin_token {
            User::admin()
        } else {
            let api = self.api();
            let now = self.now().as_second();
            let audience = [ISSUER.to_owned()];
            let checked = api
                .signer
                .check(token, &audience, &api.kinds, &api.store, now);
            checked.map_err(|_| Refusal::unauthorized())?.0
        };
        self.impersonated(head, user)
    }

    /// Lets a user who may do so ask as another.
    fn impersonated(&self, head: &Parts, user: User) -> Result<User, Refusal> {
        let Some(name) = head.headers.get("impersonate-user") else {
            return Ok(user);
        };
        let name = name.to_str().map_err(|_| Refusal::unauthorized())?;
        let (resource, namespace, of) = match name.strip_prefix("system:serviceaccount:") {
            Some(account) => {
                let (namespace, of) = account.split_once(':').unwrap_or(("", account));
                ("serviceaccounts", namespace, of)
            }
            None => ("users", "", name),
        };
        let wish = Wish::Resource {
            verb: "impersonate",
            group: "",
            resource,
            namespace,
            name: of,
        };
        let api = self.api();
        if !rbac::allows(&api.kinds, &api.store, &user, &wish) {
            let why = rbac::refusal(&user, &wish);
            return Err(Refusal::forbidden("", resource, of, &why));
        }
        let mut other = match resource {
            "serviceaccounts" => User::service_account(namespace, of, ""),
            _ => User {
                name: name.to_owned(),
                groups: vec!["system:authenticated".to_owned()],
                ..User::anonymous()
            },
        };
        let groups = head.headers.get_all("impersonate-group").iter();
        other
            .groups
            .extend(groups.filter_map(|g| g.to_str().ok()).map(str::to_owned));
        Ok(other)
    }

    /// Answers what is no object.
    fn path(&self, head: &Parts, path: &str, body: &[u8]) -> Response<Body> {
        let answered = self.user(head).and_then(|user| match path {
            "/lab/faults" | "/lab/requests" => self.lab(head, &user, path, body),
            _ => self.told(head, &user, path),
        });
        answered.unwrap_or_else(|refusal| respond::refusal(&refusal))
    }

    fn told(&self, head: &Parts, user: &User, path: &str) -> Result<Response<Body>, Refusal> {
        let verb = head.method.as_str().to_ascii_lowercase();
        let api = self.api();
        let wish = Wish::Path { verb: &verb, path };
        if !rbac::allows(&api.kinds, &api.store, user, &wish) {
            return Err(Refusal::forbidden_path(&user.name, &verb, path));
        }
        if head.method != Method::GET {
            return Err(Refusal::method_not_allowed());
        }
        let kinds = &api.kinds;
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let body: Option<Value> = match parts.as_slice() {
            ["healthz" | "livez" | "readyz", ..] => return Ok(respond::text("ok")),
            ["version"] => Some(discovery::version()),
            ["api"] => Some(discovery::core()),
            ["apis"] => Some(discovery::groups(kinds)),
            ["api", version] => discovery::resources(kinds, "", version),
            ["apis", group] => discovery::one_group(kinds, group),
            ["apis", group, version] => discovery::resources(kinds, group, version),
            ["openapi", "v3"] => Some(openapi::index(kinds)),
            ["openapi", "v3", "api", version] => Some(openapi::document(kinds, "", version)),
            ["openapi", "v3", "apis", group, version] => {
                Some(openapi::document(kinds, group, version))
            }
            [".well-known", "openid-configuration"] => Some(discovery::openid(ISSUER, &self.url)),
            ["openid", "v1", "jwks"] => Some(api.signer.jwks()),
            _ => None,
        };
        let body = body.ok_or_else(Refusal::no_such_path)?;
        Ok(respond::json(200, &body, &[]))
    }

    /// Answers what only the lab has: its faults and its counts.
    fn lab(
        &self,
        head: &Parts,
        user: &User,
        path: &str,
        body: &[u8],
    ) -> Result<Response<Body>, Refusal> {
        if *user != User::admin() {
            let verb = head.method.as_str().to_ascii_lowercase();
            return Err(Refusal::forbidden_path(&user.name, &verb, path));
        }
        let body = match (path, head.method.as_str()) {
            ("/lab/faults", "GET") => json!(self.faults.left()),
            ("/lab/faults", "POST") => {
                let fault: Fault = serde_json::from_slice(body)
                    .map_err(|error| Refusal::bad_request(error.to_string()))?;
                self.faults.add(fault);
                json!(self.faults.left())
            }
            ("/lab/faults", "DELETE") => {
                self.faults.clear();
                json!([])
            }
            ("/lab/requests", "GET") => json!(self.requests.all()),
            ("/lab/requests", "DELETE") => {
                self.requests.reset();
                json!([])
            }
            _ => return Err(Refusal::method_not_allowed()),
        };
        Ok(respond::json(200, &body, &[]))
    }
}

fn header(head: &Parts, name: hyper::header::HeaderName) -> &str {
    let value = head.headers.get(name);
    value.and_then(|v| v.to_str().ok()).unwrap_or_default()
}
