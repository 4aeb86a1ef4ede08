//! The framing of `aws-chunked` bodies, bounded before s3s reads it.
//!
//! s3s holds a chunk in memory until its last byte has come, and a client may send 5 GiB as one
//! chunk. Chunks without signatures may be cut anywhere, so they are cut as they arrive. A signed
//! chunk must stay whole and is refused above [`SIGNED_CHUNK_BYTES`].
//!
//! Source: Amazon S3 API Reference, "Signature calculations for the authorization header:
//! transferring payload in multiple chunks": `<hex size>[;chunk-signature=...]\r\n<data>\r\n`, ending
//! with a chunk of size 0 and, when announced, trailing headers.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame};

/// The largest signed chunk; SDKs send 64 KiB to 1 MiB.
const SIGNED_CHUNK_BYTES: u64 = 8 << 20;

/// The line in front of a chunk: a size and a signature of 64 digits.
const LINE_BYTES: usize = 256;

/// What the error about a chunk above its ceiling begins with.
pub(super) const TOO_LARGE: &str = "a signed chunk of the body has more than";

/// A body whose chunks are bounded.
pub(super) struct Bounded<B> {
    body: B,
    signed: bool,
    state: State,
    /// Framed bytes that s3s has not taken yet.
    ready: VecDeque<Bytes>,
}

#[derive(Debug)]
enum State {
    /// In the line in front of a chunk.
    Line(Vec<u8>),
    /// In a chunk that has this many bytes left.
    Data(u64),
    /// In the two bytes after a chunk.
    End(u8),
    /// After the last chunk: nothing is looked at any more.
    Rest,
}

/// Whether the chunks of a body are signed; `None` when it does not come in chunks.
pub(super) fn signed_chunks(headers: &HeaderMap) -> Option<bool> {
    let hash = headers.get("x-amz-content-sha256")?.to_str().ok()?;
    hash.strip_prefix("STREAMING-").map(|kind| !kind.starts_with("UNSIGNED-"))
}

impl<B> Bounded<B> {
    pub fn new(body: B, signed: bool) -> Self {
        Self { body, signed, state: State::Line(Vec::new()), ready: VecDeque::new() }
    }

    /// Frames bytes as they came in.
    fn take(&mut self, mut bytes: Bytes) -> io::Result<()> {
        while bytes.has_remaining() {
            match &mut self.state {
                State::Rest => self.ready.push_back(std::mem::take(&mut bytes)),
                State::End(left) => {
                    let cut = bytes.len().min(usize::from(*left));
                    // Unsigned data carries its own end already.
                    let end = bytes.split_to(cut);
                    if end.iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
                        return Err(malformed());
                    }
                    *left -= cut as u8;
                    if *left == 0 {
                        self.state = State::Line(Vec::new());
                    }
                    if self.signed {
                        self.ready.push_back(end);
                    }
                }
                State::Data(left) => {
                    let cut = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= cut as u64;
                    if *left == 0 {
                        self.state = State::End(2);
                    }
                    let data = bytes.split_to(cut);
                    if self.signed {
                        self.ready.push_back(data);
                    } else {
                        self.ready.push_back(format!("{:x}\r\n", data.len()).into());
                        self.ready.push_back(data);
                        self.ready.push_back(Bytes::from_static(b"\r\n"));
                    }
                }
                State::Line(line) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let cut = end.map_or(bytes.len(), |end| end + 1);
                    if line.len() + cut > LINE_BYTES {
                        return Err(malformed());
                    }
                    line.extend_from_slice(&bytes.split_to(cut));
                    if end.is_some() {
                        let line = std::mem::take(line);
                        self.begin_chunk(line)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn begin_chunk(&mut self, line: Vec<u8>) -> io::Result<()> {
        let text = std::str::from_utf8(&line).map_err(|_| malformed())?;
        let digits = text.trim_end().split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(digits, 16).map_err(|_| malformed())?;
        if self.signed && size > SIGNED_CHUNK_BYTES {
            let message = format!("{TOO_LARGE} {SIGNED_CHUNK_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        if size == 0 {
            self.state = State::Rest;
        } else {
            self.state = State::Data(size);
        }
        if self.signed || size == 0 {
            self.ready.push_back(line.into());
        }
        Ok(())
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "FormatError of an aws-chunked body")
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes> + Unpin,
    s3s::StdError: From<B::Error>,
{
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, s3s::StdError>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => {
                    // Trailers of HTTP itself are not those of aws-chunked.
                    let Ok(bytes) = frame.into_data() else { continue };
                    if let Err(error) = self.take(bytes) {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};

    async fn through(wire: &[u8], pieces: usize, signed: bool) -> Result<Vec<Bytes>, String> {
        let chunks: Vec<_> = wire
            .chunks(pieces)
            .map(|piece| Ok::<_, io::Error>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let body = StreamBody::new(futures::stream::iter(chunks));
        let mut bounded = Bounded::new(body, signed);
        let mut out = Vec::new();
        while let Some(frame) = bounded.frame().await {
            out.push(frame.map_err(|e| e.to_string())?.into_data().map_err(|_| "trailers")?);
        }
        Ok(out)
    }

    #[tokio::test]
    async fn unsigned_chunks_are_cut_as_they_arrive() {
        let wire = b"b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        for pieces in 1..wire.len() {
            let out = through(wire, pieces, false).await.expect("well-formed").concat();
            assert!(out.ends_with(b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"));
            let mut data = Vec::new();
            let mut rest = &out[..];
            loop {
                let line = rest.iter().position(|byte| *byte == b'\n').expect("a line");
                let digits = std::str::from_utf8(&rest[..line - 1]).expect("digits");
                let size = usize::from_str_radix(digits, 16).expect("a size");
                assert!(size <= pieces);
                if size == 0 {
                    break;
                }
                data.extend_from_slice(&rest[line + 1..line + 1 + size]);
                rest = &rest[line + 3 + size..];
            }
            assert_eq!(data, b"hello world");
        }
    }

    #[tokio::test]
    async fn signed_chunks_stay_as_they_are_up_to_their_ceiling() {
        let wire = b"5;chunk-signature=ab\r\nhello\r\n0;chunk-signature=cd\r\n\r\n";
        for pieces in [1, 7, 100] {
            assert_eq!(through(wire, pieces, true).await.expect("well-formed").concat(), wire);
        }
        let refused = through(b"800001;chunk-signature=ab\r\n", 100, true).await;
        assert!(refused.expect_err("too large").starts_with(TOO_LARGE));
    }

    #[tokio::test]
    async fn nonsense_is_refused() {
        for wire in [&b"zz\r\n"[..], b"3\r\nabcde\r\n", &[b'1'; 300]] {
            assert!(through(wire, 4, false).await.is_err());
        }
    }

    #[test]
    fn kinds_of_bodies() {
        let kind = |hash: &'static str| {
            let value = http::HeaderValue::from_static(hash);
            let name = http::HeaderName::from_static("x-amz-content-sha256");
            signed_chunks(&HeaderMap::from_iter([(name, value)]))
        };
        assert_eq!(kind("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), Some(false));
        assert_eq!(kind("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), Some(true));
        assert_eq!(kind("UNSIGNED-PAYLOAD"), None);
    }
}
