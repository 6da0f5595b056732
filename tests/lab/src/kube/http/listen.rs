//! The listener: TCP, then TLS, then HTTP/1.1.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::serve::{Reset, Shared};

/// Serves connections until it is dropped, which ends them all.
pub async fn listen(listener: std::net::TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, tls.clone(), Arc::clone(&shared)));
                }
                // Out of file descriptors, most likely: others may close theirs.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(stream) = stream.into_std() else {
        return;
    };
    // A second handle on the socket, to reset it with while the first is deep in TLS.
    let handle = stream.try_clone();
    let (Ok(stream), Ok(handle)) = (TcpStream::from_std(stream), handle) else {
        return;
    };
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    let service = service_fn(|request| Arc::clone(&shared).serve(request));
    let served = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served
        && std::error::Error::source(&error).is_some_and(|source| source.is::<Reset>())
    {
        // Closing with nothing to linger for sends a reset instead of an end.
        let _ = SockRef::from(&handle).set_linger(Some(Duration::ZERO));
    }
}
