//! The workflow of an endpoint that runs: its servers are brought up and kept up, and whatever its
//! record asks for (another configuration, other numbers and weights) is carried out.
//!
//! Promises: requests go only to servers that answer pings; old servers leave the route before
//! they end, and end after their last request; an update that cannot be carried out leaves the old
//! servers serving. The record is changed when the servers are up, never before.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sagebrush_metastore::Key;
use sagebrush_types::{EndpointRoute, EndpointStatus, Failure, Outcome};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::UPDATE_KEPT;
use super::fleet::{Fleet, Keepers};
use super::plan::{self, PlannedVariant};
use super::record::{self, Written};
use super::rollout::{Rollout, Step, at_least};
use super::server::ServerReport;
use crate::async_inference::AsyncInferenceConfig;
use crate::model_server::PreparedModel;
use crate::workflow::{Signal, told_to_end};
use crate::{ControlPlane, data_capture, reconcile};

/// Reports of model servers that wait to be read.
const REPORTS: usize = 64;

/// Why a piece of work did not come to its end.
pub enum Halt {
    /// The endpoint is deleted or the server program ends.
    Told(Signal),
    /// It cannot be done.
    Failed(Failure),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What a wait may end with besides its condition.
enum Event {
    Report(ServerReport),
    Ended(Result<u64, JoinError>),
    Rang,
    TimedOut,
    Told(Signal),
}

/// The servers of one endpoint.
pub struct Operator {
    plane: ControlPlane,
    key: Key,
    signal: watch::Receiver<Signal>,
    bell: Arc<Notify>,
    rang: bool,
    inbox: mpsc::Receiver<ServerReport>,
    keepers: Keepers,
    generation: u64,
    current: Fleet,
    next: Option<Fleet>,
    /// Part of the traffic that goes to `next`.
    shift: f64,
    /// Does the endpoint stand in the route table?
    open: bool,
}

impl Operator {
    /// An operator without servers.
    pub fn new(plane: &ControlPlane, key: &Key, signal: watch::Receiver<Signal>) -> Self {
        let (reports, inbox) = mpsc::channel(REPORTS);
        let keepers = Keepers {
            plane: plane.clone(),
            key: key.clone(),
            reports,
            tasks: JoinSet::new(),
            running: HashMap::new(),
        };
        Self {
            plane: plane.clone(),
            key: key.clone(),
            signal,
            bell: plane.shared.live.bell(key),
            rang: true,
            inbox,
            keepers,
            generation: 0,
            current: Fleet::new(0, Vec::new(), None, false),
            next: None,
            shift: 0.0,
            open: false,
        }
    }

    /// Brings the endpoint up and serves until told to end, which is what it returns. `first` says
    /// that it has never been in service: then servers that cannot be started fail it.
    pub async fn run(mut self, first: bool) -> Outcome<Signal> {
        let (told, outcome) = match self.serve(first).await {
            Err(Halt::Told(signal)) => (signal, Ok(signal)),
            Err(Halt::Failed(failure)) => (Signal::Stop, Err(failure)),
        };
        self.plane.unroute(&self.key);
        self.current.end(told);
        if let Some(next) = self.next {
            next.end(told);
        }
        // Keepers that report must not wait for a reader.
        self.inbox.close();
        while self.keepers.tasks.join_next().await.is_some() {}
        outcome
    }

    async fn serve(&mut self, first: bool) -> Result<std::convert::Infallible, Halt> {
        reconcile::clear_folder(&self.plane.work_folder(&self.key))?;
        let document = self.plane.endpoint_document(&self.key).await?;
        // One that was in service answers "try again" while it comes back, not "not found".
        self.open = !first;
        self.publish();
        self.current = self.fleet(&document).await?;
        self.current.scale(&mut self.keepers, |variant| variant.count);
        self.until(None, move |this| match this.current.failed() {
            Some(message) if first => Some(Err(Failure::invalid(message))),
            _ => this.current.is_up().then_some(Ok(())),
        })
        .await?
        .transpose()?;
        self.open = true;
        self.publish();
        if document[UPDATE_KEPT].is_null() {
            self.written(record::in_service(&self.plane, &self.key).await?).await?;
        }
        loop {
            self.rang = false;
            self.follow_record().await?;
            self.until(None, |this| this.rang.then_some(())).await?;
        }
    }

    /// Carries out what the record asks for.
    async fn follow_record(&mut self) -> Result<(), Halt> {
        let document = self.plane.endpoint_document(&self.key).await?;
        if document["EndpointStatus"] != EndpointStatus::Updating.as_str() {
            return Ok(());
        }
        let outcome = match document.get(UPDATE_KEPT) {
            Some(update) => self.replace(update).await,
            None => self.rescale(&plan::variants(&document)?).await,
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(Halt::Told(signal)) => Err(Halt::Told(signal)),
            Err(Halt::Failed(failure)) => {
                tracing::info!(endpoint = %self.key, cause = failure.cause.as_deref(), "rolled back: {}", failure.message);
                self.undo(&document)?;
                let written = record::rolled_back(&self.plane, &self.key, &failure.message).await?;
                self.written(written).await
            }
        }
    }

    /// Replaces the servers by those of an update, in the steps of its deployment configuration.
    async fn replace(&mut self, update: &Value) -> Result<(), Halt> {
        let total = plan::variants(update)?.iter().map(|variant| variant.count).sum();
        let rollout = Rollout::of(&update["DeploymentConfig"], total)?;
        let limit = rollout.limit.map(|limit| Instant::now() + limit);
        let next = self.fleet(update).await?;
        self.next = Some(next);
        for step in rollout.steps {
            self.take_step(step, limit).await?;
        }
        self.written(record::updated(&self.plane, &self.key).await?).await?;
        if let Some(next) = self.next.take() {
            self.shift = 0.0;
            let old = std::mem::replace(&mut self.current, next);
            self.publish();
            self.retire(old);
        }
        Ok(())
    }

    async fn take_step(&mut self, step: Step, limit: Option<Instant>) -> Result<(), Halt> {
        let Some(next) = &mut self.next else { return Ok(()) };
        next.scale(&mut self.keepers, |variant| at_least(step.new_capacity, variant.count));
        let failed = |this: &Self| this.next.as_ref().and_then(Fleet::failed).map(Failure::invalid);
        let up = self
            .until(limit, |this| match failed(this) {
                Some(failure) => Some(Err(failure)),
                None => this.next.as_ref().is_some_and(Fleet::is_up).then_some(Ok(())),
            })
            .await?;
        up.ok_or_else(too_long)??;
        self.shift = step.traffic;
        self.publish();
        self.current.scale(&mut self.keepers, |variant| at_least(step.old_capacity, variant.count));
        self.publish();
        if step.wait > Duration::ZERO {
            let waited = Instant::now() + step.wait;
            let deadline = limit.map_or(waited, |limit| limit.min(waited));
            let watched = self.until(Some(deadline), failed).await?;
            if let Some(failure) = watched {
                return Err(failure.into());
            }
            if deadline < waited {
                return Err(too_long().into());
            }
        }
        Ok(())
    }

    /// Changes the numbers and weights of the servers.
    async fn rescale(&mut self, variants: &[PlannedVariant]) -> Result<(), Halt> {
        // New servers come before the new weights, so that no share waits for its server.
        self.current.scale(&mut self.keepers, |old| match variants.iter().find(|new| new.name == old.name) {
            Some(new) => new.count,
            None => old.count,
        });
        self.publish();
        self.until(None, |this| match this.current.failed() {
            Some(message) => Some(Err(Failure::invalid(message))),
            None => this.current.is_up().then_some(Ok(())),
        })
        .await?
        .transpose()?;
        self.current.plan(variants);
        self.publish();
        self.written(record::in_service(&self.plane, &self.key).await?).await
    }

    /// Goes back to what was served before an update or a change of numbers.
    fn undo(&mut self, document: &Value) -> Outcome<()> {
        self.shift = 0.0;
        let next = self.next.take();
        let mut document = document.clone();
        plan::give_up(&mut document["ProductionVariants"]);
        self.current.plan(&plan::variants(&document)?);
        self.current.scale(&mut self.keepers, |variant| variant.count);
        self.publish();
        if let Some(next) = next {
            self.retire(next);
        }
        Ok(())
    }

    /// Ends a fleet that stands in no route any more, after its last requests.
    fn retire(&mut self, fleet: Fleet) {
        let generation = fleet.generation;
        fleet.end(Signal::Stop);
        // A rolling update may have ended all its servers already.
        if !self.keepers.running.contains_key(&generation) {
            self.clear(generation);
        }
    }

    /// A fleet of a new version, whose models are on disk and whose servers are not started yet.
    async fn fleet(&mut self, version: &Value) -> Result<Fleet, Halt> {
        let variants = plan::variants(version)?;
        let asynchronous = AsyncInferenceConfig::of(&version[plan::CONFIG])?.is_some();
        let capture = data_capture::of_config(&version[plan::CONFIG])?.and_then(|capture| capture.route());
        self.generation += 1;
        let (plane, folder) = (self.plane.clone(), self.folder(self.generation));
        let prepared = self
            .meanwhile(async move {
                let mut models: Vec<(PlannedVariant, PreparedModel)> = Vec::with_capacity(variants.len());
                for variant in variants {
                    let model = PreparedModel::new(&plane, &variant.serving, &folder.join(&variant.name))?;
                    let fetched = model.fetch(&plane).await?;
                    fetched.map_err(|why| Failure::invalid(format!("Variant '{}': {why}", variant.name)))?;
                    models.push((variant, model));
                }
                Outcome::Ok(models)
            })
            .await?;
        match prepared {
            Ok(models) => Ok(Fleet::new(self.generation, models, capture, asynchronous)),
            Err(failure) => {
                reconcile::clear_folder(&self.folder(self.generation))?;
                Err(failure.into())
            }
        }
    }

    fn folder(&self, generation: u64) -> PathBuf {
        self.plane.work_folder(&self.key).join(generation.to_string())
    }

    /// An endpoint that is being deleted goes no further.
    async fn written(&mut self, written: Written) -> Result<(), Halt> {
        match written {
            Written::Yes => Ok(()),
            Written::Deleting => Err(Halt::Told(told_to_end(&mut self.signal).await)),
        }
    }

    /// Keeps the endpoint going until `met` has a value, or `deadline` has passed (`None`).
    async fn until<T>(
        &mut self,
        deadline: Option<Instant>,
        met: impl Fn(&Self) -> Option<T>,
    ) -> Result<Option<T>, Halt> {
        loop {
            if let Some(value) = met(self) {
                return Ok(Some(value));
            }
            match self.event(deadline).await {
                Event::TimedOut => return Ok(None),
                event => self.handle(event)?,
            }
        }
    }

    /// Keeps the endpoint going until `work` is done.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Halt> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                event = self.event(None) => self.handle(event)?,
            }
        }
    }

    async fn event(&mut self, deadline: Option<Instant>) -> Event {
        tokio::select! {
            biased;
            told = told_to_end(&mut self.signal) => Event::Told(told),
            Some(report) = self.inbox.recv() => Event::Report(report),
            Some(ended) = self.keepers.tasks.join_next() => Event::Ended(ended),
            () = self.bell.notified() => Event::Rang,
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Event::TimedOut,
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), Halt> {
        match event {
            Event::Report(report) => {
                let generation = report.place.generation;
                let mut fleets = std::iter::once(&mut self.current).chain(&mut self.next);
                if let Some(fleet) = fleets.find(|fleet| fleet.generation == generation) {
                    fleet.take(report);
                }
                self.publish();
            }
            Event::Ended(Ok(generation)) if self.keepers.ended(generation) => self.clear(generation),
            Event::Ended(Ok(_)) => {}
            Event::Ended(Err(error)) => return Err(Failure::internal(error).into()),
            Event::Rang => self.rang = true,
            Event::TimedOut => {}
            Event::Told(signal) => return Err(Halt::Told(signal)),
        }
        Ok(())
    }

    /// Removes the models of a version that is no longer served, after its last server.
    fn clear(&mut self, generation: u64) {
        let served =
            std::iter::once(&self.current).chain(&self.next).any(|fleet| fleet.generation == generation);
        if served {
            return;
        }
        let folder = self.folder(generation);
        tokio::task::spawn_blocking(move || {
            if let Err(failure) = reconcile::clear_folder(&folder) {
                tracing::warn!(folder = %folder.display(), cause = failure.cause.as_deref(), "an old model stays behind");
            }
        });
    }

    fn publish(&self) {
        if !self.open {
            return;
        }
        let fleets = [(Some(&self.current), 1.0 - self.shift), (self.next.as_ref(), self.shift)];
        let variants = fleets
            .into_iter()
            .filter(|(_, share)| *share > 0.0)
            .filter_map(|(fleet, share)| fleet.map(|fleet| fleet.route(share)))
            .flatten()
            .collect();
        let served = self.next.as_ref().filter(|_| self.shift >= 1.0).unwrap_or(&self.current);
        let capture = served.capture.clone();
        self.plane.route(&self.key, EndpointRoute { variants, capture, asynchronous: served.asynchronous });
    }
}

fn too_long() -> Failure {
    Failure::invalid(
        "The deployment took longer than the MaximumExecutionTimeoutInSeconds of its DeploymentConfig.",
    )
}
