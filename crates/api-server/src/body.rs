//! Request bodies with a bound, and what compressed ones hold.

use std::io::Read as _;

use axum::body::Body;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::HeaderValue;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sagebrush_types::limits::BODY_TIME;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFailure {
    /// It is larger than this bound, bytes.
    TooLarge(usize),
    /// The connection broke.
    Broken,
    /// It took too long.
    Slow,
    /// It is compressed in a way that is not read here.
    Encoding,
    /// It is not what its Content-Encoding says.
    NotGzip,
}

/// The whole body, at most `limit` bytes.
pub async fn read(body: Body, limit: usize) -> Result<Bytes, BodyFailure> {
    match tokio::time::timeout(BODY_TIME, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyFailure::TooLarge(limit)),
        Ok(Err(_)) => Err(BodyFailure::Broken),
        Err(_) => Err(BodyFailure::Slow),
    }
}

/// What a body holds after its Content-Encoding, at most `limit` bytes. Clients compress large
/// PutMetricData requests; the signature covers the compressed bytes.
pub fn plain(body: Bytes, encoding: Option<&HeaderValue>, limit: usize) -> Result<Bytes, BodyFailure> {
    match encoding.map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(body),
        Some(b"gzip") => {
            let mut plain = Vec::new();
            // One byte more than allowed tells a body that is too large from one that just fits.
            let mut reader = MultiGzDecoder::new(body.as_ref()).take(limit as u64 + 1);
            reader.read_to_end(&mut plain).map_err(|_| BodyFailure::NotGzip)?;
            if plain.len() > limit { Err(BodyFailure::TooLarge(limit)) } else { Ok(plain.into()) }
        }
        Some(_) => Err(BodyFailure::Encoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::read::GzEncoder;

    #[test]
    fn compressed_bodies_are_read_within_their_bound() {
        let packed = |bytes: &[u8]| {
            let mut packed = Vec::new();
            GzEncoder::new(bytes, Compression::best()).read_to_end(&mut packed).map(|_| Bytes::from(packed))
        };
        let gzip = HeaderValue::from_static("gzip");
        let bomb = packed(&vec![0; 1 << 20]).unwrap_or_default();
        assert!(bomb.len() < 2048);
        assert_eq!(plain(bomb.clone(), Some(&gzip), 1 << 20).map(|body| body.len()), Ok(1 << 20));
        assert_eq!(plain(bomb, Some(&gzip), (1 << 20) - 1), Err(BodyFailure::TooLarge((1 << 20) - 1)));
        assert_eq!(plain(Bytes::from_static(b"{}"), Some(&gzip), 10), Err(BodyFailure::NotGzip));
        let strange = HeaderValue::from_static("br");
        assert_eq!(plain(Bytes::new(), Some(&strange), 10), Err(BodyFailure::Encoding));
        assert_eq!(plain(Bytes::from_static(b"{}"), None, 10), Ok(Bytes::from_static(b"{}")));
    }
}
