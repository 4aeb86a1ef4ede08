//! Uploads of layers: in one request, in one piece, in many, or by having another repository's layer.

use std::io;

use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http::header::{CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use sagebrush_registry::{Digest, Error, Result};

use super::route::parameter;
use super::{Asked, DIGEST_HEADER, UPLOAD_HEADER, empty, put_header};
use crate::unread::Watched;

/// `POST`: begins an upload, does all of it when the digest is named, or mounts a layer.
pub(super) async fn begin(asked: &Asked<'_>, name: &str, body: Watched) -> Result<Response> {
    let repository = asked.repository(name);
    if let Some(digest) = parameter(&asked.query, "mount") {
        let digest = Digest::parse(&digest)?;
        let from = parameter(&asked.query, "from").unwrap_or_else(|| name.to_owned());
        // Who may not read there may still send the layer.
        let may = asked.may("GetDownloadUrlForLayer", Some(&from)).is_ok();
        if may && asked.registry().mount(repository, asked.repository(&from), &digest).await?.is_some() {
            return Ok(created(name, &digest));
        }
    }
    let announced = parameter(&asked.query, "digest").map(|digest| Digest::parse(&digest)).transpose()?;
    let id = asked.registry().begin_upload(repository).await?;
    let Some(announced) = announced else { return Ok(open(StatusCode::ACCEPTED, name, &id, 0)) };
    match asked.registry().finish_upload(repository, &id, None, chunks(body), &announced).await {
        Ok(_) => Ok(created(name, &announced)),
        Err(error) => {
            // Nobody knows its id.
            let _ = asked.registry().cancel_upload(repository, &id).await;
            Err(error)
        }
    }
}

/// `PATCH`: a piece.
pub(super) async fn append(asked: &Asked<'_>, name: &str, id: &str, body: Watched) -> Result<Response> {
    let start = start(&asked.headers)?;
    let received = asked.registry().append(asked.repository(name), id, start, chunks(body)).await?;
    Ok(open(StatusCode::ACCEPTED, name, id, received))
}

/// `GET`: how far it is.
pub(super) async fn status(asked: &Asked<'_>, name: &str, id: &str) -> Result<Response> {
    let received = asked.registry().upload_status(asked.repository(name), id).await?;
    Ok(open(StatusCode::NO_CONTENT, name, id, received))
}

/// `PUT`: the last piece, and the digest.
pub(super) async fn finish(asked: &Asked<'_>, name: &str, id: &str, body: Watched) -> Result<Response> {
    let digest = parameter(&asked.query, "digest").unwrap_or_default();
    let digest = Digest::parse(&digest)?;
    let start = start(&asked.headers)?;
    asked.registry().finish_upload(asked.repository(name), id, start, chunks(body), &digest).await?;
    Ok(created(name, &digest))
}

/// `DELETE`.
pub(super) async fn cancel(asked: &Asked<'_>, name: &str, id: &str) -> Result<Response> {
    asked.registry().cancel_upload(asked.repository(name), id).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// What has arrived, as the protocol says it: the last byte's place, and 0-0 for nothing.
pub(super) fn range(received: u64) -> String {
    format!("0-{}", received.saturating_sub(1))
}

fn open(status: StatusCode, name: &str, id: &str, received: u64) -> Response {
    let mut response = empty(status);
    put_header(&mut response, LOCATION, &format!("/v2/{name}/blobs/uploads/{id}"));
    put_header(&mut response, UPLOAD_HEADER, id);
    put_header(&mut response, RANGE, &range(received));
    response
}

fn created(name: &str, digest: &Digest) -> Response {
    let mut response = empty(StatusCode::CREATED);
    put_header(&mut response, LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    put_header(&mut response, DIGEST_HEADER, digest.as_str());
    response
}

/// The place of a piece's first byte: `<first>-<last>`, with or without HTTP's `bytes ` and `/<size>`.
fn start(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(value) = headers.get(CONTENT_RANGE) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim_start_matches("bytes").trim_start();
    let first = text.split_once('-').and_then(|(first, _)| first.parse().ok());
    // One that cannot be read cannot be the right one.
    first.map(Some).ok_or(Error::OutOfOrder { received: 0 })
}

fn chunks(body: Watched) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static {
    body.into_data_stream().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn pieces_say_where_they_begin() {
        let header = |text| HeaderMap::from_iter([(CONTENT_RANGE, HeaderValue::from_static(text))]);
        assert_eq!(start(&HeaderMap::new()).ok(), Some(None));
        for text in ["5-9", "bytes 5-9/10", "bytes 5-9/*"] {
            assert_eq!(start(&header(text)).ok(), Some(Some(5)), "{text}");
        }
        assert!(start(&header("-9")).is_err());
        assert!(start(&header("x")).is_err());
        assert_eq!((range(0), range(1), range(10)), ("0-0".into(), "0-0".into(), "0-9".into()));
    }
}
