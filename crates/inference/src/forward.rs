//! The request to the model server and its answer, with AWS's reading of errors.

use std::net::SocketAddr;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sagebrush_types::limits::{INVOKE_BODY_BYTES, INVOKE_TIMEOUT};
use sagebrush_wire::ErrorShape;
use serde_json::json;

/// Headers of the request that the hosting contract passes on; all others are stripped.
const PASSED: [&str; 6] = [
    "content-type",
    "accept",
    "x-amzn-sagemaker-custom-attributes",
    "x-amzn-sagemaker-target-model",
    "x-amzn-sagemaker-target-variant",
    "x-amzn-sagemaker-inference-id",
];
const CUSTOM_ATTRIBUTES: &str = "x-amzn-sagemaker-custom-attributes";
/// Characters of a model server's error that are repeated.
const ERROR_CHARS: usize = 1024;

/// Talks to model servers over kept connections.
#[derive(Debug)]
pub struct Forwarder {
    client: reqwest::Client,
}

impl Forwarder {
    /// A forwarder without connections.
    pub fn new() -> Self {
        // Without TLS and proxies nothing here can fail; the default client behaves the same.
        let client =
            reqwest::Client::builder().no_proxy().timeout(INVOKE_TIMEOUT).build().unwrap_or_default();
        Self { client }
    }

    /// Forwards a request and reads the whole answer.
    pub async fn forward(
        &self,
        server: SocketAddr,
        variant: &str,
        endpoint: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, ForwardFailure> {
        let mut passed = HeaderMap::new();
        for name in PASSED {
            if let Some(value) = headers.get(name) {
                passed.insert(HeaderName::from_static(name), value.clone());
            }
        }
        let sent =
            self.client.post(format!("http://{server}/invocations")).headers(passed).body(body).send().await;
        let answer = sent.map_err(|error| {
            let shape = failed(endpoint, variant, &error);
            // A connection that was not made has carried nothing.
            if error.is_connect() { ForwardFailure::NotReached } else { shape.into() }
        })?;
        let status = answer.status();
        let answer_headers = answer.headers().clone();
        let body = read(answer).await.map_err(|error| match error {
            ReadFailure::Broken(error) => failed(endpoint, variant, &error),
            ReadFailure::TooLarge => {
                model_error(variant, status, &format!("The answer is larger than {INVOKE_BODY_BYTES} bytes."))
            }
        })?;
        if !status.is_success() {
            let text: String = String::from_utf8_lossy(&body).chars().take(ERROR_CHARS).collect();
            return Err(model_error(variant, status, &text).into());
        }
        let mut response = Response::new(Body::from(body));
        for name in ["content-type", CUSTOM_ATTRIBUTES] {
            if let Some(value) = answer_headers.get(name) {
                response.headers_mut().insert(HeaderName::from_static(name), value.clone());
            }
        }
        if let Ok(value) = HeaderValue::from_str(variant) {
            response.headers_mut().insert("x-amzn-invoked-production-variant", value);
        }
        Ok(response)
    }
}

/// Why a model server gave no answer to pass on.
#[derive(Debug)]
pub enum ForwardFailure {
    /// It could not be reached; nothing was sent.
    NotReached,
    /// What the caller is told.
    Answer(ErrorShape),
}

impl From<ErrorShape> for ForwardFailure {
    fn from(error: ErrorShape) -> Self {
        Self::Answer(error)
    }
}

enum ReadFailure {
    Broken(reqwest::Error),
    TooLarge,
}

async fn read(mut answer: reqwest::Response) -> Result<Bytes, ReadFailure> {
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(ReadFailure::Broken)? {
        if body.len() + chunk.len() > INVOKE_BODY_BYTES {
            return Err(ReadFailure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The model server could not be asked or did not answer in time.
fn failed(endpoint: &str, variant: &str, error: &reqwest::Error) -> ErrorShape {
    tracing::warn!(endpoint, variant, %error, "invocation failed");
    let message = if error.is_timeout() {
        format!(
            "Received server error (0) from {variant} with message \"Your invocation timed out while waiting for a \
             response from container {variant}. Review the latency metrics for each container in CloudWatch, resolve \
             the issue, and try again.\""
        )
    } else {
        format!("The model server of the variant '{variant}' closed the connection. Try again.")
    };
    if error.is_timeout() {
        return model_error_shape(message, 0, String::new());
    }
    ErrorShape::new("ServiceUnavailable", StatusCode::SERVICE_UNAVAILABLE, message)
}

/// AWS's ModelError, 424, with the model server's own status and words.
fn model_error(variant: &str, status: StatusCode, text: &str) -> ErrorShape {
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
