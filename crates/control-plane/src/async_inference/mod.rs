//! Asynchronous inference: a request is accepted into a durable queue, and its answer becomes an
//! object.
//!
//! Promises: an accepted request is on disk before it is answered, and ends in an output object or,
//! where the endpoint has a place for it, an error object, also when the server is killed meanwhile
//! (the model may then see it twice); the queue of an endpoint has a ceiling; payloads and answers
//! pass through files, never whole through memory. Never: the serving plane's queue or its bounds.

mod accept;
mod answer;
mod config;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sagebrush_runner::ModelClient;
use sagebrush_types::{EndpointName, Outcome};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{ControlPlane, failure, reconcile};

pub use config::AsyncInferenceConfig;

/// The queued request: what is asked and where its answer goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Request {
    /// Its identifier, the caller's own or one that was made.
    inference_id: String,
    /// `s3://bucket/key` of the payload, unless it came with the request.
    input: Option<String>,
    content_type: Option<String>,
    accept: Option<String>,
    custom_attributes: Option<String>,
    /// `s3://bucket/key` of the answer.
    output: String,
    /// `s3://bucket/key` of the error.
    failure: Option<String>,
    /// When it is no longer to be sent, milliseconds since the Unix epoch.
    expires: i64,
    /// Seconds for one answer.
    timeout: u64,
    /// Requests in flight per model server.
    concurrent: usize,
}

/// Who works on which endpoint's queue.
#[derive(Debug)]
pub struct Workers {
    bells: Mutex<HashMap<EndpointName, Arc<Notify>>>,
    closing: CancellationToken,
    client: ModelClient,
}

impl Workers {
    /// Nobody yet.
    pub fn new() -> Self {
        Self { bells: Mutex::default(), closing: CancellationToken::new(), client: ModelClient::new() }
    }

    /// Ends all work; what is not answered stays in the queue.
    pub fn close(&self) {
        self.closing.cancel();
    }

    fn bells(&self) -> MutexGuard<'_, HashMap<EndpointName, Arc<Notify>>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ControlPlane {
    /// Takes up the queues that an earlier server process left.
    pub(crate) async fn resume_invocations(&self) -> Outcome<()> {
        reconcile::clear_folder(&self.invocations_folder())?;
        let open = self.store().endpoints_with_invocations().await.map_err(failure::of_metastore)?;
        for name in open {
            self.work_on(name);
        }
        Ok(())
    }

    /// Sees to it that somebody works on an endpoint's queue.
    fn work_on(&self, name: EndpointName) {
        let mut bells = self.shared.workers.bells();
        if let Some(bell) = bells.get(&name) {
            bell.notify_one();
            return;
        }
        let bell = Arc::new(Notify::new());
        bells.insert(name.clone(), Arc::clone(&bell));
        drop(bells);
        let worker = worker::Worker::new(self.clone(), name, bell);
        self.shared.live.tasks.spawn(worker.work());
    }

    /// Where payloads and answers lie on their way.
    fn invocations_folder(&self) -> std::path::PathBuf {
        self.shared.settings.work.join("async-invocations")
    }
}
