//! Asking the application once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Stdio;

use http_body_util::Empty;
use hyper::Request;
use tokio::net::lookup_host;
use tonic::transport::Endpoint;

use super::http::{dial, send, unverified};
use super::{Exec, Grpc, HttpGet, Probe, TcpSocket};
use crate::log;
use crate::wire::HealthCheckRequest;
use crate::wire::health::HealthClient;

/// Connections from here to this computer are not captured, so that a probe meets the application
/// and not its proxy. `tools/istio-iptables` in istio/istio has the same address.
const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);

/// Whom to ask when the probe does not say.
#[derive(Debug, Clone)]
pub struct Target(pub String);

/// Asks once.
///
/// # Errors
///
/// When the answer is not a good one: what was wrong with it.
pub async fn ask(probe: &Probe, target: &Target) -> Result<(), String> {
    let Probe {
        http_get,
        tcp_socket,
        exec,
        grpc,
        ..
    } = probe;
    match (http_get, tcp_socket, exec, grpc) {
        (Some(get), _, _, _) => by_http(get, target).await,
        (None, Some(socket), _, _) => by_tcp(socket, target).await,
        (None, None, Some(exec), _) => by_program(exec).await,
        (None, None, None, Some(grpc)) => by_grpc(grpc, target).await,
        (None, None, None, None) => Ok(()),
    }
}

fn host<'a>(said: &'a str, target: &'a Target) -> &'a str {
    if said.is_empty() { &target.0 } else { said }
}

async fn address(host: &str, port: u16) -> Result<SocketAddr, String> {
    let found = lookup_host((host, port)).await;
    let mut found = found.map_err(|error| format!("cannot look up {host}: {error}"))?;
    found.next().ok_or_else(|| format!("{host} has no address"))
}

/// The address to ask from: only for addresses of IPv4, which all probes of the workload have.
fn from(to: SocketAddr) -> Option<IpAddr> {
    to.is_ipv4().then_some(IpAddr::V4(FROM))
}

async fn by_http(get: &HttpGet, target: &Target) -> Result<(), String> {
    let host = host(&get.host, target);
    let to = address(host, get.port).await?;
    let path = match get.path.as_str() {
        "" => "/".to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    };
    let mut request = Request::get(path);
    let names_host = |name: &str| name.eq_ignore_ascii_case("host");
    if !get
        .http_headers
        .iter()
        .any(|header| names_host(&header.name))
    {
        request = request.header("host", format!("{host}:{}", get.port));
    }
    for header in &get.http_headers {
        request = request.header(&header.name, &header.value);
    }
    let request = request
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let answer = async {
        let stream = dial(to, local(to)).await?;
        if get.scheme.eq_ignore_ascii_case("https") {
            send(unverified(stream, host).await?, request).await
        } else {
            send(stream, request).await
        }
    };
    let answer = answer.await.map_err(|error| log::chain(&error))?;
    match answer.status {
        200..=399 => Ok(()),
        status => Err(format!(
            "status code was not from [200,400), bad code {status}"
        )),
    }
}

async fn by_tcp(socket: &TcpSocket, target: &Target) -> Result<(), String> {
    let to = address(host(&socket.host, target), socket.port).await?;
    let connected = dial(to, local(to)).await;
    connected.map(drop).map_err(|error| log::chain(&error))
}

/// Returns where to ask from: only what is on this computer can be reached from the loopback
/// address.
fn local(to: SocketAddr) -> Option<IpAddr> {
    let is_here = std::net::UdpSocket::bind((to.ip(), 0)).is_ok();
    if is_here { from(to) } else { None }
}

async fn by_program(exec: &Exec) -> Result<(), String> {
    let [program, arguments @ ..] = exec.command.as_slice() else {
        return Err("the probe has no program".to_owned());
    };
    let ended = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await;
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program}: {status}")),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

async fn by_grpc(grpc: &Grpc, target: &Target) -> Result<(), String> {
    let to = address(&target.0, grpc.port).await?;
    let endpoint =
        Endpoint::from_shared(format!("http://{to}")).map_err(|error| log::chain(&error))?;
    let channel = endpoint.local_address(local(to)).connect().await;
    let channel = channel.map_err(|error| log::chain(&error))?;
    let request = HealthCheckRequest {
        service: grpc.service.clone(),
    };
    let answer = HealthClient::new(channel).check(request).await;
    match answer {
        Ok(answer) if answer.get_ref().status == 1 => Ok(()),
        Ok(answer) => Err(format!("serving status is {}", answer.get_ref().status)),
        Err(status) => Err(format!("{:?}: {}", status.code(), status.message())),
    }
}
