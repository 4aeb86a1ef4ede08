//! One step of a request's way: from a body that comes to a container, and from its answer to the next
//! body. Bodies flow; a length that is known goes with them, because many servers take no chunks.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use sagebrush_types::RELAY_CONTAINER;
use sagebrush_types::limits::RELAY_HELD_BYTES;

use super::models::InUse;

const CUSTOM_ATTRIBUTES: HeaderName = HeaderName::from_static("x-amzn-sagemaker-custom-attributes");
const TARGET_MODEL: HeaderName = HeaderName::from_static("x-amzn-sagemaker-target-model");
const TARGET_CONTAINER: HeaderName = HeaderName::from_static("x-amzn-sagemaker-target-container-hostname");
/// Headers of a request that every container gets.
const PASSED: [HeaderName; 4] = [
    CUSTOM_ATTRIBUTES,
    TARGET_MODEL,
    HeaderName::from_static("x-amzn-sagemaker-target-variant"),
    HeaderName::from_static("x-amzn-sagemaker-inference-id"),
];

/// What of a request's head goes to the containers.
#[derive(Debug)]
pub struct Passed {
    headers: HeaderMap,
    accept: Option<HeaderValue>,
    container: Option<String>,
}

impl Passed {
    /// What a request has.
    pub fn of(headers: &HeaderMap) -> Self {
        let kept =
            PASSED.into_iter().filter_map(|name| headers.get(&name).cloned().map(|value| (name, value)));
        let container = headers.get(TARGET_CONTAINER).and_then(|value| value.to_str().ok());
        Self {
            headers: kept.collect(),
            accept: headers.get(ACCEPT).cloned(),
            container: container.map(str::to_owned),
        }
    }

    /// The container it names.
    pub fn container(&self) -> Option<&str> {
        self.container.as_deref()
    }

    /// The model it names.
    pub fn model(&self) -> Option<&str> {
        self.headers.get(TARGET_MODEL).and_then(|value| value.to_str().ok())
    }

    /// The headers for a container. Only the last one's answer is the caller's, so only it is told what
    /// the caller accepts.
    pub fn headers(&self, is_last: bool) -> HeaderMap {
        let mut headers = self.headers.clone();
        if let Some(accept) = self.accept.as_ref().filter(|_| is_last) {
            headers.insert(ACCEPT, accept.clone());
        }
        headers
    }
}

/// A body on its way to a container.
pub struct Message {
    content_type: Option<HeaderValue>,
    length: Option<u64>,
    body: reqwest::Body,
}

impl Message {
    /// The body of a request.
    pub fn of_request(headers: &HeaderMap, body: Body) -> Self {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        Self {
            content_type: headers.get(CONTENT_TYPE).cloned(),
            length,
            body: reqwest::Body::wrap_stream(body.into_data_stream()),
        }
    }

    /// The body of an answer. One of no stated length is held until it ends or is [`RELAY_HELD_BYTES`] long.
    ///
    /// # Errors
    /// When the connection breaks meanwhile.
    pub async fn of_answer(
        mut answer: reqwest::Response,
        in_use: Option<InUse>,
    ) -> Result<Self, reqwest::Error> {
        let content_type = answer.headers().get(CONTENT_TYPE).cloned();
        if let Some(length) = answer.content_length() {
            let body = reqwest::Body::wrap_stream(held(answer.bytes_stream(), in_use));
            return Ok(Self { content_type, length: Some(length), body });
        }
        let mut begun = BytesMut::new();
        while begun.len() <= RELAY_HELD_BYTES {
            match answer.chunk().await? {
                Some(chunk) => begun.extend_from_slice(&chunk),
                None => return Ok(Self { content_type, length: None, body: begun.freeze().into() }),
            }
        }
        let begun = stream::iter([Ok(begun.freeze())]);
        let body = reqwest::Body::wrap_stream(held(begun.chain(answer.bytes_stream()), in_use));
        Ok(Self { content_type, length: None, body })
    }
}

/// The model stays in use until the last byte has gone.
fn held<E>(
    bytes: impl Stream<Item = Result<Bytes, E>>,
    in_use: Option<InUse>,
) -> impl Stream<Item = Result<Bytes, E>> {
    bytes.map(move |piece| {
        let _held = &in_use;
        piece
    })
}

/// The relay's answer: a container's, with its name when it is an error.
pub fn answered(container: &str, answer: reqwest::Response, in_use: Option<InUse>) -> Response {
    let status = answer.status();
    let mut headers = HeaderMap::new();
    for name in [CONTENT_TYPE, CUSTOM_ATTRIBUTES, CONTENT_LENGTH] {
        if let Some(value) = answer.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    if !status.is_success()
        && let Ok(name) = HeaderValue::from_str(container)
    {
        headers.insert(RELAY_CONTAINER, name);
    }
    let mut response = Response::new(Body::from_stream(held(answer.bytes_stream(), in_use)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Sends requests over kept connections. A caller that goes away takes its request with it, so there are no
/// time limits of the relay's own.
#[derive(Debug, Clone)]
pub struct Sender {
    client: reqwest::Client,
}

impl Sender {
    /// A sender without connections.
    pub fn new() -> Self {
        // Without TLS and proxies nothing here can fail; the default client behaves the same.
        Self { client: reqwest::Client::builder().no_proxy().build().unwrap_or_default() }
    }

    /// `GET /{path}`.
    pub async fn get(&self, server: SocketAddr, path: &str) -> Result<reqwest::Response, reqwest::Error> {
        self.client.get(format!("http://{server}/{path}")).send().await
    }

    /// `DELETE /{path}`.
    pub async fn delete(&self, server: SocketAddr, path: &str) -> Result<reqwest::Response, reqwest::Error> {
        self.client.delete(format!("http://{server}/{path}")).send().await
    }

    /// `POST /{path}` with a body and these headers beside it.
    pub async fn post(
        &self,
        server: SocketAddr,
        path: &str,
        mut headers: HeaderMap,
        message: Message,
    ) -> Result<reqwest::Response, reqwest::Error> {
        if let Some(kind) = message.content_type {
            headers.insert(CONTENT_TYPE, kind);
        }
        if let Some(length) = message.length {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        let url = format!("http://{server}/{path}");
        self.client.post(url).headers(headers).body(message.body).send().await
    }

    /// `POST /{path}` with a JSON document.
    pub async fn post_json(
        &self,
        server: SocketAddr,
        path: &str,
        document: &serde_json::Value,
    ) -> Result<reqwest::Response, reqwest::Error> {
        self.client.post(format!("http://{server}/{path}")).json(document).send().await
    }
}
