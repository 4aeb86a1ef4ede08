//! The health check of the hosting contract: `GET /ping` must answer 200 within two seconds.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Time one ping may take: the hosting contract's limit.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Does the model server at this address answer its health check?
pub async fn ping(address: SocketAddr) -> bool {
    tokio::time::timeout(TIMEOUT, status(address)).await.is_ok_and(|status| status == Some(200))
}

async fn status(address: SocketAddr) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET /ping HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    // "HTTP/1.1 200": the status line's beginning is all that is needed.
    let mut head = [0u8; 12];
    stream.read_exact(&mut head).await.ok()?;
    std::str::from_utf8(&head).ok()?.strip_prefix("HTTP/1.")?.get(2..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn only_200_counts() -> std::io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            for status in ["200 OK", "503 Service Unavailable"] {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let mut request = [0u8; 512];
                let _ = stream.read(&mut request).await;
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        assert!(ping(address).await);
        assert!(!ping(address).await);
        assert!(!ping(address).await, "nobody listens any more");
        Ok(())
    }
}
