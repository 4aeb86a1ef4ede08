//! Accepting connections, with bounds on how many requests are worked on and how long a client may
//! take to send its headers, and a drain at the end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use sagebrush_types::limits::{DRAIN, REQUESTS_IN_FLIGHT};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::front::Front;

/// Time a client has to send a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait after a failed accept: the usual cause is that all file descriptors are taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `ended` completes, then drains for at most [`DRAIN`].
pub async fn serve(listener: TcpListener, front: Arc<Front>, ended: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(REQUESTS_IN_FLIGHT));
    let graceful = GracefulShutdown::new();
    let mut ended = pin!(ended);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
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
        let (front, places) = (Arc::clone(&front), Arc::clone(&places));
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
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
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    drop(listener);
    tracing::info!("draining");
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still open after {DRAIN:?}");
    }
}
