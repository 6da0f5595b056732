//! The proxy between a client and the server.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, IF_NONE_MATCH,
};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::manners::{Halt, Manners, Refusal};
use crate::tokens::{Known, Parameters, Tokens};
use crate::xml;

/// A login that the server does not look at more closely.
const LOGIN: &str = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, \
                     SignedHeaders=host, Signature=0";
/// The header that asks Cloud Storage for a generation of an object; 0 is none at all.
const GENERATION: &str = "x-goog-if-generation-match";

/// The numbers of accounts, of 12 digits as all are.
static ACCOUNTS: AtomicU64 = AtomicU64::new(100_000_000_000);

/// A proxy that gives the server EC2's manners; it ends when this is dropped.
pub struct Proxy {
    address: SocketAddr,
    side_door: SocketAddr,
    shared: Arc<Shared>,
    accepting: [AbortHandle; 2],
}

struct Shared {
    server: SocketAddr,
    /// The account of all calls, which no other proxy has.
    account: HeaderValue,
    state: Mutex<State>,
    /// Held while machines are made: two calls under one token make one set.
    making: tokio::sync::Mutex<Tokens>,
}

#[derive(Default)]
struct State {
    manners: Manners,
    calls: BTreeMap<String, u64>,
    throttled: u64,
    lost: u64,
    changes: u64,
    /// How many changes were asked for since the halt was set.
    asked: u64,
    is_halted: bool,
    sent: Vec<(String, Parameters)>,
    /// How many listings still hide each machine.
    hidden: BTreeMap<String, u32>,
}

/// One call, taken apart.
struct Call {
    action: String,
    parameters: Parameters,
    is_json: bool,
}

impl Proxy {
    /// Starts one in front of a server.
    ///
    /// # Panics
    /// When this computer has no port left.
    pub async fn start(server: SocketAddr, manners: Manners) -> Self {
        let shared = Arc::new(Shared {
            server,
            account: HeaderValue::from(ACCOUNTS.fetch_add(1, Ordering::Relaxed)),
            state: Mutex::new(State {
                manners,
                ..State::default()
            }),
            making: tokio::sync::Mutex::default(),
        });
        let open = async |is_side_door| {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("its address");
            let accepting = tokio::spawn(accept(listener, shared.clone(), is_side_door));
            (address, accepting.abort_handle())
        };
        let (front, side) = (open(false).await, open(true).await);
        Self {
            address: front.0,
            side_door: side.0,
            accepting: [front.1, side.1],
            shared,
        }
    }

    /// Returns its address as clients are given it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the address of a door without manners and counts, to the same account: for what
    /// others do there.
    pub fn side_door(&self) -> String {
        format!("http://{}", self.side_door)
    }

    pub(crate) fn side_door_address(&self) -> SocketAddr {
        self.side_door
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.shared.state().manners);
    }

    /// Returns how often each call arrived.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.shared.state().calls.clone()
    }

    /// Forgets how often calls arrived, and what they were.
    pub fn forget_calls(&self) {
        let mut state = self.shared.state();
        state.calls.clear();
        state.sent.clear();
    }

    /// Returns how many calls were throttled.
    pub fn throttled(&self) -> u64 {
        self.shared.state().throttled
    }

    /// Returns how many replies were lost.
    pub fn lost(&self) -> u64 {
        self.shared.state().lost
    }

    /// Returns the parameters of each call of a name.
    pub fn sent(&self, action: &str) -> Vec<BTreeMap<String, String>> {
        let state = self.shared.state();
        let calls = state.sent.iter().filter(|(name, _)| name == action);
        calls.map(|(_, parameters)| parameters.clone()).collect()
    }

    /// Makes the next client hang at a call, counted from now; `None` lets all go on.
    pub fn halt(&self, halt: Option<Halt>) {
        let mut state = self.shared.state();
        state.manners.halt = halt;
        (state.asked, state.is_halted) = (0, false);
    }

    /// Returns whether a client hangs.
    pub fn is_halted(&self) -> bool {
        self.shared.state().is_halted
    }

    /// Makes every listing complete from now on.
    pub fn settle(&self) {
        self.shared.state().hidden.clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for accepting in &self.accepting {
            accepting.abort();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, is_side_door: bool) -> Infallible {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let shared = shared.clone();
                // On a task of its own: a client that goes away does not undo what it asked for.
                async move {
                    let answer = tokio::spawn(serve(shared, request, is_side_door)).await;
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
    shared: Arc<Shared>,
    request: Request<Incoming>,
    is_side_door: bool,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let account = HeaderName::from_static("x-moto-account-id");
    parts.headers.insert(account, shared.account.clone());
    as_of_s3(&mut parts.headers);
    if is_side_door {
        let request = Request::from_parts(parts, Full::new(body));
        return exchange(shared.server, request).await;
    }
    let call = call(&parts, &body);
    let refused = shared.state().refuse(&call);
    if let Some(refused) = refused {
        return Ok(refused);
    }
    let is_change = !call.is_json && !is_reading(&call.action);
    let halt = is_change.then(|| shared.state().halt()).flatten();
    if halt == Some(false) {
        return hang(&shared).await;
    }
    let request = |body: Bytes| {
        let mut request = Request::from_parts(parts.clone(), Full::new(body.clone()));
        let length = HeaderValue::from(body.len());
        request.headers_mut().insert(CONTENT_LENGTH, length);
        request
    };
    let answer = match call.action.as_str() {
        "RunInstances" => make(&shared, &call, &body, request).await?,
        "DescribeInstanceStatus" if !shared.state().manners.impaired.is_empty() => {
            let body = xml::impaired(shared.state().manners.impaired.iter());
            respond(StatusCode::OK, body, false)
        }
        "DescribeInstances" => {
            let page = shared.state().manners.page;
            let asked = match page {
                0 => body,
                page => {
                    let mut sent = call.parameters.clone();
                    sent.insert("MaxResults".to_owned(), page.to_string());
                    encode(&sent)
                }
            };
            let answer = exchange(shared.server, request(asked)).await?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let body = shared.state().listed(&body);
            respond(parts.status, body, false)
        }
        _ => exchange(shared.server, request(body)).await?,
    };
    if halt == Some(true) {
        return hang(&shared).await;
    }
    if is_change && shared.state().loses() {
        return Err(io::Error::other("the reply is lost"));
    }
    Ok(answer)
}

/// Says in S3's words what a client of Cloud Storage says in its own: the XML APIs are the same but
/// for the login, and for how what must not be there yet is made
/// (<https://cloud.google.com/storage/docs/xml-api/reference-headers#xgoogifgenerationmatch>).
fn as_of_s3(headers: &mut HeaderMap) {
    let is_signed = |value: &HeaderValue| value.as_bytes().starts_with(b"AWS4");
    if !headers.get(AUTHORIZATION).is_some_and(is_signed) {
        headers.insert(AUTHORIZATION, HeaderValue::from_static(LOGIN));
    }
    if headers.remove(GENERATION).is_some_and(|value| value == "0") {
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
}

/// Never answers.
async fn hang(shared: &Shared) -> Result<Response<Full<Bytes>>, io::Error> {
    shared.state().is_halted = true;
    std::future::pending().await
}

/// Makes machines under their token, as many as there is room for.
async fn make(
    shared: &Shared,
    call: &Call,
    body: &Bytes,
    request: impl Fn(Bytes) -> Request<Full<Bytes>>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let mut tokens = shared.making.lock().await;
    match tokens.look(&call.parameters) {
        Known::No => {}
        Known::Same(body) => return Ok(respond(StatusCode::OK, body, false)),
        Known::Other => {
            let message = "The client token was used with other parameters.";
            let body = xml::error("IdempotentParameterMismatch", message);
            return Ok(respond(StatusCode::BAD_REQUEST, body, false));
        }
    }
    let number = |name: &str| call.parameters.get(name).and_then(|text| text.parse().ok());
    let (least, most): (u32, u32) = (
        number("MinCount").unwrap_or(1),
        number("MaxCount").unwrap_or(1),
    );
    let kind = call.parameters.get("InstanceType").cloned();
    let kind = kind.unwrap_or_default();
    let subnet = call.parameters.get("SubnetId");
    let room = match &shared.state().manners {
        manners if subnet.is_some_and(|it| manners.full.contains(it)) => Some(0),
        manners => manners.room.get(&kind).copied(),
    };
    let count = room.map_or(most, |room| room.min(most));
    if count < least {
        let message = format!("There is not enough capacity for {kind}.");
        let body = xml::error("InsufficientInstanceCapacity", &message);
        return Ok(respond(StatusCode::INTERNAL_SERVER_ERROR, body, false));
    }
    // The server makes the least that is asked for, EC2 the most that it can.
    // A call that says the same of both goes on as it was signed.
    let sent = match least == count && most == count {
        true => body.clone(),
        false => {
            let mut sent = call.parameters.clone();
            for name in ["MinCount", "MaxCount"] {
                sent.insert(name.to_owned(), count.to_string());
            }
            encode(&sent)
        }
    };
    let answer = exchange(shared.server, request(sent)).await?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    if parts.status == StatusCode::OK {
        let text = String::from_utf8_lossy(&body);
        let mut state = shared.state();
        let lag = state.manners.lag;
        for id in xml::texts(&text, "instanceId") {
            state.hidden.insert(id.to_owned(), lag);
        }
        if let Some(room) = state.manners.room.get_mut(&kind) {
            *room -= count;
        }
        tokens.remember(call.parameters.clone(), body.clone());
    }
    Ok(respond(parts.status, body, false))
}

impl State {
    /// Counts a call, and answers it where it gets no further.
    fn refuse(&mut self, call: &Call) -> Option<Response<Full<Bytes>>> {
        *self.calls.entry(call.action.clone()).or_default() += 1;
        self.sent
            .push((call.action.clone(), call.parameters.clone()));
        let error = |status: u16, code: &str, message: &str| {
            let body = match call.is_json {
                true => xml::json_error(code, message),
                false => xml::error(code, message),
            };
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            Some(respond(status, body, call.is_json))
        };
        if let Some(body) = self.manners.answers.get(&call.action) {
            let body = Bytes::from(body.clone());
            return Some(respond(StatusCode::OK, body, call.is_json));
        }
        if let Some(bucket) = self.manners.buckets.get_mut(&call.action)
            && !bucket.take()
        {
            self.throttled += 1;
            return error(503, "RequestLimitExceeded", "Request limit exceeded.");
        }
        let refusals = &mut self.manners.refusals;
        let index = refusals.iter().position(|it| it.action == call.action)?;
        let Refusal {
            action: _,
            status,
            code,
            message,
        } = refusals.remove(index);
        error(status, &code, &message)
    }

    /// Returns whether a change hangs, and whether it has its effect before.
    fn halt(&mut self) -> Option<bool> {
        let halt = self.manners.halt?;
        self.asked += 1;
        (self.asked == halt.change).then_some(halt.is_done)
    }

    fn loses(&mut self) -> bool {
        self.changes += 1;
        let every = u64::from(self.manners.lose_every);
        let loses = every > 0 && self.changes.is_multiple_of(every);
        self.lost += u64::from(loses);
        loses
    }

    /// Returns a listing without what it does not show yet.
    fn listed(&mut self, body: &Bytes) -> Bytes {
        let text = String::from_utf8_lossy(body);
        self.hidden.retain(|_, left| *left > 0);
        let text = xml::without(&text, |id| self.hidden.contains_key(id));
        for left in self.hidden.values_mut() {
            *left -= 1;
        }
        Bytes::from(text)
    }
}

/// Takes a call apart.
fn call(parts: &hyper::http::request::Parts, body: &Bytes) -> Call {
    let target = parts.headers.get("x-amz-target");
    if let Some(target) = target.and_then(|value| value.to_str().ok()) {
        let action = target.rsplit('.').next().unwrap_or_default().to_owned();
        return Call {
            action,
            parameters: Parameters::new(),
            is_json: true,
        };
    }
    let parameters: Parameters = form_urlencoded::parse(body).into_owned().collect();
    match parameters.get("Action") {
        Some(action) => Call {
            action: action.clone(),
            parameters,
            is_json: false,
        },
        None => Call {
            action: parts.method.to_string(),
            parameters: Parameters::new(),
            is_json: true,
        },
    }
}

fn encode(parameters: &Parameters) -> Bytes {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(parameters);
    Bytes::from(body.finish())
}

fn is_reading(action: &str) -> bool {
    ["Describe", "Get", "List", "Decode"]
        .iter()
        .any(|verb| action.starts_with(verb))
}

/// Sends a request and reads the whole answer.
pub(crate) async fn exchange(
    server: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let stream = TcpStream::connect(server).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    let (parts, body) = answer.map_err(io::Error::other)?.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Response::from_parts(parts, Full::new(body)))
}

fn respond(status: StatusCode, body: Bytes, is_json: bool) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let kind = match is_json {
        true => "application/x-amz-json-1.1",
        false => "text/xml; charset=utf-8",
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
