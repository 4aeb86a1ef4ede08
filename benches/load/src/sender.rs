//! Signing and sending.

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use sagebrush_auth::{AccessKey, Payload, SecretKey, sign_request};
use sagebrush_env::Clock;

/// The server under load.
#[derive(clap::Args)]
pub struct Server {
    /// Its address, `http://host:port`.
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    url: String,
    /// The access key id.
    #[arg(long, env = "AWS_ACCESS_KEY_ID")]
    access_key_id: String,
    /// The secret access key.
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    secret_access_key: String,
    /// The region of the signatures.
    #[arg(long, default_value = "us-east-1")]
    region: String,
}

/// A body and how it enters the signature.
pub enum Body {
    /// In memory, signed.
    Bytes(Bytes),
    /// As it is made, with its length; not signed.
    Stream(u64, reqwest::Body),
}

/// One signed request at a time per call; clones share connections.
#[derive(Clone)]
pub struct Sender {
    http: reqwest::Client,
    url: String,
    region: String,
    key: AccessKey,
    clock: Clock,
}

impl Server {
    /// A sender for this server.
    pub fn connect(self) -> anyhow::Result<Sender> {
        Ok(Sender {
            http: reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?,
            url: self.url.trim_end_matches('/').to_owned(),
            region: self.region,
            key: AccessKey { id: self.access_key_id, secret: SecretKey::new(self.secret_access_key) },
            clock: Clock::system(),
        })
    }
}

impl Sender {
    /// Sends one request; an answer that is no success is an error with its text.
    pub async fn send(
        &self,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Body,
    ) -> anyhow::Result<reqwest::Response> {
        let uri = format!("{}{path}", self.url);
        let mut request = http::Request::builder().method(method).uri(uri).body(())?;
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        }
        let (mut parts, ()) = request.into_parts();
        let payload = match &body {
            Body::Bytes(bytes) => Payload::Bytes(bytes),
            Body::Stream(length, _) => {
                parts.headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(*length));
                Payload::Unsigned
            }
        };
        sign_request(&mut parts, payload, &self.key, &self.region, service, self.clock.now())?;
        let body: reqwest::Body = match body {
            Body::Bytes(bytes) => bytes.into(),
            Body::Stream(_, stream) => stream,
        };
        let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))?;
        let answer = self.http.execute(request).await.context("no answer")?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        bail!("{status}: {}", answer.text().await.unwrap_or_default())
    }

    /// One SageMaker operation; the answer is read and dropped.
    pub async fn sagemaker(&self, operation: &str, document: String) -> anyhow::Result<()> {
        let target = format!("SageMaker.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let body = Body::Bytes(document.into());
        self.send("sagemaker", Method::POST, "/", &headers, body).await?.bytes().await?;
        Ok(())
    }
}
