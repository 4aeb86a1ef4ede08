//! Who works on one endpoint's queue: requests go to its model servers as these have places, the
//! oldest first. A worker lives as long as there is something in the queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use sagebrush_metastore::Key;
use sagebrush_types::limits::ASYNC_TRIES;
use sagebrush_types::{EndpointName, EndpointRoute, EndpointStatus, Failure, Outcome, Resource};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::answer::{Task, Trouble, answer, fail};
use crate::{ControlPlane, failure};

/// Requests read from the queue at once.
const READ: usize = 64;
/// Wait before the endpoint is looked at again while it has no server, and after a failure of ours.
const PAUSE: Duration = Duration::from_secs(1);
/// The variant's name in messages of requests that no server saw.
const NO_VARIANT: &str = "endpoint";

/// The worker of one endpoint.
pub struct Worker {
    plane: ControlPlane,
    name: EndpointName,
    bell: Arc<Notify>,
    /// The place behind which the queue was not read yet.
    after: i64,
    waiting: VecDeque<Task>,
    flying: JoinSet<Landing>,
}

/// A request that is no longer in flight.
struct Landing {
    variant: String,
    task: Task,
    answered: Result<(), Trouble>,
}

impl Worker {
    /// A worker that has not read anything yet.
    pub fn new(plane: ControlPlane, name: EndpointName, bell: Arc<Notify>) -> Self {
        Self { plane, name, bell, after: 0, waiting: VecDeque::new(), flying: JoinSet::new() }
    }

    /// Works until the queue is empty or the server ends.
    pub async fn work(mut self) {
        let closing = self.plane.shared.workers.closing.clone();
        loop {
            let done = tokio::select! {
                done = self.turn() => done,
                () = closing.cancelled() => return,
            };
            match done {
                Ok(true) => return,
                Ok(false) => {}
                Err(failure) => {
                    // Begin again from the queue, which holds everything that is not answered.
                    let cause = failure.cause.unwrap_or(failure.message);
                    tracing::error!(
                        endpoint = self.name.1,
                        cause,
                        "the queue of asynchronous requests stands still"
                    );
                    self.flying.shutdown().await;
                    self.waiting.clear();
                    self.after = 0;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Sends what can be sent and waits for the next thing to happen; `true` when all is done.
    async fn turn(&mut self) -> Outcome<bool> {
        if self.waiting.is_empty() {
            self.read().await?;
        }
        self.expire().await?;
        let mut routes = self.plane.routes();
        let route = routes.borrow_and_update().endpoints.get(&self.name).cloned();
        match &route {
            Some(route) => self.send(route),
            None if self.is_gone().await? => return self.refuse_all().await,
            None => {}
        }
        if self.waiting.is_empty() && self.flying.is_empty() {
            return Ok(self.leave());
        }
        tokio::select! {
            Some(landed) = self.flying.join_next() => self.land(landed.map_err(Failure::internal)?).await?,
            () = self.bell.notified() => {}
            _ = routes.changed() => {}
            // Places may have been freed by the serving plane, requests expire, endpoints end.
            () = tokio::time::sleep(PAUSE) => {}
        }
        Ok(false)
    }

    async fn read(&mut self) -> Outcome<()> {
        let (region, endpoint) = &self.name;
        let queued = self.plane.store().queued_invocations(region, endpoint, self.after, READ).await;
        for queued in queued.map_err(failure::of_metastore)? {
            self.after = queued.sequence;
            let request = match serde_json::from_value(queued.document) {
                Ok(request) => request,
                Err(error) => {
                    // It would stand in the way of all others for ever.
                    tracing::error!(endpoint, %error, "a queued request cannot be read and is dropped");
                    let dropped = self.plane.store().remove_invocation(queued.sequence).await;
                    dropped.map_err(failure::of_metastore)?;
                    continue;
                }
            };
            let body = queued.body.map(Into::into);
            self.waiting.push_back(Task { sequence: queued.sequence, request, body, tries: 0 });
        }
        Ok(())
    }

    /// Ends the worker, unless somebody rang after the queue was read.
    fn leave(&self) -> bool {
        let mut bells = self.plane.shared.workers.bells();
        if self.bell.notified().now_or_never().is_some() {
            return false;
        }
        bells.remove(&self.name);
        true
    }

    async fn expire(&mut self) -> Outcome<()> {
        let now = self.plane.now();
        while let Some(task) = self.waiting.pop_front_if(|task| task.request.expires <= now) {
            let why = "The request expired: it waited in the queue longer than its RequestTTLSeconds.";
            self.give_up(NO_VARIANT, &task, why).await?;
        }
        Ok(())
    }

    /// Sends waiting requests while a server has a place, each to the server with the fewest.
    fn send(&mut self, route: &EndpointRoute) {
        while let Some(task) = self.waiting.front() {
            let places = task.request.concurrent;
            let variants = route.variants.iter().filter(|variant| variant.weight > 0.0);
            let servers =
                variants.flat_map(|variant| variant.servers.iter().map(move |server| (variant, server)));
            let idlest = servers.min_by_key(|(_, server)| server.lease.in_flight());
            let Some((variant, server)) = idlest else { return };
            // The place is counted where an update sees it: a server ends after its last request.
            let Some(place) = server.lease.enter(places) else { return };
            let Some(task) = self.waiting.pop_front() else { return };
            let (plane, address, variant) = (self.plane.clone(), server.address, variant.name.clone());
            self.flying.spawn(async move {
                let answered = answer(&plane, &task, address, &variant).await;
                drop(place);
                Landing { variant, task, answered }
            });
        }
    }

    async fn land(&mut self, landing: Landing) -> Outcome<()> {
        let Landing { variant, mut task, answered } = landing;
        match answered {
            Ok(()) => self.done(&task).await,
            Err(Trouble::Final(why)) => self.give_up(&variant, &task, &why).await,
            Err(Trouble::Lost(why)) if task.tries + 1 < ASYNC_TRIES => {
                tracing::warn!(endpoint = self.name.1, why, "an asynchronous request is sent again");
                task.tries += 1;
                self.waiting.push_front(task);
                Ok(())
            }
            Err(Trouble::Lost(why)) => {
                let why = format!("The request was sent {ASYNC_TRIES} times; the last time {why}.");
                self.give_up(&variant, &task, &why).await
            }
            Err(Trouble::Server(failure)) => Err(failure),
        }
    }

    /// Has the endpoint ended, so that nobody will ever answer?
    async fn is_gone(&self) -> Outcome<bool> {
        let (region, endpoint) = self.name.clone();
        let key = Key { kind: Resource::Endpoint, region, name: endpoint };
        let record = self.plane.store().get(&key).await.map_err(failure::of_metastore)?;
        let over = [EndpointStatus::Deleting, EndpointStatus::Failed];
        Ok(record.is_none_or(|record| over.iter().any(|status| status.as_str() == record.status)))
    }

    async fn refuse_all(&mut self) -> Outcome<bool> {
        while let Some(landed) = self.flying.join_next().await {
            self.land(landed.map_err(Failure::internal)?).await?;
        }
        while let Some(task) = self.waiting.pop_front() {
            self.give_up(NO_VARIANT, &task, "The endpoint ended before it answered the request.").await?;
        }
        self.read().await?;
        Ok(self.waiting.is_empty() && self.leave())
    }

    async fn give_up(&self, variant: &str, task: &Task, why: &str) -> Outcome<()> {
        fail(&self.plane, &self.name, variant, task, why).await?;
        self.done(task).await
    }

    /// The result is stored: the request leaves the queue.
    async fn done(&self, task: &Task) -> Outcome<()> {
        self.plane.store().remove_invocation(task.sequence).await.map_err(failure::of_metastore)
    }
}
