//! What the agent answers on its own ports: whether all is ready, and numbers.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::credentials::Material;
use crate::probe::{Health, get};

/// A port cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on port {port}")]
pub struct ListenError {
    port: u16,
    source: std::io::Error,
}

/// What the answers are made from.
#[derive(Clone)]
pub struct Status {
    /// Whether Envoy is ready.
    pub proxy_ready: watch::Receiver<bool>,
    /// How the application is, if it has a probe.
    pub health: Option<watch::Receiver<Option<Health>>>,
    /// The certificate.
    pub material: watch::Receiver<Option<Material>>,
    /// The port of Envoy's admin interface.
    pub admin_port: u16,
}

impl Status {
    /// Listens on all addresses and answers until it is dropped.
    ///
    /// # Errors
    ///
    /// When somebody else listens there.
    pub async fn listen(
        self,
        port: u16,
    ) -> Result<impl Future<Output = Infallible> + Send, ListenError> {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ListenError { port, source })?;
        Ok(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // Out of file descriptors, most likely: others may close theirs.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                };
                let status = self.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let status = status.clone();
                        async move { Ok::<_, Infallible>(status.answer(&request).await) }
                    });
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service);
                    // A client that goes away early is its own affair.
                    let _ = connection.await;
                });
            }
        })
    }

    async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        match request.uri().path() {
            "/healthz/ready" => match self.unready() {
                None => response(StatusCode::OK, String::new()),
                Some(why) => response(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            },
            "/stats/prometheus" | "/metrics" => response(StatusCode::OK, self.metrics().await),
            _ => response(StatusCode::NOT_FOUND, String::new()),
        }
    }

    /// Returns why not all is ready, if it is not.
    fn unready(&self) -> Option<String> {
        if !*self.proxy_ready.borrow() {
            return Some("the proxy is not ready".to_owned());
        }
        let health = self.health.as_ref()?.borrow().clone();
        match health {
            Some(Health::Healthy) => None,
            Some(Health::Unhealthy(why)) => Some(format!("the application is not ready: {why}")),
            None => Some("the application was not asked yet".to_owned()),
        }
    }

    /// Returns the agent's own numbers and then Envoy's.
    async fn metrics(&self) -> String {
        let end = self.material.borrow().as_ref().map(|held| held.end);
        let mut text = String::new();
        if let Some(end) = end {
            let left = end.duration_since(jiff::Timestamp::now()).as_secs();
            text = format!(
                "# TYPE istio_agent_cert_expiry_seconds gauge\n\
                 istio_agent_cert_expiry_seconds{{resource_name=\"default\"}} {left}\n"
            );
        }
        if let Ok(envoy) = get(self.admin_port, "/stats/prometheus").await {
            text.push_str(&String::from_utf8_lossy(&envoy.body));
        }
        text
    }
}

fn response(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}
