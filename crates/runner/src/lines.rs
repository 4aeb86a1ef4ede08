//! Lines of a program's output, with a bound on the length of each.

use std::collections::VecDeque;

use sagebrush_types::limits::LOG_LINE_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc::Sender;

/// Bytes read at once.
const CHUNK: usize = 16 << 10;

/// Takes bytes apart into lines. A line longer than the bound comes in pieces. Carriage returns end a
/// line too: progress bars use them.
#[derive(Debug, Default)]
pub struct Splitter {
    pending: Vec<u8>,
    lines: VecDeque<String>,
}

impl Splitter {
    /// More bytes have come.
    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                self.finish();
            } else {
                self.pending.push(byte);
                if self.pending.len() >= LOG_LINE_BYTES {
                    self.finish();
                }
            }
        }
    }

    /// What is there is a line, also without an end.
    pub fn finish(&mut self) {
        if !self.pending.is_empty() {
            self.lines.push_back(String::from_utf8_lossy(&self.pending).into_owned());
            self.pending.clear();
        }
    }

    /// The next whole line, if there is one.
    pub fn next_line(&mut self) -> Option<String> {
        self.lines.pop_front()
    }
}

/// Sends every line of `source` until it ends or nobody listens.
pub async fn forward(mut source: impl AsyncRead + Unpin, lines: Sender<String>) {
    let mut splitter = Splitter::default();
    let mut chunk = vec![0u8; CHUNK];
    loop {
        match source.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(read) => splitter.feed(&chunk[..read]),
        }
        if !send(&lines, &mut splitter).await {
            return;
        }
    }
    splitter.finish();
    send(&lines, &mut splitter).await;
}

async fn send(lines: &Sender<String>, splitter: &mut Splitter) -> bool {
    while let Some(line) = splitter.next_line() {
        if lines.send(line).await.is_err() {
            return false;
        }
    }
    true
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
