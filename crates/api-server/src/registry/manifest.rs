//! Manifests: by tag and by digest.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use sagebrush_registry::limits::MANIFEST_BYTES;
use sagebrush_registry::{Error, Reference, Result};

use super::{Asked, DIGEST_HEADER, empty, put_header};
use crate::body::{self, BodyFailure};
use crate::unread::Watched;

/// `GET` and `HEAD`.
pub(super) async fn get(asked: &Asked<'_>, name: &str, reference: &str) -> Result<Response> {
    let reference = Reference::parse(reference)?;
    let stored = asked.registry().manifest(asked.repository(name), &reference).await?;
    let length = stored.bytes.len();
    let head = asked.method == Method::HEAD;
    let mut response = Response::new(if head { Body::empty() } else { Body::from(stored.bytes) });
    put_header(&mut response, CONTENT_TYPE, &stored.media_type);
    put_header(&mut response, DIGEST_HEADER, stored.digest.as_str());
    put_header(&mut response, ETAG, &format!("\"{}\"", stored.digest));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// `PUT`: the image is there when everything it needs is.
pub(super) async fn put(asked: &Asked<'_>, name: &str, reference: &str, body: Watched) -> Result<Response> {
    let reference = Reference::parse(reference)?;
    let bytes = body::read(Body::new(body), MANIFEST_BYTES).await.map_err(|failure| match failure {
        BodyFailure::TooLarge(limit) => Error::TooLarge(limit as u64),
        _ => Error::ManifestInvalid("its body ended early".to_owned()),
    })?;
    let content_type = asked.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let (stored, _) =
        asked.registry().put_image(asked.repository(name), &reference, content_type, bytes).await?;
    let mut response = empty(StatusCode::CREATED);
    put_header(&mut response, LOCATION, &format!("/v2/{name}/manifests/{}", stored.digest));
    put_header(&mut response, DIGEST_HEADER, stored.digest.as_str());
    Ok(response)
}

/// `DELETE`: an image with its tags, or a tag and with the last one its image, as ECR does.
pub(super) async fn delete(asked: &Asked<'_>, name: &str, reference: &str) -> Result<Response> {
    let reference = Reference::parse(reference)?;
    asked.registry().delete_image(asked.repository(name), &reference).await?;
    asked.registry().collect().await?;
    Ok(empty(StatusCode::ACCEPTED))
}
