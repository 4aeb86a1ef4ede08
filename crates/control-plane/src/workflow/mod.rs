//! What the workflows of jobs and endpoints share: turns, stop signals, working folders, and
//! following a running program.
//!
//! A workflow is a task that enters durable steps. Each step is written to the metastore before its
//! work begins, so a restarted server knows what was going on (see `reconcile.rs`).

mod accept;
mod follow;
mod hosts;
pub mod job;
mod metric_reader;
pub mod mirror;
mod network;
mod programs;
mod time_limits;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sagebrush_metastore::Key;
use sagebrush_types::limits::JOBS_AT_ONCE;
use sagebrush_types::{Failure, FailureKind, Outcome, Resource};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{ControlPlane, failure};

pub use accept::accept;
pub use follow::{Ended, Follow, follow, follow_all};
pub use hosts::{Host, Hosts};
pub use metric_reader::MetricReader;
pub use network::HostNetwork;
pub use programs::stage_input;
pub use time_limits::{Limit, TimeLimits};

/// Why a running workflow should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Go on.
    Run,
    /// The user asked for it.
    Stop,
    /// The server is going down.
    ShutDown,
}

/// The workflows that run in this process.
#[derive(Debug)]
pub struct Live {
    /// Turns to do work.
    pub turns: Arc<Semaphore>,
    /// Their tasks.
    pub tasks: TaskTracker,
    /// Cancelled when the server ends, for tasks that belong to no resource.
    pub closing: CancellationToken,
    signals: Mutex<HashMap<Key, watch::Sender<Signal>>>,
    bells: Mutex<HashMap<Key, Arc<Notify>>>,
    changes: watch::Sender<u64>,
    expected: Mutex<HashMap<String, usize>>,
}

impl Live {
    /// No workflow yet.
    pub fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(JOBS_AT_ONCE)),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            signals: Mutex::default(),
            bells: Mutex::default(),
            changes: watch::Sender::new(0),
            expected: Mutex::default(),
        }
    }

    /// Registers a workflow; it watches the returned signal.
    pub fn enter(&self, key: &Key) -> watch::Receiver<Signal> {
        let (sender, receiver) = watch::channel(Signal::Run);
        self.signals().insert(key.clone(), sender);
        receiver
    }

    /// The workflow is over.
    pub fn leave(&self, key: &Key) {
        self.signals().remove(key);
        self.bells().remove(key);
    }

    /// Rings when a workflow that goes on for ever, as an endpoint's, has to look at its record. A
    /// ring that nobody waits for is kept for the next who does.
    pub fn bell(&self, key: &Key) -> Arc<Notify> {
        Arc::clone(self.bells().entry(key.clone()).or_default())
    }

    /// Tells a workflow to end; `false` when it does not run here.
    pub fn stop(&self, key: &Key) -> bool {
        self.signals().get(key).is_some_and(|signal| signal.send(Signal::Stop).is_ok())
    }

    /// Completes when no workflow of that key runs here.
    pub async fn left(&self, key: &Key) {
        let signal = self.signals().get(key).map(watch::Sender::subscribe);
        // Leaving drops the sender, which is the only end of the signal's changes.
        if let Some(mut signal) = signal {
            while signal.changed().await.is_ok() {}
        }
    }

    /// Tells every workflow to end because the server does.
    pub fn shut_down(&self) {
        self.closing.cancel();
        for signal in self.signals().values() {
            signal.send_replace(Signal::ShutDown);
        }
    }

    /// Says that a job ended or measured something, or that a decision is due.
    pub fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Sees every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Notes how many training jobs of a tuning job run at once, so that each can take its share of the
    /// cores from the start.
    pub fn expect_jobs(&self, tuning_job: &str, count: usize) {
        self.expected().insert(tuning_job.to_owned(), count);
    }

    /// The tuning job is over.
    pub fn forget_jobs(&self, tuning_job: &str) {
        self.expected().remove(tuning_job);
    }

    /// The cores for a job that is about to start: an even share among the jobs that run, itself
    /// included, and those that its tuning job will start beside it; at least one.
    pub fn share_of_cores(&self, tuning_job: Option<&str>) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let running = JOBS_AT_ONCE.saturating_sub(self.turns.available_permits());
        let expected = tuning_job.and_then(|arn| self.expected().get(arn).copied()).unwrap_or(1);
        (cores / running.max(expected).max(1)).max(1)
    }

    fn expected(&self) -> std::sync::MutexGuard<'_, HashMap<String, usize>> {
        // As for the signals.
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signals(&self) -> std::sync::MutexGuard<'_, HashMap<Key, watch::Sender<Signal>>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bells(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Notify>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ControlPlane {
    /// The working folder of a job or endpoint.
    pub(crate) fn work_folder(&self, key: &Key) -> PathBuf {
        self.shared.settings.work.join(key.kind.arn_segment()).join(&key.region).join(&key.name)
    }

    /// Refuses a new job or endpoint when `limit` of its kind are open.
    pub(crate) async fn check_open(&self, kind: Resource, limit: usize) -> Outcome<()> {
        let open = self.store().count_open_workflows(kind).await.map_err(failure::of_metastore)?;
        if open >= limit {
            return Err(Failure::new(
                FailureKind::LimitExceeded,
                format!("{open} {}s are open, the most this server accepts. End some first.", kind.noun()),
            ));
        }
        Ok(())
    }

    /// Ends every workflow of this process: running jobs fail with a reason, model servers are
    /// stopped and come back at the next start. Returns when all have ended.
    pub async fn shut_down(&self) {
        self.shared.workers.close();
        self.shared.live.shut_down();
        self.shared.live.tasks.close();
        self.shared.live.tasks.wait().await;
    }
}

/// Waits until the signal is no longer `Run`.
pub async fn told_to_end(signal: &mut watch::Receiver<Signal>) -> Signal {
    let told = signal.wait_for(|signal| *signal != Signal::Run).await.map(|signal| *signal);
    match told {
        Ok(signal) => signal,
        // Nobody can send any more.
        Err(_) => std::future::pending().await,
    }
}
