//! Serves one built-in model the way any SageMaker container does: `GET /ping`, `POST /invocations`,
//! `GET /execution-parameters`.
//!
//! Promises: requests are answered by the model alone, off the network threads; at most [`limits::CONCURRENT`] requests
//! and [`limits::BODY_BUDGET`] bytes of bodies are held at a time, and what comes on top is answered 503 at once; a
//! shutdown lets the requests under way finish. Never: knows what an endpoint is, writes files, or trusts a length that
//! a client states.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod limits;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};
use sagebrush_algorithms::{LoadError, Predict};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

/// Why the server ended or did not start.
#[derive(Debug)]
pub enum ServeError {
    /// The model folder cannot be used.
    Load(LoadError),
    /// The system refused a thread or a connection.
    System(std::io::Error),
}

impl std::fmt::Display for ServeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Load(error) => write!(f, "{error}"),
            Self::System(error) => write!(f, "the model server failed: {error}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Load(error) => Some(error),
            Self::System(error) => Some(error),
        }
    }
}

/// What all requests share.
struct Server {
    model: Box<dyn Predict>,
    /// One permit per request that is held.
    requests: Arc<Semaphore>,
    /// One permit per KiB of bodies that are held.
    bodies: Arc<Semaphore>,
    /// One permit per request that computes.
    processors: Arc<Semaphore>,
    threads: usize,
}

/// Loads a model and serves it on `listener` until `shutdown` completes and the requests under way
/// have been answered.
///
/// # Errors
/// When the model cannot be loaded, or the system refuses to go on.
pub async fn serve(
    load: impl FnOnce() -> Result<Box<dyn Predict>, LoadError> + Send + 'static,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let loaded = spawn_blocking(load).await;
    let model =
        loaded.map_err(|e| ServeError::System(std::io::Error::other(e)))?.map_err(ServeError::Load)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let server = Arc::new(Server {
        model,
        requests: Arc::new(Semaphore::new(limits::CONCURRENT)),
        bodies: Arc::new(Semaphore::new(limits::BODY_BUDGET / 1024)),
        processors: Arc::new(Semaphore::new(threads)),
        threads,
    });
    let router = Router::new()
        .route("/ping", get(|| async { StatusCode::OK }))
        .route("/invocations", post(invocations))
        .route("/execution-parameters", get(execution_parameters))
        .with_state(server);
    tracing::debug!(threads, "serving a model");
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await.map_err(ServeError::System)
}

/// What batch transform may do to this server.
async fn execution_parameters(State(server): State<Arc<Server>>) -> Response {
    let body = serde_json::json!({
        "MaxConcurrentTransforms": server.threads,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": limits::TRANSFORM_PAYLOAD_MIB,
    });
    ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// An answer that says why there is no other.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn busy() -> Self {
        let message = "The model server has too many requests to answer. Try again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    fn too_large() -> Self {
        let most = limits::BODY >> 20;
        let message = format!("The body of a request may have at most {most} MiB");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
        (self.status, kind, self.message).into_response()
    }
}

async fn invocations(State(server): State<Arc<Server>>, request: Request) -> Response {
    answer(server, request).await.into_response()
}

/// Admit, read, wait for a processor, compute.
async fn answer(server: Arc<Server>, request: Request) -> Result<Response, Refusal> {
    let _request = Arc::clone(&server.requests).try_acquire_owned().map_err(|_| Refusal::busy())?;
    let (parts, body) = request.into_parts();
    let (body, _held) = read(&server, &parts.headers, body).await?;
    let content_type = text(&parts.headers, CONTENT_TYPE)?.unwrap_or_else(|| "application/json".to_owned());
    let accept = text(&parts.headers, ACCEPT)?;
    let permit = Arc::clone(&server.processors).acquire_owned().await.map_err(|_| Refusal::busy())?;
    let work = spawn_blocking(move || {
        let _permit = permit;
        server.model.invoke(&content_type, accept.as_deref(), &body)
    });
    match work.await {
        Ok(Ok(reply)) => Ok(([(CONTENT_TYPE, reply.content_type)], reply.body).into_response()),
        Ok(Err(failure)) => {
            let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Err(Refusal::new(status, failure.message))
        }
        Err(error) => {
            tracing::error!(%error, "a request ended without an answer");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "The model server failed to answer"))
        }
    }
}

/// Reads a body within its limit and the common budget; the permit stands for the memory it takes.
async fn read(
    server: &Server,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, OwnedSemaphorePermit), Refusal> {
    let stated =
        headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
    let size = stated.unwrap_or(limits::BODY);
    if size > limits::BODY {
        return Err(Refusal::too_large());
    }
    let share = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX);
    let held = Arc::clone(&server.bodies).try_acquire_many_owned(share).map_err(|_| Refusal::busy())?;
    let bytes = to_bytes(body, limits::BODY).await.map_err(|error| {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            if error.to_string().contains("length limit exceeded") {
                return Refusal::too_large();
            }
            cause = error.source();
        }
        Refusal::new(StatusCode::BAD_REQUEST, "The body of the request could not be read")
    })?;
    Ok((bytes, held))
}

/// A header as text.
fn text(headers: &HeaderMap, name: HeaderName) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(&name) else {
        return Ok(None);
    };
    let value = value.to_str().map_err(|_| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("The header {name} holds characters that are not allowed"),
        )
    })?;
    Ok(Some(value.to_owned()))
}

#[cfg(test)]
mod tests;
