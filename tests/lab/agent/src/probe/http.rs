//! Single requests by HTTP/1.1, from an address of one's choice.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// The most of an answer that is read.
const MOST: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// No connection.
    #[error("cannot connect to {0}")]
    Connect(SocketAddr, #[source] std::io::Error),
    /// No TLS.
    #[error("cannot speak TLS")]
    Tls(#[source] std::io::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    TlsSetup(#[from] rustls::Error),
    /// The request is none.
    #[error("no such request")]
    Request(#[from] hyper::http::Error),
    /// The exchange failed.
    #[error("the exchange failed")]
    Exchange(#[from] hyper::Error),
    /// The answer's body cannot be read.
    #[error("the answer ends early or is too long")]
    Body,
}

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
}

/// Connects from an address of this computer; any, when there is none.
pub(super) async fn dial(to: SocketAddr, from: Option<IpAddr>) -> Result<TcpStream, HttpError> {
    let connected = async {
        let socket = if to.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        socket.connect(to).await
    };
    connected
        .await
        .map_err(|error| HttpError::Connect(to, error))
}

/// Gets a path of a server on this computer.
///
/// # Errors
///
/// When there is no answer.
pub async fn get(port: u16, path: &str) -> Result<Answer, HttpError> {
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let request = Request::get(path).header("host", to.to_string());
    send(dial(to, None).await?, request.body(Empty::new())?).await
}

/// Posts to a path of a server on this computer.
///
/// # Errors
///
/// When there is no answer.
pub async fn post(port: u16, path: &str) -> Result<Answer, HttpError> {
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let request = Request::post(path).header("host", to.to_string());
    send(dial(to, None).await?, request.body(Empty::new())?).await
}

/// Sends a request over a connection and reads the answer.
pub(super) async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Answer, HttpError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MOST).collect().await;
        let body = body.map_err(|_| HttpError::Body)?.to_bytes();
        Ok::<_, HttpError>(Answer { status, body })
    };
    tokio::pin!(exchange);
    tokio::pin!(connection);
    let mut is_open = true;
    loop {
        tokio::select! {
            answer = &mut exchange => return answer,
            // What went wrong with it, the exchange says as well.
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}

/// Speaks TLS with whoever it is: a probe asks whether somebody answers, not who.
pub(super) async fn unverified(
    stream: TcpStream,
    host: &str,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, HttpError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| HttpError::Tls(std::io::Error::other(error)))?;
    let connector = TlsConnector::from(Arc::new(config));
    connector
        .connect(name, stream)
        .await
        .map_err(HttpError::Tls)
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
