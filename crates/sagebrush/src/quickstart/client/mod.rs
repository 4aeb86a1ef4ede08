//! A small signed client of the public AWS API, enough for one workflow: JSON operations, S3, logs, invocations.
//!
//! Promises: every request is SigV4-signed with the key of the data folder and goes to the address the server wrote
//! down; every answer has a size limit; an AWS error keeps its code and message. Never reaches the server's parts in
//! any other way, and never retries: on one machine a failed call is news.

mod logs;
mod s3;

pub(super) use logs::LogTail;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sagebrush_auth::{AccessKey, Payload, sign_request};
use sagebrush_env::Clock;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// The longest answer kept in memory: a batch of scores or one Describe is far below it.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// The longest error body read; AWS errors are a few hundred bytes.
const ERROR_LIMIT: usize = 64 * 1024;
/// Patience with one answer: the limit of an invocation is 60 s on the server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// An operation that answered with an error, or did not answer.
#[derive(Debug)]
pub(crate) struct ApiError {
    /// The operation as AWS names it.
    pub operation: String,
    /// AWS's error code, or `Connection` where no answer arrived.
    pub code: String,
    /// The text for the user.
    pub message: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} answered {}: {}", self.operation, self.code, self.message)
    }
}

impl std::error::Error for ApiError {}

/// One request before it is signed.
struct Call<'a> {
    operation: &'a str,
    /// The service in the credential scope.
    service: &'a str,
    method: Method,
    /// Percent-encoded, beginning with `/`.
    path_and_query: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

/// The client. Cheap to clone; clones share connections.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    endpoint: String,
    region: String,
    key: AccessKey,
    clock: Clock,
}

impl Client {
    /// A client of the server at `endpoint` (`http://host:port`), signing for `region` with `key`.
    pub(crate) fn new(endpoint: &str, region: &str, key: AccessKey) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(ANSWER_TIMEOUT)
            .pool_max_idle_per_host(8)
            .build()
            .context("the HTTP client cannot be built")?;
        Ok(Self {
            http,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            region: region.to_owned(),
            key,
            clock: Clock::system(),
        })
    }

    /// One `SageMaker.<operation>` call.
    pub(crate) async fn sagemaker(&self, operation: &str, request: &Value) -> Result<Value, ApiError> {
        self.json("sagemaker", "SageMaker", operation, request).await
    }

    /// One AWS JSON 1.1 call.
    async fn json(
        &self,
        service: &str,
        target: &str,
        operation: &str,
        request: &Value,
    ) -> Result<Value, ApiError> {
        let reply = self
            .send(Call {
                operation,
                service,
                method: Method::POST,
                path_and_query: "/".to_owned(),
                headers: vec![
                    ("content-type", "application/x-amz-json-1.1".to_owned()),
                    ("x-amz-target", format!("{target}.{operation}")),
                ],
                body: Bytes::from(request.to_string()),
            })
            .await?;
        let body = read_whole(operation, reply, ANSWER_LIMIT).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body)
            .map_err(|error| connection(operation, format!("the answer is not JSON: {error}")))
    }

    /// `InvokeEndpoint`: sends `body` and returns the model's answer.
    pub(super) async fn invoke(
        &self,
        endpoint_name: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Bytes, ApiError> {
        let operation = "InvokeEndpoint";
        let reply = self
            .send(Call {
                operation,
                service: "sagemaker",
                method: Method::POST,
                path_and_query: format!("/endpoints/{endpoint_name}/invocations"),
                headers: vec![("content-type", content_type.to_owned()), ("accept", content_type.to_owned())],
                body,
            })
            .await?;
        read_whole(operation, reply, ANSWER_LIMIT).await
    }

    /// Signs and sends; an answer of 300 and above becomes an [`ApiError`].
    async fn send(&self, call: Call<'_>) -> Result<reqwest::Response, ApiError> {
        let operation = call.operation.to_owned();
        let request = self
            .signed(call)
            .map_err(|error| connection(&operation, format!("the request cannot be made: {error:#}")))?;
        let reply =
            self.http.execute(request).await.map_err(|error| connection(&operation, with_causes(&error)))?;
        if reply.status().is_success() {
            return Ok(reply);
        }
        let status = reply.status();
        let headers = reply.headers().clone();
        let body = read_whole(&operation, reply, ERROR_LIMIT).await?;
        let (code, message) = read_error(status, &headers, &body);
        Err(ApiError { operation, code, message })
    }

    fn signed(&self, call: Call<'_>) -> anyhow::Result<reqwest::Request> {
        let mut request = http::Request::builder()
            .method(call.method)
            .uri(format!("{}{}", self.endpoint, call.path_and_query))
            .body(())?;
        for (name, value) in call.headers {
            request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(&value)?);
        }
        let (mut parts, ()) = request.into_parts();
        sign_request(
            &mut parts,
            Payload::Bytes(&call.body),
            &self.key,
            &self.region,
            call.service,
            self.clock.now(),
        )?;
        Ok(reqwest::Request::try_from(http::Request::from_parts(parts, call.body))?)
    }
}

/// Reads a whole answer of at most `limit` bytes.
async fn read_whole(operation: &str, mut reply: reqwest::Response, limit: usize) -> Result<Bytes, ApiError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = reply.chunk().await.map_err(|error| connection(operation, with_causes(&error)))? {
        if body.len() + chunk.len() > limit {
            return Err(connection(operation, format!("the answer is longer than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn connection(operation: &str, message: String) -> ApiError {
    ApiError { operation: operation.to_owned(), code: "Connection".to_owned(), message }
}

/// The error and what lies under it, on one line: reqwest's own text hides the cause.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Code and message of an AWS error in any of the three shapes: AWS JSON, REST-JSON and S3's XML.
fn read_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(body);
    if let Ok(document) = serde_json::from_slice::<Value>(body) {
        let code = document
            .get("__type")
            .and_then(Value::as_str)
            .or_else(|| headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()))
            .unwrap_or(status.as_str());
        // Codes may carry a namespace before `#` and an address after `:`.
        let code = code.rsplit('#').next().unwrap_or(code);
        let code = code.split(':').next().unwrap_or(code);
        let message = ["message", "Message"]
            .iter()
            .find_map(|name| document.get(*name).and_then(Value::as_str))
            .unwrap_or("no message");
        return (code.to_owned(), message.to_owned());
    }
    let code = s3::element(&text, "Code").unwrap_or_else(|| status.as_str().to_owned());
    let message = s3::element(&text, "Message")
        .or_else(|| status.canonical_reason().map(str::to_owned))
        .unwrap_or_else(|| "no message".to_owned());
    (code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    use sagebrush_auth::{SecretKey, Signed, sha256_hex};

    fn client() -> Client {
        let key = AccessKey { id: "AKIAEXAMPLE".to_owned(), secret: SecretKey::new("secret".to_owned()) };
        Client::new("http://127.0.0.1:9400/", "eu-west-1", key).expect("a client")
    }

    #[test]
    fn what_goes_out_proves_its_signature() {
        let client = client();
        for (service, path_and_query) in [
            ("sagemaker", "/"),
            ("sagemaker", "/endpoints/goodbooks-endpoint-1/invocations"),
            ("s3", "/bucket/a%20b%2B%C3%BC%25//~x?partNumber=2&uploadId=x%2Fy%3D"),
            ("s3", "/bucket?encoding-type=url&list-type=2&prefix=a%2Fb%20c"),
            ("s3", "/bucket/key?uploads="),
        ] {
            let body = Bytes::from_static(b"body");
            let request = client
                .signed(Call {
                    operation: "Test",
                    service,
                    method: Method::POST,
                    path_and_query: path_and_query.to_owned(),
                    headers: vec![("content-type", "text/plain".to_owned())],
                    body: body.clone(),
                })
                .expect("signed");
            // As it leaves: after the HTTP client has parsed the address once more.
            assert_eq!(request.url().as_str(), format!("http://127.0.0.1:9400{path_and_query}"));
            let mut sent = http::Request::builder().method(Method::POST).uri(request.url().as_str());
            for (name, value) in request.headers() {
                sent = sent.header(name, value);
            }
            let (parts, ()) = sent.body(()).expect("a request").into_parts();
            let caller = Signed::parse(&parts.headers)
                .and_then(|signed| {
                    let now = client.clock.now();
                    let key = signed.find_key(&client.key)?;
                    signed.verify(&parts, &sha256_hex(&body), &key, now, Duration::from_secs(60))
                })
                .expect("proven");
            assert_eq!((caller.region.as_str(), caller.service.as_str()), ("eu-west-1", service));
        }
    }

    #[test]
    fn errors_are_read_in_all_three_shapes() {
        let none = HeaderMap::new();
        let json = br#"{"__type":"com.amazon#ResourceInUse","message":"the job exists"}"#;
        assert_eq!(
            read_error(StatusCode::BAD_REQUEST, &none, json),
            ("ResourceInUse".to_owned(), "the job exists".to_owned())
        );

        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-errortype", HeaderValue::from_static("ValidationError:http://x/"));
        assert_eq!(
            read_error(StatusCode::BAD_REQUEST, &headers, br#"{"Message":"no such endpoint"}"#),
            ("ValidationError".to_owned(), "no such endpoint".to_owned())
        );

        let xml = b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>a &lt;b&gt; &amp; c</Message></Error>";
        assert_eq!(
            read_error(StatusCode::NOT_FOUND, &none, xml),
            ("NoSuchKey".to_owned(), "a <b> & c".to_owned())
        );
        assert_eq!(read_error(StatusCode::FORBIDDEN, &none, b""), ("403".to_owned(), "Forbidden".to_owned()));
    }
}
