//! Layers and configurations: are they there, their bytes, their removal.

use axum::body::Body;
use axum::response::Response;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use sagebrush_registry::{Digest, Result};

use super::{Asked, DIGEST_HEADER, empty, put_header};

/// `GET` and `HEAD`: one range of bytes, or all.
pub(super) async fn get(asked: &Asked<'_>, name: &str, digest: &str) -> Result<Response> {
    let digest = Digest::parse(digest)?;
    let repository = asked.repository(name);
    if asked.method == Method::HEAD {
        let size = asked.registry().blob_size(repository, &digest).await?;
        return Ok(described(empty(StatusCode::OK), &digest, size));
    }
    let blob = asked.registry().open_blob(repository, &digest).await?;
    let size = blob.size();
    let range = match range(&asked.headers, size) {
        None => 0..size,
        Some(Ok(range)) => range,
        Some(Err(())) => {
            let mut response = empty(StatusCode::RANGE_NOT_SATISFIABLE);
            put_header(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
            return Ok(response);
        }
    };
    let (start, end) = (range.start, range.end);
    let stream = blob.stream(range).await?;
    let mut response = described(Response::new(Body::from_stream(stream)), &digest, end - start);
    if end - start < size {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        put_header(&mut response, CONTENT_RANGE, &format!("bytes {start}-{}/{size}", end.saturating_sub(1)));
    }
    Ok(response)
}

/// `DELETE`.
pub(super) async fn delete(asked: &Asked<'_>, name: &str, digest: &str) -> Result<Response> {
    asked.registry().delete_blob(asked.repository(name), &Digest::parse(digest)?).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

fn described(mut response: Response, digest: &Digest, length: u64) -> Response {
    put_header(&mut response, DIGEST_HEADER, digest.as_str());
    put_header(&mut response, ETAG, &format!("\"{digest}\""));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

/// The bytes that a Range header asks for; `None` without one, or with one that is not understood, which
/// means all.
fn range(headers: &HeaderMap, size: u64) -> Option<std::result::Result<std::ops::Range<u64>, ()>> {
    let text = headers.get(RANGE)?.to_str().ok()?;
    let range = s3s::dto::Range::parse(text).ok()?;
    Some(range.check(size).map_err(|_| ()))
}
