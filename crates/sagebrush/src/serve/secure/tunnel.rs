//! Tunnels to hosts that are none of ours: bytes in both directions, unread.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use sagebrush_types::limits::{TUNNEL_CONNECT, TUNNEL_IDLE};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// A connection to a host, or why there is none.
pub async fn open(host: &str, port: u16) -> Result<TcpStream, String> {
    match tokio::time::timeout(TUNNEL_CONNECT, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => {
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {TUNNEL_CONNECT:?}")),
    }
}

/// Copies in both directions until both have ended, nothing has moved for [`TUNNEL_IDLE`], or the server
/// ends.
pub async fn run(here: TcpStream, there: TcpStream, ended: &CancellationToken) {
    let moved = Arc::new(AtomicU64::new(0));
    let mut here = Watched { stream: here, moved: Arc::clone(&moved) };
    let mut there = Watched { stream: there, moved: Arc::clone(&moved) };
    tokio::select! {
        // A broken connection is the client's affair.
        _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
        () = idle(&moved, TUNNEL_IDLE) => tracing::debug!("an idle tunnel was closed"),
        () = ended.cancelled() => {}
    }
}

/// Completes when the count has stood still for a whole period.
async fn idle(moved: &AtomicU64, period: Duration) {
    let mut before = moved.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(period).await;
        let now = moved.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

/// A stream that counts the reads that brought something.
struct Watched {
    stream: TcpStream,
    moved: Arc<AtomicU64>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() {
            self.moved.fetch_add(1, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stillness_ends_a_tunnel() {
        idle(&AtomicU64::new(0), Duration::from_millis(5)).await;
    }
}
