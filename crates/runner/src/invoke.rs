//! Requests to a model server, as the hosting contract has them: `POST /invocations` and
//! `GET /execution-parameters`.
//!
//! Promises: an answer is read within the bound that the caller gives; a server that is silent is
//! given up after the caller's time. Never: retries, or knowledge of endpoints and jobs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use sagebrush_types::RELAY_CONTAINER;
use serde_json::Value;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

/// Time a server may take to state its execution parameters.
const PARAMETERS_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of the execution parameters: three members fit many times.
const PARAMETERS_BYTES: usize = 64 << 10;
/// Bytes of a failed answer that are kept, rounded up to a piece of the answer.
const ERROR_BYTES: usize = 64 << 10;
const CUSTOM_ATTRIBUTES: &str = "x-amzn-sagemaker-custom-attributes";

/// Sends requests to model servers over kept connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ModelClient {
    client: reqwest::Client,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Media type of the body.
    pub content_type: Option<String>,
    /// Media type that is asked for.
    pub accept: Option<String>,
    /// What the caller passes on to the model's code.
    pub custom_attributes: Option<String>,
    /// The body.
    pub payload: Payload,
    /// Time for the whole answer.
    pub timeout: Duration,
    /// The most bytes of the answer.
    pub limit: usize,
}

/// The body of a request.
#[derive(Debug, Clone)]
pub enum Payload {
    /// In memory.
    Bytes(Bytes),
    /// A file, which is streamed.
    File(PathBuf),
}

/// What a model server answered, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Media type of the body.
    pub content_type: Option<String>,
    /// The container that answered with an error, where there are several.
    pub container: Option<String>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Whether the model answered the request.
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// It took too long.
    #[error("the model server did not answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// The connection could not be made or broke.
    #[error("the connection to the model server broke: {0}")]
    Broken(String),
    /// The answer is larger than the caller takes.
    #[error("the model server's answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The file of the payload or of the answer.
    #[error("{0}")]
    File(String),
    /// A header that cannot be sent.
    #[error("'{0}' cannot be sent as the value of a header")]
    Header(String),
}

/// What a model server asks of batch transform. A member it does not state is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecutionParameters {
    /// Requests at a time.
    pub max_concurrent_transforms: Option<usize>,
    /// `MULTI_RECORD` or `SINGLE_RECORD`.
    pub batch_strategy: Option<String>,
    /// Largest payload, MB.
    pub max_payload_in_mb: Option<usize>,
}

impl Default for ModelClient {
    fn default() -> Self {
        Self::new()
    }
}

impl ModelClient {
    /// A client without connections.
    pub fn new() -> Self {
        // Without TLS and proxies nothing here can fail; the default client behaves the same.
        Self { client: reqwest::Client::builder().no_proxy().build().unwrap_or_default() }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// Every [`InvokeError`]. An answer with an error status is an answer.
    pub async fn invoke(&self, server: SocketAddr, invocation: &Invocation) -> Result<Answer, InvokeError> {
        let request = self.request(server, invocation).await?;
        read(request, invocation.limit).await.map_err(|error| error.of(invocation))
    }

    /// Sends a request and writes the answer to the file `output`, whose folder exists. An answer
    /// with an error status is no file: the beginning of its body comes back.
    ///
    /// # Errors
    /// Every [`InvokeError`]; what was written stays.
    pub async fn invoke_to_file(
        &self,
        server: SocketAddr,
        invocation: &Invocation,
        output: &Path,
    ) -> Result<Answer, InvokeError> {
        let request = self.request(server, invocation).await?;
        let mut answer = request.send().await.map_err(|error| ReadError::Http(error).of(invocation))?;
        let (status, content_type, container) = head(&answer);
        let success = (200..300).contains(&status);
        let of_file = |error: std::io::Error| InvokeError::File(error.to_string());
        let mut file = if success { Some(File::create(output).await.map_err(of_file)?) } else { None };
        let (mut body, mut size) = (BytesMut::new(), 0);
        while let Some(chunk) = answer.chunk().await.map_err(|error| ReadError::Http(error).of(invocation))? {
            size += chunk.len();
            if size > invocation.limit {
                return Err(InvokeError::TooLarge(invocation.limit));
            }
            match &mut file {
                Some(file) => file.write_all(&chunk).await.map_err(of_file)?,
                None if body.len() < ERROR_BYTES => body.extend_from_slice(&chunk),
                None => {}
            }
        }
        if let Some(mut file) = file {
            file.flush().await.map_err(of_file)?;
        }
        Ok(Answer { status, content_type, container, body: body.freeze() })
    }

    async fn request(
        &self,
        server: SocketAddr,
        invocation: &Invocation,
    ) -> Result<reqwest::RequestBuilder, InvokeError> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (CONTENT_TYPE.as_str(), &invocation.content_type),
            (ACCEPT.as_str(), &invocation.accept),
            (CUSTOM_ATTRIBUTES, &invocation.custom_attributes),
        ] {
            if let Some(text) = value {
                let value = HeaderValue::from_str(text).map_err(|_| InvokeError::Header(text.clone()))?;
                headers.insert(name, value);
            }
        }
        let body = match &invocation.payload {
            Payload::Bytes(bytes) => reqwest::Body::from(bytes.clone()),
            Payload::File(path) => {
                let of_file = |error: std::io::Error| InvokeError::File(error.to_string());
                let file = File::open(path).await.map_err(of_file)?;
                // Servers size their buffers by it, and some take no chunks.
                headers.insert(CONTENT_LENGTH, file.metadata().await.map_err(of_file)?.len().into());
                reqwest::Body::from(file)
            }
        };
        let url = format!("http://{server}/invocations");
        Ok(self.client.post(url).headers(headers).timeout(invocation.timeout).body(body))
    }

    /// What the server asks of batch transform; nothing when it does not say or says it wrongly.
    pub async fn execution_parameters(&self, server: SocketAddr) -> ExecutionParameters {
        let request =
            self.client.get(format!("http://{server}/execution-parameters")).timeout(PARAMETERS_TIMEOUT);
        match read(request, PARAMETERS_BYTES).await {
            Ok(answer) if answer.is_success() => parameters(&answer.body),
            _ => ExecutionParameters::default(),
        }
    }
}

fn parameters(body: &[u8]) -> ExecutionParameters {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let number = |name: &str| document[name].as_u64().and_then(|number| usize::try_from(number).ok());
    ExecutionParameters {
        max_concurrent_transforms: number("MaxConcurrentTransforms").filter(|number| *number > 0),
        batch_strategy: document["BatchStrategy"].as_str().map(str::to_owned),
        max_payload_in_mb: number("MaxPayloadInMB").filter(|number| *number > 0),
    }
}

enum ReadError {
    Http(reqwest::Error),
    TooLarge,
}

impl ReadError {
    fn of(self, invocation: &Invocation) -> InvokeError {
        match self {
            Self::TooLarge => InvokeError::TooLarge(invocation.limit),
            Self::Http(error) if error.is_timeout() => InvokeError::TimedOut(invocation.timeout),
            Self::Http(error) => InvokeError::Broken(error.without_url().to_string()),
        }
    }
}

/// Status, media type, and the container that a relay names.
fn head(answer: &reqwest::Response) -> (u16, Option<String>, Option<String>) {
    let text = |name: &str| {
        let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
        value.map(str::to_owned)
    };
    (answer.status().as_u16(), text(CONTENT_TYPE.as_str()), text(RELAY_CONTAINER))
}

async fn read(request: reqwest::RequestBuilder, limit: usize) -> Result<Answer, ReadError> {
    let mut answer = request.send().await.map_err(ReadError::Http)?;
    let (status, content_type, container) = head(&answer);
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(ReadError::Http)? {
        if body.len() + chunk.len() > limit {
            return Err(ReadError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, content_type, container, body: body.freeze() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    /// A server that answers one request with `answer` and gives back what it read.
    async fn server(answer: &'static str) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<String>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let Ok((mut stream, _)) = listener.accept().await else { return String::new() };
            let mut request = vec![0u8; 4096];
            let read = stream.read(&mut request).await.unwrap_or_default();
            let _ = stream.write_all(answer.as_bytes()).await;
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        Ok((address, task))
    }

    fn invocation() -> Invocation {
        Invocation {
            content_type: Some("text/csv".into()),
            accept: Some("application/json".into()),
            custom_attributes: Some("trace=1".into()),
            payload: Payload::Bytes(Bytes::from_static(b"1,2")),
            timeout: Duration::from_secs(5),
            limit: 4,
        }
    }

    #[tokio::test]
    async fn a_request_carries_its_headers_and_an_error_status_is_an_answer() -> std::io::Result<()> {
        let (address, task) = server("HTTP/1.1 415 No\r\ncontent-length: 2\r\n\r\nno").await?;
        let answer = ModelClient::new().invoke(address, &invocation()).await;
        let expected =
            Answer { status: 415, content_type: None, container: None, body: Bytes::from_static(b"no") };
        assert_eq!(answer, Ok(expected));
        let sent = task.await?.to_lowercase();
        assert!(sent.starts_with("post /invocations "), "{sent}");
        for header in ["content-type: text/csv", "accept: application/json", "custom-attributes: trace=1"] {
            assert!(sent.contains(header), "{sent}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn answers_have_a_bound_and_gone_servers_are_an_error() -> std::io::Result<()> {
        let (address, _task) = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde").await?;
        let client = ModelClient::new();
        assert_eq!(client.invoke(address, &invocation()).await, Err(InvokeError::TooLarge(4)));
        assert!(matches!(client.invoke(address, &invocation()).await, Err(InvokeError::Broken(_))));
        let strange = Invocation { accept: Some("a\nb".into()), ..invocation() };
        assert_eq!(client.invoke(address, &strange).await, Err(InvokeError::Header("a\nb".into())));
        Ok(())
    }

    #[tokio::test]
    async fn files_go_in_with_their_length_and_come_out() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (input, output) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::write(&input, "abc")?;
        let invocation = Invocation { payload: Payload::File(input), ..invocation() };
        let (address, task) = server("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwxyz").await?;
        let answer = ModelClient::new().invoke_to_file(address, &invocation, &output).await;
        assert_eq!(answer.map(|answer| (answer.status, answer.body)), Ok((200, Bytes::new())));
        assert_eq!(std::fs::read(&output)?, b"wxyz");
        assert!(task.await?.to_lowercase().contains("content-length: 3"));
        let (address, _task) = server("HTTP/1.1 400 No\r\ncontent-length: 2\r\n\r\nno").await?;
        let refused = ModelClient::new().invoke_to_file(address, &invocation, &output).await;
        assert_eq!(refused.map(|answer| (answer.status, answer.body)), Ok((400, Bytes::from_static(b"no"))));
        Ok(())
    }

    #[test]
    fn parameters_that_are_strange_count_as_not_stated() {
        let stated = parameters(
            br#"{"MaxConcurrentTransforms": 0, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}"#,
        );
        assert_eq!(stated.max_concurrent_transforms, None);
        assert_eq!(stated.batch_strategy.as_deref(), Some("MULTI_RECORD"));
        assert_eq!(stated.max_payload_in_mb, Some(6));
        assert_eq!(parameters(b"<html>"), ExecutionParameters::default());
    }
}
