//! Lines of a child's output, with a bound on the length of each.

use sagebrush_types::limits::LOG_LINE_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc::Sender;

/// Bytes read at once.
const CHUNK: usize = 16 << 10;

/// Sends every line of `source` until it ends or nobody listens. A line longer than the bound is
/// sent in pieces. Carriage returns end a line too: progress bars use them.
pub async fn forward(mut source: impl AsyncRead + Unpin, lines: Sender<String>) {
    let mut pending: Vec<u8> = Vec::new();
    let mut chunk = vec![0u8; CHUNK];
    loop {
        let read = match source.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        for &byte in &chunk[..read] {
            if byte == b'\n' || byte == b'\r' {
                if !send(&lines, &mut pending).await {
                    return;
                }
            } else {
                pending.push(byte);
                if pending.len() >= LOG_LINE_BYTES && !send(&lines, &mut pending).await {
                    return;
                }
            }
        }
    }
    send(&lines, &mut pending).await;
}

async fn send(lines: &Sender<String>, pending: &mut Vec<u8>) -> bool {
    if pending.is_empty() {
        return true;
    }
    let line = String::from_utf8_lossy(pending).into_owned();
    pending.clear();
    lines.send(line).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(source: &[u8]) -> Vec<String> {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
        forward(source, sender).await;
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(line);
        }
        lines
    }

    #[tokio::test]
    async fn every_end_of_line_counts_and_the_last_needs_none() {
        assert_eq!(lines(b"a\r\nb\rc\n\nlast").await, ["a", "b", "c", "last"]);
    }

    #[tokio::test]
    async fn endless_lines_come_in_pieces() {
        let found = lines(&vec![b'x'; LOG_LINE_BYTES + 10]).await;
        assert_eq!(found.iter().map(String::len).collect::<Vec<_>>(), [LOG_LINE_BYTES, 10]);
    }
}
