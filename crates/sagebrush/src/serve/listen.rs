//! Accepting connections, with bounds on how many requests are worked on and how long a client may
//! take to send its headers, and a drain at the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use sagebrush_auth::Peer;
use sagebrush_types::limits::{DRAIN, REQUESTS_IN_FLIGHT};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::front::Front;
use super::secure::Secure;

/// Time a client has to send a request's headers.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait after a failed accept: the usual cause is that all file descriptors are taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What one connection needs to be answered.
pub struct Door {
    front: Arc<Front>,
    places: Arc<Semaphore>,
    watcher: Watcher,
}

impl Door {
    /// Answers the requests of a connection, in whatever it is wrapped; `secure` says that it is TLS.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
        self,
        stream: S,
        peer: SocketAddr,
        secure: bool,
    ) {
        let Self { front, places, watcher } = self;
        let peer = Peer { address: peer.ip().to_canonical(), secure };
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer);
            let (front, places) = (Arc::clone(&front), Arc::clone(&places));
            async move {
                let _place = places.acquire().await;
                Ok::<_, Infallible>(front.handle(request.map(Body::new)).await)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// Serves until `ended` completes, then drains for at most [`DRAIN`]. Without `secure` every connection
/// is plain HTTP.
pub async fn serve(
    listener: TcpListener,
    front: Arc<Front>,
    secure: Option<Arc<Secure>>,
    ended: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(REQUESTS_IN_FLIGHT));
    let graceful = GracefulShutdown::new();
    let mut ended = pin!(ended);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = &mut ended => break,
        };
        // Small answers must not wait for the client's acknowledgement.
        let _ = stream.set_nodelay(true);
        let door =
            Door { front: Arc::clone(&front), places: Arc::clone(&places), watcher: graceful.watcher() };
        match secure.clone() {
            None => tokio::spawn(door.serve(stream, peer, false)),
            Some(secure) => tokio::spawn(async move { secure.serve(stream, peer, door).await }),
        };
    }
    drop(listener);
    tracing::info!("draining");
    if let Some(secure) = secure {
        secure.ended.cancel();
    }
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still open after {DRAIN:?}");
    }
}
