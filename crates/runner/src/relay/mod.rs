//! The relay: what stands before the containers of one instance that has several, or one that serves many
//! models. It has an address of its own and speaks the hosting contract there, so whoever sends it requests
//! need not know what is behind.
//!
//! Promises: a request goes through all containers in their order (Serial), each answer being the next one's
//! request, or to the one it names (Direct); the first answer that is an error ends it, and the relay's
//! answer names the container; bodies are passed on as they come and never held whole. Never: starts, stops
//! or replaces containers, or sends a request twice.

mod load;
mod models;
mod pass;
mod refusal;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::future::join_all;
use sagebrush_object_store::ObjectStore;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::ping::ping;
use models::Models;
use pass::{Message, Passed, Sender};
use refusal::Refusal;

/// Time that requests have to end when the relay is closed: their containers have ended already.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How requests reach the containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayManner {
    /// Through all of them, in their order.
    Serial,
    /// To the one they name.
    Direct,
}

/// A container behind a relay.
#[derive(Debug, Clone)]
pub struct RelayedContainer {
    /// Its name in requests and errors.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its models come from, when requests name them.
    pub models: Option<ModelPrefix>,
}

/// Where the models of a container come from that serves many.
#[derive(Clone)]
pub struct ModelPrefix {
    /// The store of their artifacts.
    pub objects: ObjectStore,
    /// The artifacts' bucket.
    pub bucket: String,
    /// What all their keys begin with, before the name in the request.
    pub prefix: String,
    /// The folder here that they are unpacked into, this instance's alone.
    pub folder: PathBuf,
    /// The same folder as the container sees it.
    pub seen_at: String,
    /// Does a model stay loaded when its requests are answered?
    pub cached: bool,
}

impl std::fmt::Debug for ModelPrefix {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "ModelPrefix(s3://{}/{})", self.bucket, self.prefix)
    }
}

/// A relay that listens. Dropping it ends it; [`Relay::close`] also waits for its end.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    server: JoinHandle<()>,
    models: Vec<Arc<Models>>,
    closing: CancellationToken,
    _ends: DropGuard,
}

/// What all requests share.
struct Shared {
    manner: RelayManner,
    containers: Vec<Behind>,
    sender: Sender,
}

/// A container behind the relay, with its models.
struct Behind {
    name: String,
    address: SocketAddr,
    models: Option<Arc<Models>>,
}

impl Relay {
    /// Starts a relay before containers, at least one, on a port of its own of this machine.
    ///
    /// # Errors
    /// When there is no port, or a folder of models cannot be made.
    pub async fn start(manner: RelayManner, containers: Vec<RelayedContainer>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let closing = CancellationToken::new();
        let sender = Sender::new();
        let mut behind = Vec::with_capacity(containers.len());
        for RelayedContainer { name, address, models } in containers {
            let models = match models {
                Some(prefix) => {
                    std::fs::create_dir_all(&prefix.folder)?;
                    Some(Models::new(prefix, name.clone(), address, sender.clone(), closing.clone()))
                }
                None => None,
            };
            behind.push(Behind { name, address, models });
        }
        let models = behind.iter().filter_map(|container| container.models.clone()).collect();
        let router = Router::new()
            .route("/ping", get(pings))
            .route("/execution-parameters", get(execution_parameters))
            .route("/invocations", post(invocations))
            .with_state(Arc::new(Shared { manner, containers: behind, sender }));
        let closed = closing.clone();
        let server = tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(closed.cancelled_owned()).await;
            if let Err(error) = served {
                tracing::error!(%error, "a relay ended");
            }
        });
        Ok(Self { address, server, models, closing: closing.clone(), _ends: closing.drop_guard() })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it and waits until nothing of it writes to its folders any more.
    pub async fn close(mut self) {
        self.closing.cancel();
        if tokio::time::timeout(LAST_ANSWERS, &mut self.server).await.is_err() {
            self.server.abort();
        }
        for models in &self.models {
            models.ended().await;
        }
    }
}

/// Every container answers its ping.
async fn pings(State(shared): State<Arc<Shared>>) -> StatusCode {
    let answers = join_all(shared.containers.iter().map(|container| ping(container.address))).await;
    if answers.into_iter().all(|answered| answered) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// What batch transform may do is what the first container, which gets its requests, says.
async fn execution_parameters(State(shared): State<Arc<Shared>>) -> Response {
    let Some(first) = shared.containers.first() else { return StatusCode::NOT_FOUND.into_response() };
    match shared.sender.get(first.address, "execution-parameters").await {
        Ok(answer) => pass::answered(&first.name, answer, None),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn invocations(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.answer(request).await.unwrap_or_else(|refusal| refusal.into_response())
}

impl Shared {
    async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        let (head, body) = request.into_parts();
        let passed = Passed::of(&head.headers);
        let chain = self.chain(passed.container())?;
        let mut message = Message::of_request(&head.headers, body);
        for (place, container) in chain.iter().enumerate() {
            let is_last = place + 1 == chain.len();
            let (path, in_use) = match &container.models {
                Some(models) => {
                    let in_use = models.acquire(passed.model()).await?;
                    (format!("models/{}/invoke", in_use.name()), Some(in_use))
                }
                None => ("invocations".to_owned(), None),
            };
            let sent = self.sender.post(container.address, &path, passed.headers(is_last), message).await;
            let answer = sent.map_err(|error| Refusal::unreachable(&container.name, &error))?;
            if is_last || !answer.status().is_success() {
                return Ok(pass::answered(&container.name, answer, in_use));
            }
            message = Message::of_answer(answer, in_use)
                .await
                .map_err(|error| Refusal::unreachable(&container.name, &error))?;
        }
        Err(Refusal::invalid("The endpoint has no container."))
    }

    /// The containers that a request goes through.
    fn chain(&self, target: Option<&str>) -> Result<&[Behind], Refusal> {
        if self.manner == RelayManner::Serial {
            return Ok(&self.containers);
        }
        let names = || {
            let names: Vec<&str> = self.containers.iter().map(|container| &*container.name).collect();
            names.join(", ")
        };
        let target = target.ok_or_else(|| {
            Refusal::invalid(format!(
                "The request does not say which container it is for. Set TargetContainerHostname to one of: {}.",
                names()
            ))
        })?;
        let place = self.containers.iter().position(|container| container.name == target);
        let place = place.ok_or_else(|| {
            Refusal::invalid(format!(
                "TargetContainerHostname: there is no container '{target}' here, only: {}.",
                names()
            ))
        })?;
        Ok(&self.containers[place..=place])
    }
}

#[cfg(test)]
mod tests;
