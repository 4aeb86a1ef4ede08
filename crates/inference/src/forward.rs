//! The request to the model server and its answer, with AWS's reading of errors.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sagebrush_types::limits::{INVOKE_BODY_BYTES, INVOKE_STREAM_TIMEOUT, INVOKE_TIMEOUT};
use sagebrush_types::{Backend, CapturedBody, RELAY_CONTAINER, RELAY_REFUSAL};
use sagebrush_wire::ErrorShape;
use serde_json::json;

use crate::request::{Asked, Manner};

/// What a caller and a model server say to each other beside the bodies.
pub const CUSTOM_ATTRIBUTES: HeaderName = HeaderName::from_static("x-amzn-sagemaker-custom-attributes");
const PRODUCTION_VARIANT: &str = "x-amzn-invoked-production-variant";
/// Characters of a model server's error that are repeated.
const ERROR_CHARS: usize = 1024;

/// Talks to model servers over kept connections.
#[derive(Debug)]
pub struct Forwarder {
    client: reqwest::Client,
}

/// A request that a model server has begun to answer.
pub struct Sent {
    /// The answer, whose body is still to be read.
    pub answer: reqwest::Response,
    /// When the request was sent.
    pub at: Instant,
}

/// A model server's whole answer.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Time from the request to the end of the answer.
    pub took: Duration,
}

/// Why a model server gave no answer to pass on.
#[derive(Debug)]
pub enum ForwardFailure {
    /// It could not be reached; nothing was sent.
    NotReached,
    /// The connection broke, or it took too long.
    Broken(reqwest::Error),
    /// It did not begin to answer in time.
    TooLate,
    /// Its answer is too large.
    TooLarge(StatusCode),
}

impl Forwarder {
    /// A forwarder without connections.
    pub fn new() -> Self {
        // Without TLS and proxies nothing here can fail; the default client behaves the same.
        Self { client: reqwest::Client::builder().no_proxy().build().unwrap_or_default() }
    }

    /// Sends a request and waits for the beginning of its answer.
    pub async fn send(&self, server: SocketAddr, asked: &Asked, body: Bytes) -> Result<Sent, ForwardFailure> {
        let at = Instant::now();
        let whole = match asked.manner {
            Manner::Whole => INVOKE_TIMEOUT,
            Manner::Stream => INVOKE_STREAM_TIMEOUT,
        };
        let request = self
            .client
            .post(format!("http://{server}/invocations"))
            .headers(asked.passed.clone())
            .body(body)
            .timeout(whole);
        match tokio::time::timeout(INVOKE_TIMEOUT, request.send()).await {
            Ok(Ok(answer)) => Ok(Sent { answer, at }),
            // A connection that was not made has carried nothing.
            Ok(Err(error)) if error.is_connect() => Err(ForwardFailure::NotReached),
            Ok(Err(error)) => Err(ForwardFailure::Broken(error)),
            Err(_) => Err(ForwardFailure::TooLate),
        }
    }
}

/// Reads the whole answer.
pub async fn read(sent: Sent) -> Result<Answer, ForwardFailure> {
    let Sent { mut answer, at } = sent;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(ForwardFailure::Broken)? {
        if body.len() + chunk.len() > INVOKE_BODY_BYTES {
            return Err(ForwardFailure::TooLarge(status));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body: body.freeze(), took: at.elapsed() })
}

impl Answer {
    /// What is kept of it when it is captured.
    pub fn captured(&self) -> CapturedBody {
        CapturedBody { content_type: content_type(&self.headers), data: self.body.clone() }
    }
}

/// A body's content type; empty when there is none.
pub fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// The answer to InvokeEndpoint.
pub fn response(variant: &str, answer: &Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body.clone()));
    pass_back(&answer.headers, http::header::CONTENT_TYPE, http::header::CONTENT_TYPE, &mut response);
    mark(variant, &answer.headers, &mut response);
    response
}

/// The headers that any good answer has.
pub fn mark(variant: &str, headers: &HeaderMap, response: &mut Response) {
    pass_back(headers, CUSTOM_ATTRIBUTES, CUSTOM_ATTRIBUTES, response);
    if let Ok(value) = HeaderValue::from_str(variant) {
        response.headers_mut().insert(PRODUCTION_VARIANT, value);
    }
}

/// Passes a model server's header back under a name.
pub fn pass_back(headers: &HeaderMap, from: HeaderName, to: HeaderName, response: &mut Response) {
    if let Some(value) = headers.get(from) {
        response.headers_mut().insert(to, value.clone());
    }
}

impl ForwardFailure {
    /// What the caller is told, and the status that counts as the model server's.
    pub fn told(self, endpoint: &str, variant: &str) -> (ErrorShape, u16) {
        let late = match &self {
            Self::Broken(error) => error.is_timeout(),
            Self::TooLate => true,
            Self::NotReached | Self::TooLarge(_) => false,
        };
        tracing::warn!(endpoint, variant, failure = ?self, "invocation failed");
        let error = match self {
            Self::TooLarge(status) => {
                let text = format!("The answer is larger than {INVOKE_BODY_BYTES} bytes.");
                model_error_of(variant, status, &text)
            }
            _ if late => model_error_shape(
                format!(
                    "Received server error (0) from {variant} with message \"Your invocation timed out while waiting \
                     for a response from container {variant}. Review the latency metrics for each container in \
                     CloudWatch, resolve the issue, and try again.\""
                ),
                0,
                String::new(),
            ),
            Self::NotReached => crate::refuse::unavailable(variant),
            _ => ErrorShape::new(
                "ServiceUnavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                format!("The model server of the variant '{variant}' closed the connection. Try again."),
            ),
        };
        (error, StatusCode::SERVICE_UNAVAILABLE.as_u16())
    }
}

/// AWS's ModelError, 424, with the model server's own status and words. A relay says which of its containers
/// answered, or that it refuses the request itself and with which code.
pub fn model_error(variant: &str, backend: &Backend, answer: &Answer) -> ErrorShape {
    let text: String = String::from_utf8_lossy(&answer.body).chars().take(ERROR_CHARS).collect();
    // What stands in these headers counts only where a relay has written them.
    let told = |name: &str| {
        let value = answer.headers.get(name).filter(|_| *backend != Backend::Model);
        value.and_then(|value| value.to_str().ok())
    };
    match told(RELAY_REFUSAL) {
        Some(code) => ErrorShape::new(code, answer.status, text),
        None => model_error_of(told(RELAY_CONTAINER).unwrap_or(variant), answer.status, &text),
    }
}

fn model_error_of(variant: &str, status: StatusCode, text: &str) -> ErrorShape {
    let side = if status.is_client_error() { "client" } else { "server" };
    let message =
        format!("Received {side} error ({}) from {variant} with message \"{text}\".", status.as_u16());
    model_error_shape(message, status.as_u16(), text.to_owned())
}

fn model_error_shape(message: String, status: u16, text: String) -> ErrorShape {
    let mut error = ErrorShape::new("ModelError", StatusCode::FAILED_DEPENDENCY, message);
    error.members.push(("OriginalStatusCode".into(), json!(status)));
    error.members.push(("OriginalMessage".into(), json!(text)));
    error
}
