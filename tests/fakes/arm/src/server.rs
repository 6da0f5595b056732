//! The server: HTTPS, tokens, counts, and what is wrong with a call before it is looked into.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::description::{Description, Operation};
use crate::handlers;
use crate::manners::{Halt, Manners, Refusal};
use crate::rights::{forbidden, is_allowed, linked};
use crate::world::{World, group_id};
use crate::{SECRET, SUBSCRIPTION, deployments, directory, subscription};

/// A running double; it ends when this is dropped.
pub struct Arm {
    address: SocketAddr,
    pub(crate) world: Arc<Mutex<World>>,
    accepting: AbortHandle,
}

/// A call, taken apart.
pub(crate) struct Asked {
    pub method: String,
    /// Where the double is reached.
    pub base: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub body: Option<Value>,
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub body: Option<Value>,
    /// Where to look at what goes on; a path.
    pub operation: Option<String>,
    /// Where its result will be; a path, or where the call went when empty.
    pub location: Option<String>,
    /// Whether the caller is told how long to wait.
    pub is_later: bool,
}

impl Reply {
    pub fn of(status: u16, body: Option<Value>) -> Self {
        Self {
            status,
            body,
            operation: None,
            location: None,
            is_later: false,
        }
    }

    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::of(
            status,
            Some(json!({"error": {"code": code, "message": message}})),
        )
    }
}

/// What becomes of a call.
enum Fate {
    Answered(Reply),
    /// Its reply is lost.
    Lost,
    /// Nothing is ever heard of it.
    Hangs,
}

impl Arm {
    /// Starts one.
    ///
    /// # Panics
    /// When this computer has no port left, or the description is not there.
    pub async fn start(authority: &Authority, manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let acceptor = TlsAcceptor::from(authority.server());
        let mut world = World::new(manners);
        world.application = authority.known();
        let world = Arc::new(Mutex::new(world));
        let accepting = tokio::spawn(accept(listener, acceptor, world.clone(), address));
        Self {
            address,
            world,
            accepting: accepting.abort_handle(),
        }
    }

    /// Returns its address, as Resource Manager's and as the one of who gives out tokens.
    pub fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.lock().manners);
    }

    /// Makes the next client hang at a call, counted from now; `None` lets all go on.
    pub fn halt(&self, halt: Option<Halt>) {
        let mut world = self.lock();
        world.manners.halt = halt;
        (world.asked, world.is_halted) = (0, false);
    }
}

impl Drop for Arm {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

pub(crate) fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    world: Arc<Mutex<World>>,
    address: SocketAddr,
) -> Infallible {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (acceptor, world) = (acceptor.clone(), world.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request| {
                let world = world.clone();
                // On a task of its own: a client that goes away does not undo what it asked for.
                async move {
                    let answer = tokio::spawn(serve(world, request, address)).await;
                    answer.map_err(io::Error::other)?
                }
            });
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

async fn serve(
    world: Arc<Mutex<World>>,
    request: Request<Incoming>,
    address: SocketAddr,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let query = head.uri.query().unwrap_or_default();
    let header = |name: &str| {
        let value = head.headers.get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    // Azure's command line writes some with an empty part.
    let path = head.uri.path().replace("//", "/");
    let base = format!("https://{address}");
    let known = directory::answer(&path, &base, &body, lock(&world).application.as_ref());
    if let Some(reply) = known {
        return Ok(response(&reply, &base, &Manners::default(), &path));
    }
    let query = form_urlencoded::parse(query.as_bytes());
    let query: BTreeMap<String, String> = query
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let asked = Asked {
        method: head.method.to_string(),
        base: base.clone(),
        path: path.trim_end_matches('/').to_owned(),
        query,
        body: (!body.is_empty()).then(|| serde_json::from_slice(&body).unwrap_or_default()),
        if_match: header("if-match"),
        if_none_match: header("if-none-match"),
    };
    let bearer = header("authorization").unwrap_or_default();
    let (fate, manners) = {
        let mut world = lock(&world);
        let fate = fate(&mut world, &asked, &bearer);
        (fate, world.manners.clone())
    };
    match fate {
        Fate::Answered(reply) => Ok(response(&reply, &base, &manners, &path)),
        Fate::Lost => Err(io::Error::other("the reply is lost")),
        Fate::Hangs => std::future::pending().await,
    }
}

/// Decides what becomes of a call.
fn fate(world: &mut World, asked: &Asked, bearer: &str) -> Fate {
    let signature = URL_SAFE_NO_PAD.encode(json!(SECRET).to_string());
    if !bearer.starts_with("Bearer ") || !bearer.ends_with(&signature) {
        let message = "Authentication failed. The 'Authorization' header is missing or not valid.";
        return Fate::Answered(Reply::error(401, "AuthenticationFailed", message));
    }
    let words: Vec<&str> = asked.path.split('/').collect();
    if let [
        ..,
        "locations",
        _,
        kind @ ("operations" | "operationResults"),
        id,
    ] = words[..]
    {
        let namespace = words[4];
        let right = match namespace {
            "Microsoft.Resources" => {
                "Microsoft.Resources/subscriptions/operationresults/read".to_owned()
            }
            namespace => format!("{namespace}/locations/operations/read"),
        };
        count(world, "Operations.get", &right);
        if !is_allowed(world, &right) {
            return Fate::Answered(forbidden(&right));
        }
        if !asked.query.contains_key("api-version") {
            return Fate::Answered(Reply::error(
                400,
                "MissingApiVersionParameter",
                "It is needed.",
            ));
        }
        if let Some(refusal) = taken(world, "Operations.get") {
            let Refusal {
                status,
                code,
                message,
                ..
            } = refusal;
            return Fate::Answered(Reply::error(status, &code, &message));
        }
        let id = id.to_owned();
        return Fate::Answered(match kind {
            "operations" => world.operation(&id),
            _ => world.result(&id),
        });
    }
    if let Some((right, reply)) = subscription::answer(asked) {
        count(world, "Subscriptions.get", right);
        return Fate::Answered(match is_allowed(world, right) {
            true => reply,
            false => forbidden(right),
        });
    }
    if let Some(call) = deployments::Call::of(&asked.path) {
        let right = call.right(&asked.method);
        count(world, "Deployments", right);
        return Fate::Answered(match is_allowed(world, right) {
            true => call.answer(world, asked),
            false => forbidden(right),
        });
    }
    let (operation, parameters) = match found(world, asked) {
        Ok(found) => found,
        Err(reply) => return Fate::Answered(reply),
    };
    let is_change = !matches!(asked.method.as_str(), "GET" | "HEAD");
    if !is_change {
        return Fate::Answered(handlers::answer(world, asked, operation, &parameters));
    }
    world.asked += 1;
    let halt = world.manners.halt.filter(|halt| halt.change == world.asked);
    if let Some(Halt { is_done: false, .. }) = halt {
        world.is_halted = true;
        return Fate::Hangs;
    }
    let reply = handlers::answer(world, asked, operation, &parameters);
    if halt.is_some() {
        world.is_halted = true;
        return Fate::Hangs;
    }
    world.changes += 1;
    let every = world.manners.lose_every;
    if every > 0 && world.changes.is_multiple_of(every) {
        world.lost += 1;
        return Fate::Lost;
    }
    Fate::Answered(reply)
}

/// Finds the operation of a call that may be made, with the parameters of its path.
fn found(
    world: &mut World,
    asked: &Asked,
) -> Result<(&'static Operation, BTreeMap<String, String>), Reply> {
    let mut known = Description::get().at(&asked.path);
    let is_nothing = known.is_empty();
    known.retain(|(operation, _)| operation.method == asked.method);
    let Some((operation, parameters)) = known.into_iter().next() else {
        return Err(match is_nothing {
            true => Reply::error(
                404,
                "InvalidResourceType",
                "There is no such type of resources.",
            ),
            false => Reply::error(405, "MethodNotAllowed", "It is not done to this."),
        });
    };
    count(world, &operation.name, &operation.right());
    world.sent.push((
        operation.name.clone(),
        asked.body.clone().unwrap_or_default(),
    ));
    match refused(world, asked, operation) {
        Some(reply) => Err(reply),
        None => Ok((operation, parameters)),
    }
}

/// Answers a call that is a part of another one.
pub(crate) fn alone(world: &mut World, asked: &Asked) -> Reply {
    match found(world, asked) {
        Ok((operation, parameters)) => handlers::answer(world, asked, operation, &parameters),
        Err(reply) => reply,
    }
}

fn count(world: &mut World, name: &str, right: &str) {
    *world.calls.entry(name.to_owned()).or_default() += 1;
    *world.rights.entry(right.to_owned()).or_default() += 1;
}

/// Returns whether an operation has a version.
fn is_known(version: &str, operation: &Operation, older: bool) -> bool {
    // They are days, some with a word behind.
    let is_day = version.len() >= 10 && version.starts_with("20");
    version == operation.version || (older && is_day && version < operation.version.as_str())
}

/// Takes the answer that was set in place of the double's.
fn taken(world: &mut World, name: &str) -> Option<Refusal> {
    let refusals = &mut world.manners.refusals;
    let at = refusals.iter().position(|it| it.operation == name)?;
    Some(refusals.remove(at))
}

/// Refuses what is not looked into.
fn refused(world: &mut World, asked: &Asked, operation: &Operation) -> Option<Reply> {
    let name = operation.name.as_str();
    let right = operation.right();
    if !is_allowed(world, &right) {
        return Some(forbidden(&right));
    }
    let linked = linked(asked.body.as_ref());
    if let Some(right) = linked.iter().find(|right| !is_allowed(world, right)) {
        let message = format!(
            "The client has permission to perform action on the scope, but not '{right}' on what is linked."
        );
        return Some(Reply::error(403, "LinkedAuthorizationFailed", &message));
    }
    match asked.query.get("api-version").map(String::as_str) {
        None => {
            let message =
                "The api-version query parameter (?api-version=) is required for all requests.";
            return Some(Reply::error(400, "MissingApiVersionParameter", message));
        }
        Some(version) if !is_known(version, operation, world.manners.older) => {
            let message = format!(
                "The api-version '{version}' is not one that this type knows: {}.",
                operation.version
            );
            return Some(Reply::error(400, "InvalidApiVersionParameter", &message));
        }
        Some(_) => {}
    }
    let unknown = asked.query.keys().find(|name| {
        let is_known = operation.query.contains(name) || *name == "$skiptoken";
        name.starts_with('$') && !is_known
    });
    if let Some(unknown) = unknown {
        let message = format!("The query parameter '{unknown}' is not supported.");
        return Some(Reply::error(400, "InvalidQueryParameter", &message));
    }
    let every = world
        .manners
        .throttle_every
        .get(name)
        .copied()
        .unwrap_or_default();
    if every > 0
        && world
            .calls
            .get(name)
            .is_some_and(|count| count.is_multiple_of(every))
    {
        world.throttled += 1;
        return Some(Reply::error(
            429,
            "TooManyRequests",
            "The request is being throttled.",
        ));
    }
    let group = asked.path.split('/').nth(4).filter(|_| {
        let word = asked.path.split('/').nth(3).unwrap_or_default();
        word.eq_ignore_ascii_case("resourceGroups")
    });
    let is_below = asked.path.split('/').count() > 5;
    if let Some(group) = group.filter(|_| is_below) {
        world.look_at(&group_id(group));
        if world.get(&group_id(group)).is_none() {
            let message = format!("Resource group '{group}' could not be found.");
            return Some(Reply::error(404, "ResourceGroupNotFound", &message));
        }
    }
    if asked
        .path
        .split('/')
        .nth(2)
        .is_some_and(|it| it != SUBSCRIPTION)
    {
        let message = "The subscription could not be found.";
        return Some(Reply::error(404, "SubscriptionNotFound", message));
    }
    let refusal = taken(world, name)?;
    if refusal.leaves_interface {
        let body = asked.body.clone().unwrap_or_default();
        let configuration =
            &body["properties"]["networkProfile"]["networkInterfaceConfigurations"][0];
        let inline = crate::networks::Inline {
            machine: &asked.path,
            configuration,
            zones: &body["zones"],
        };
        if let Ok(id) = world.make_inline(&inline) {
            world.detach(&id);
        }
    }
    Some(Reply::error(
        refusal.status,
        &refusal.code,
        &refusal.message,
    ))
}

fn response(reply: &Reply, base: &str, manners: &Manners, path: &str) -> Response<Full<Bytes>> {
    let mut response = Response::builder()
        .status(reply.status)
        .header("content-type", "application/json; charset=utf-8")
        .header("x-ms-request-id", uuid::Uuid::new_v4().to_string())
        .header(
            "x-ms-ratelimit-remaining-subscription-reads",
            manners.remaining,
        );
    if reply.is_later || reply.status == 429 {
        response = response.header("retry-after", "1");
        if manners.hurry {
            response = response.header("x-ms-retry-after-ms", "5");
        }
    }
    if let Some(path) = &reply.operation {
        response = response.header("azure-asyncoperation", format!("{base}{path}"));
    }
    if let Some(location) = &reply.location {
        let to = match location.as_str() {
            "" => format!("{base}{path}?api-version=2026-04-01"),
            path => format!("{base}{path}"),
        };
        response = response.header("location", to);
    }
    let body = reply
        .body
        .as_ref()
        .map(Value::to_string)
        .unwrap_or_default();
    response
        .body(Full::new(Bytes::from(body)))
        .expect("headers of plain letters")
}
