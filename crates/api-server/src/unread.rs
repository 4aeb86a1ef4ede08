//! Bodies that an answer left unread.
//!
//! A refusal often comes before the body has been read. A connection cannot be used again with
//! bytes of an old request in it, and closing it at once makes the kernel reset it, which may cost
//! the client the answer. So a short rest is read away, and for the others the client is told that
//! the connection closes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot;

/// Bytes that are read away. A client that has sent them does not wait for an answer first.
const REST_BYTES: usize = 1 << 20;

/// Time that reading them away may take.
const REST_TIME: Duration = Duration::from_secs(2);

/// A body that comes back when it is dropped before its end.
pub(crate) struct Watched {
    body: Option<Body>,
    back: Option<oneshot::Sender<Body>>,
}

/// Where the rest of a body comes back.
pub(crate) struct Rest(oneshot::Receiver<Body>);

/// Watches over a body.
pub(crate) fn watch(body: Body) -> (Watched, Rest) {
    let (back, rest) = oneshot::channel();
    (Watched { body: Some(body), back: Some(back) }, Rest(rest))
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take())
            && !http_body::Body::is_end_stream(&body)
        {
            // Nobody waits for it when the answer has been sent.
            let _ = back.send(body);
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Rest {
    /// Whether the connection may be used again: nothing was left, or it has been read away.
    pub async fn read_away(mut self, request: &HeaderMap) -> bool {
        // Without a body left, the watched one is gone or still being read; both are no rest.
        let Ok(mut body) = self.0.try_recv() else { return true };
        // A client that waits for leave to send has sent nothing, and must not be told to.
        if request.contains_key(EXPECT) {
            return false;
        }
        let read = async {
            let mut size = 0;
            while let Some(Ok(frame)) = body.frame().await {
                size += frame.data_ref().map_or(0, Bytes::len);
                if size > REST_BYTES {
                    return false;
                }
            }
            http_body::Body::is_end_stream(&body)
        };
        tokio::time::timeout(REST_TIME, read).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_short_rest_is_read_away() {
        let (watched, rest) = watch(Body::from("rest"));
        drop(watched);
        assert!(rest.read_away(&HeaderMap::new()).await);
    }

    #[tokio::test]
    async fn a_long_rest_and_a_waiting_client_close_the_connection() {
        let (watched, rest) = watch(Body::from(vec![0; REST_BYTES + 1]));
        drop(watched);
        assert!(!rest.read_away(&HeaderMap::new()).await);
        let (watched, rest) = watch(Body::from("rest"));
        drop(watched);
        let headers = HeaderMap::from_iter([(EXPECT, http::HeaderValue::from_static("100-continue"))]);
        assert!(!rest.read_away(&headers).await);
    }

    #[tokio::test]
    async fn a_body_that_was_read_leaves_no_rest() {
        let (mut watched, rest) = watch(Body::from("all"));
        while watched.frame().await.is_some() {}
        drop(watched);
        assert!(rest.read_away(&HeaderMap::new()).await);
    }
}
