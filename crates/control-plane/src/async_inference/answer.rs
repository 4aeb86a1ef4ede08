//! One queued request: its payload to a model server, the answer or the error to an object.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use sagebrush_metastore::LogLine;
use sagebrush_object_store::{Attributes, Error, PutObject};
use sagebrush_runner::{Invocation, InvokeError, Payload};
use sagebrush_types::limits::ASYNC_PAYLOAD_BYTES;
use sagebrush_types::{EndpointName, Failure, Outcome, s3_uri};

use super::Request;
use crate::{ControlPlane, failure};

/// Characters of a model's error that are repeated.
const ERROR_CHARS: usize = 4096;

/// A request off the queue.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its place in the queue.
    pub sequence: i64,
    /// What is asked.
    pub request: Request,
    /// The payload that came with it.
    pub body: Option<Bytes>,
    /// Times it was sent and its connection broke.
    pub tries: u32,
}

/// Why a request has no answer.
#[derive(Debug)]
pub enum Trouble {
    /// The model server went away; another may answer.
    Lost(String),
    /// For good; what the user is told.
    Final(String),
    /// This server.
    Server(Failure),
}

impl Trouble {
    fn server(error: impl std::fmt::Display) -> Self {
        Self::Server(Failure::internal(error))
    }
}

/// Sends a request and stores its answer.
pub async fn answer(
    plane: &ControlPlane,
    task: &Task,
    server: SocketAddr,
    variant: &str,
) -> Result<(), Trouble> {
    let folder = plane.invocations_folder();
    tokio::fs::create_dir_all(&folder).await.map_err(Trouble::server)?;
    let (input, output) =
        (folder.join(format!("{}.in", task.sequence)), folder.join(format!("{}.out", task.sequence)));
    let answered = through(plane, task, (server, variant), &input, &output).await;
    for path in [input, output] {
        remove(path).await?;
    }
    answered
}

async fn through(
    plane: &ControlPlane,
    task: &Task,
    (server, variant): (SocketAddr, &str),
    input: &Path,
    output: &Path,
) -> Result<(), Trouble> {
    let request = &task.request;
    let payload = match (&task.body, &request.input) {
        (Some(body), _) => Payload::Bytes(body.clone()),
        (None, Some(uri)) => {
            fetch(plane, uri, input).await?;
            Payload::File(input.to_path_buf())
        }
        (None, None) => return Err(Trouble::server("a queued request without a payload")),
    };
    let invocation = Invocation {
        content_type: request.content_type.clone(),
        accept: request.accept.clone(),
        custom_attributes: request.custom_attributes.clone(),
        payload,
        timeout: Duration::from_secs(request.timeout),
        limit: ASYNC_PAYLOAD_BYTES,
    };
    let client = &plane.shared.workers.client;
    let answer = client.invoke_to_file(server, &invocation, output).await.map_err(|error| match error {
        InvokeError::Broken(_) => Trouble::Lost(error.to_string()),
        InvokeError::File(error) => Trouble::server(error),
        _ => Trouble::Final(format!("{error}.")),
    })?;
    if !answer.is_success() {
        let text: String = String::from_utf8_lossy(&answer.body).chars().take(ERROR_CHARS).collect();
        let side = if answer.status < 500 { "client" } else { "server" };
        return Err(Trouble::Final(format!(
            "Received {side} error ({}) from {} with message \"{text}\".",
            answer.status,
            answer.container.as_deref().unwrap_or(variant)
        )));
    }
    let (bucket, key) = s3_uri("OutputLocation", &request.output).map_err(Trouble::Server)?;
    let content_type = answer.content_type.as_deref().unwrap_or("binary/octet-stream");
    match plane.objects().store_file(bucket, key, output, content_type).await {
        Ok(_) => Ok(()),
        Err(error @ (Error::Io(_) | Error::Index(_))) => Err(Trouble::server(error)),
        Err(error) => Err(Trouble::Final(format!("The output {} cannot be stored: {error}", request.output))),
    }
}

async fn fetch(plane: &ControlPlane, uri: &str, input: &Path) -> Result<(), Trouble> {
    let (bucket, key) = s3_uri("InputLocation", uri).map_err(Trouble::Server)?;
    let unreadable = |error: Error| match error {
        Error::Io(_) | Error::Index(_) => Trouble::server(error),
        _ => Trouble::Final(format!("The input {uri} cannot be read: {error}")),
    };
    let info = plane.objects().head_object(bucket, key).await.map_err(unreadable)?;
    if info.size > ASYNC_PAYLOAD_BYTES as u64 {
        return Err(Trouble::Final(format!(
            "The input {uri} has {} bytes; an asynchronous request may have {ASYNC_PAYLOAD_BYTES}.",
            info.size
        )));
    }
    plane.objects().fetch_object_to(bucket, key, input).await.map(drop).map_err(unreadable)
}

/// Stores why a request has no answer, where its endpoint has a place for that, and logs it.
pub async fn fail(
    plane: &ControlPlane,
    name: &EndpointName,
    variant: &str,
    task: &Task,
    why: &str,
) -> Outcome<()> {
    let request = &task.request;
    let (region, endpoint) = name;
    let line =
        LogLine { at: plane.now(), message: format!("[sagemaker logs] [{}] {why}", request.inference_id) };
    let group = format!("/aws/sagemaker/Endpoints/{endpoint}");
    plane
        .store()
        .append_log(region, &group, &format!("{variant}/data-log"), &[line])
        .await
        .map_err(failure::of_metastore)?;
    let Some(uri) = &request.failure else { return Ok(()) };
    let (bucket, key) = s3_uri("FailureLocation", uri)?;
    let attributes = Attributes { content_type: Some("text/plain".into()), ..Attributes::default() };
    let put = PutObject { attributes, ..PutObject::default() };
    let body = futures::stream::iter([Ok(Bytes::from(why.to_owned()))]);
    match plane.objects().put_object(bucket, key, put, body).await {
        Ok(_) => Ok(()),
        Err(error @ (Error::Io(_) | Error::Index(_))) => Err(Failure::internal(error)),
        Err(error) => {
            tracing::warn!(endpoint, uri, %error, "an error object of an asynchronous request cannot be stored");
            Ok(())
        }
    }
}

async fn remove(path: PathBuf) -> Result<(), Trouble> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Trouble::server(error)),
        _ => Ok(()),
    }
}
