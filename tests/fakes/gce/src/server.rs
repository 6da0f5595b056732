//! The server: tokens, manners, counts; and what others do, who are not counted.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as Free};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::batch;
use crate::cloud::{Asked, Cloud};
use crate::description::Api;
use crate::manners::{Halt, Manners};
use crate::refusal::Refusal;
use crate::validate;

/// The token that it hands out.
const TOKEN: &str = "ya29.of-the-double";

/// A project of a double of Compute Engine; it ends when this is dropped.
pub struct Gce {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct Shared {
    cloud: Cloud,
    calls: BTreeMap<String, u64>,
    sent: Vec<(String, Value)>,
    all: u64,
    changes: u64,
    /// How many changes were asked for since the halt was set.
    asked: u64,
    throttled: u64,
    lost: u64,
    billed: BTreeSet<String>,
    is_halted: bool,
}

/// What becomes of a call.
enum Fate {
    Answer(u16, Value),
    Lose,
    Hang,
}

impl Gce {
    /// Starts one.
    ///
    /// # Panics
    /// When this computer has no port left, or the API's description is not there.
    pub async fn start(manners: Manners) -> Self {
        // At once, so that a missing description is told here.
        for base in ["/compute/v1/", "/v3/"] {
            Api::at(base);
        }
        let mut shared = Shared::default();
        shared.cloud.manners = manners;
        let shared = Arc::new(Mutex::new(shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let accepting = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Self {
            address,
            shared,
            accepting,
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }

    /// Returns its address as clients are given it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns credentials as a file of Google's has them, which are good here.
    pub fn credentials(&self) -> Value {
        json!({
            "type": "authorized_user",
            "client_id": "client",
            "client_secret": "secret",
            "refresh_token": "refresh",
            "token_uri": format!("{}/token", self.endpoint()),
        })
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.shared().cloud.manners);
    }

    /// Brings everything to its end: operations, and what listings still hide.
    pub fn settle(&self) {
        let cloud = &mut self.shared().cloud;
        cloud.hidden.clear();
        (0..cloud.operations.len()).for_each(|at| cloud.finish(at));
    }

    /// Returns how often each call arrived.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.shared().calls.clone()
    }

    /// Forgets how often calls arrived, and what they were.
    pub fn forget_calls(&self) {
        let mut shared = self.shared();
        shared.calls.clear();
        shared.sent.clear();
    }

    /// Returns the bodies of a call.
    pub fn sent(&self, method: &str) -> Vec<Value> {
        let shared = self.shared();
        let sent = shared.sent.iter().filter(|(name, _)| name == method);
        sent.map(|(_, body)| body.clone()).collect()
    }

    /// Returns how many calls were throttled.
    pub fn throttled(&self) -> u64 {
        self.shared().throttled
    }

    /// Returns how many replies were lost.
    pub fn lost(&self) -> u64 {
        self.shared().lost
    }

    /// Returns the projects that calls were to be counted against.
    pub fn billed(&self) -> BTreeSet<String> {
        self.shared().billed.clone()
    }

    /// Forgets which request ids there were, as the cloud does after a while.
    pub fn forget_requests(&self) {
        self.shared().cloud.replies.clear();
    }

    /// Makes this many further listings show none of the machines that there are.
    pub fn hide(&self, listings: u32) {
        let cloud = &mut self.shared().cloud;
        let all = cloud.instances.keys().map(|id| (*id, listings));
        cloud.hidden = all.collect();
    }

    /// Makes a client hang at a call from now on.
    pub fn halt(&self, halt: Option<Halt>) {
        let mut shared = self.shared();
        shared.cloud.manners.halt = halt;
        shared.is_halted = false;
        shared.asked = 0;
    }

    /// Returns whether a client hangs.
    pub fn is_halted(&self) -> bool {
        self.shared().is_halted
    }

    /// Returns the machines that there are, those that no listing shows among them.
    pub fn instances(&self) -> Vec<Value> {
        self.shared().cloud.instances.values().cloned().collect()
    }

    /// Returns the firewall rules that there are.
    pub fn firewalls(&self) -> Vec<Value> {
        self.shared().cloud.firewalls.values().cloned().collect()
    }

    /// Returns the disks that there are.
    pub fn disks(&self) -> Vec<Value> {
        self.shared().cloud.disks.values().cloned().collect()
    }

    /// Sends a call as somebody else, and does not wait for what comes of it.
    ///
    /// # Panics
    /// When it is refused.
    pub fn begin(&self, verb: &str, path: &str) -> Value {
        let mut shared = self.shared();
        let answer = run(&mut shared.cloud, verb, path, &BTreeMap::new(), None);
        answer.unwrap_or_else(|refusal| panic!("{verb} {path}: {refusal:?}"))
    }

    /// Sends a call as somebody else, and waits for what comes of it.
    ///
    /// # Panics
    /// When it is refused.
    pub fn ask(&self, verb: &str, path: &str, body: Option<&Value>) -> Value {
        let mut shared = self.shared();
        let answer = run(&mut shared.cloud, verb, path, &BTreeMap::new(), body);
        let answer = answer.unwrap_or_else(|refusal| panic!("{verb} {path}: {refusal:?}"));
        for at in 0..shared.cloud.operations.len() {
            shared.cloud.finish(at);
        }
        answer
    }
}

impl Drop for Gce {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Returns an address where nothing listens.
///
/// # Panics
/// When this computer has none left.
pub fn nowhere() -> SocketAddr {
    let listener = Free::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, shared.clone()));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Mutex<Shared>>) {
    let service = service_fn(move |request| answer(shared.clone(), request));
    let http = hyper::server::conn::http1::Builder::new();
    // Clients go as they please.
    drop(http.serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(
    shared: Arc<Mutex<Shared>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = head.uri.path().to_owned();
    if path == "/token" {
        let token = json!({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"});
        return Ok(json_of(200, &token));
    }
    let expected = format!("Bearer {TOKEN}");
    let given = head
        .headers
        .get(AUTHORIZATION)
        .and_then(|it| it.to_str().ok());
    if given != Some(expected.as_str()) {
        let refusal = Refusal::new(401, "required", "Login Required.");
        return Ok(json_of(401, &refusal.body()));
    }
    let billed = head.headers.get("x-goog-user-project");
    if let Some(project) = billed.and_then(|it| it.to_str().ok()) {
        lock(&shared).billed.insert(project.to_owned());
    }
    if path == batch::PATH {
        return answer_batch(&shared, &head.headers, &body).await;
    }
    let target = head.uri.path_and_query().map_or("", |it| it.as_str());
    let fate = decide(&mut lock(&shared), head.method.as_str(), target, &body);
    let (status, body) = settled(fate).await?;
    Ok(json_of(status, &body))
}

/// Answers the calls of a batch, one after another; what becomes of one becomes of all.
async fn answer_batch(
    shared: &Mutex<Shared>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response<Full<Bytes>>, io::Error> {
    let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let body = String::from_utf8_lossy(body);
    let Some(parts) = batch::parts(kind.unwrap_or_default(), &body) else {
        let refusal = Refusal::new(400, "badRequest", "Failed to parse batch request.");
        return Ok(json_of(400, &refusal.body()));
    };
    let mut answers = Vec::new();
    for part in &parts {
        let fate = decide(
            &mut lock(shared),
            &part.verb,
            &part.target,
            part.body.as_bytes(),
        );
        answers.push(settled(fate).await?);
    }
    let (kind, body) = batch::answer(&parts, &answers);
    Ok(response(200, &kind, body))
}

/// Returns a call's answer, if it ever gets one.
async fn settled(fate: Fate) -> Result<(u16, Value), io::Error> {
    match fate {
        Fate::Answer(status, body) => Ok((status, body)),
        Fate::Lose => Err(io::Error::other("the reply is lost, on purpose")),
        Fate::Hang => {
            std::future::pending::<Infallible>().await;
            Err(io::Error::other("it hangs, on purpose"))
        }
    }
}

fn json_of(status: u16, body: &Value) -> Response<Full<Bytes>> {
    response(status, "application/json; charset=UTF-8", body.to_string())
}

fn response(status: u16, kind: &str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    let kind = kind.parse().expect("a value");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Decides what becomes of a call, and does it.
fn decide(shared: &mut Shared, verb: &str, target: &str, body: &[u8]) -> Fate {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let refused = |refusal: &Refusal| Fate::Answer(refusal.status, refusal.body());
    let call = match Api::at(path).route(verb, path) {
        Ok(call) => call,
        Err(refusal) => return refused(&refusal),
    };
    let name = call.method.name.clone();
    *shared.calls.entry(name.clone()).or_default() += 1;
    let body = match body {
        [] => None,
        body => match serde_json::from_slice::<Value>(body) {
            Ok(body) => Some(body),
            Err(error) => return refused(&Refusal::invalid(format!("Parse Error: {error}"))),
        },
    };
    shared
        .sent
        .push((name.clone(), body.clone().unwrap_or_default()));
    shared.all += 1;
    let manners = shared.cloud.manners.clone();
    if manners.throttle_every > 0 && shared.all.is_multiple_of(manners.throttle_every) {
        shared.throttled += 1;
        let message = "Rate Limit Exceeded";
        return refused(&Refusal::new(403, "rateLimitExceeded", message));
    }
    let changes = !call.method.is_reading();
    if changes {
        shared.asked += 1;
    }
    let halt = manners
        .halt
        .filter(|halt| changes && (shared.is_halted || halt.change == shared.asked));
    if let Some(halt) = halt
        && (!halt.is_done || shared.is_halted)
    {
        shared.is_halted = true;
        return Fate::Hang;
    }
    let position = manners.refusals.iter().position(|it| it.method == name);
    if let Some(position) = position {
        let refusal = shared.cloud.manners.refusals.remove(position);
        if !refusal.is_later {
            let message = "It is refused on purpose.";
            return refused(&Refusal::new(refusal.status, &refusal.reason, message));
        }
        shared.cloud.later = Some((refusal.status, refusal.reason));
    }
    let answer = run(&mut shared.cloud, verb, path, &query, body.as_ref());
    shared.cloud.later = None;
    if halt.is_some() {
        shared.is_halted = true;
        return Fate::Hang;
    }
    if changes {
        shared.changes += 1;
        if manners.lose_every > 0 && shared.changes.is_multiple_of(manners.lose_every) {
            shared.lost += 1;
            return Fate::Lose;
        }
    }
    match answer {
        Ok(body) => Fate::Answer(200, body),
        Err(refusal) => refused(&refusal),
    }
}

/// Checks a call and does it.
fn run(
    cloud: &mut Cloud,
    verb: &str,
    path: &str,
    query: &BTreeMap<String, String>,
    body: Option<&Value>,
) -> Result<Value, Refusal> {
    let api = Api::at(path);
    let call = api.route(verb, path)?;
    validate::call(api, &call, query, body)?;
    let answer = cloud.answer(&Asked {
        call: &call,
        query,
        body: body.unwrap_or(&Value::Null),
    })?;
    validate::answer(api, &call, &answer).map_err(|refusal| {
        let message = format!("The double's answer is wrong: {}", refusal.message);
        Refusal::new(500, "internalError", message)
    })?;
    Ok(answer)
}
