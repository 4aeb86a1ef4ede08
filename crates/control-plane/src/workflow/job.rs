//! The workflow of every kind of job: stage, run, store. Each step is durable before its work
//! begins; a kind says only what differs.

use sagebrush_metastore::{Key, MetastoreError, Record, WorkflowChange, Write};
use sagebrush_runner::{Exit, Network, PipeFeed, Program};
use sagebrush_types::limits::FAILURE_REASON_CHARS;
use sagebrush_types::{Failure, FailureKind, JobStatus, Outcome};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::hosts::{Host, Hosts};
use super::mirror::Mirror;
use super::programs;
use super::{Ended, Limit, MetricReader, Signal, TimeLimits, told_to_end};
use crate::image::Image;
use crate::{ControlPlane, failure, not_found, reconcile, tracking};

/// Input is being laid out; the step can be done again from its beginning.
pub const STAGE: &str = "stage";
/// The program runs; it cannot be resumed.
pub const RUN: &str = "run";
/// The program is done and its results are being stored; the step can be done again.
pub const STORE: &str = "store";

/// How a job ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The work was done and its results are stored.
    Completed,
    /// An error.
    Failed,
    /// Stopped by request.
    Stopped,
    /// Stopped by one of its time limits.
    Expired(Limit),
}

impl End {
    /// The status a job ends in.
    pub const fn status(self) -> JobStatus {
        match self {
            Self::Completed => JobStatus::Completed,
            Self::Failed => JobStatus::Failed,
            Self::Stopped | Self::Expired(_) => JobStatus::Stopped,
        }
    }
}

/// An ending with what it adds to the record.
#[derive(Debug)]
pub struct Ending {
    /// How.
    pub end: End,
    /// Members that the ending sets in the document.
    pub members: Map<String, Value>,
}

impl Ending {
    /// An ending that adds nothing.
    pub fn plain(end: End) -> Self {
        Self { end, members: Map::new() }
    }

    /// A failure with its reason.
    pub fn failed(reason: &str) -> Self {
        let reason: String = reason.chars().take(FAILURE_REASON_CHARS).collect();
        Self::plain(End::Failed).with("FailureReason", json!(reason))
    }

    /// The ending with one more member.
    pub fn with(mut self, member: &str, value: Value) -> Self {
        self.members.insert(member.to_owned(), value);
        self
    }
}

/// A moment in a job's life that its record notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It has its turn; input is being laid out.
    Staging,
    /// The program is about to start.
    Running,
    /// The program has ended.
    Ran,
    /// Results are about to be stored.
    Storing,
}

/// What a run came to.
#[derive(Debug)]
pub enum Ran {
    /// Its program ended.
    Ended(Ended),
    /// The job ends with this; there is nothing to store.
    Over(Ending),
}

/// A kind of job.
pub trait Job: Sized + Send + Sync + 'static {
    /// Log group of its programs; also the namespace of its metrics.
    const LOG_GROUP: &'static str;
    /// Dimension of its metrics, whose value is the job's name.
    const DIMENSION: &'static str;
    /// May a run that the server's end cut off be done again from its beginning?
    const REPEATABLE: bool = false;

    /// The typed request inside a record.
    fn parameters(record: &Record) -> Outcome<Self>;

    /// How many hosts work on it.
    fn host_count(&self) -> usize {
        1
    }

    /// Whether its programs reach nothing but each other.
    fn is_isolated(&self) -> bool {
        false
    }

    /// The image of its programs.
    fn image(&self, plane: &ControlPlane, record: &Record) -> Outcome<Image>;

    /// Lays out `/opt/ml` of every host; an ending when the user's data cannot be.
    fn stage(
        &self,
        plane: &ControlPlane,
        record: &Record,
        hosts: &Hosts,
    ) -> impl Future<Output = Outcome<Option<Ending>>> + Send;

    /// Folders that are copied to S3 while the programs run.
    fn mirrors(&self, _hosts: &Hosts) -> Outcome<Vec<Mirror>> {
        Ok(Vec::new())
    }

    /// Channels that come through pipes.
    fn pipes(&self, _hosts: &Hosts) -> Outcome<Vec<PipeFeed>> {
        Ok(Vec::new())
    }

    /// Whether the job is done again from its beginning when its server went away while it ran.
    fn is_done_again(_record: &Record) -> bool {
        false
    }

    /// What to run on a host, in a network.
    fn program(
        &self,
        plane: &ControlPlane,
        record: &Record,
        image: &Image,
        host: Host<'_>,
        network: Network,
    ) -> impl Future<Output = Outcome<Program>> + Send;

    /// The metrics to read off its lines.
    fn metrics(&self, _record: &Record) -> Outcome<MetricReader> {
        Ok(MetricReader::default())
    }

    /// The run itself: the programs, followed to their end.
    fn run(
        &self,
        plane: &ControlPlane,
        record: &Record,
        hosts: &Hosts,
        metrics: &mut MetricReader,
        signal: &mut watch::Receiver<Signal>,
    ) -> impl Future<Output = Outcome<Ran>> + Send {
        async { programs::run(plane, record, self, hosts, metrics, signal).await.map(Ran::Ended) }
    }

    /// Stores the results of a program that ended well.
    fn store(
        &self,
        plane: &ControlPlane,
        record: &Record,
        hosts: &Hosts,
    ) -> impl Future<Output = Outcome<Ending>> + Send;

    /// The ending of a job that was stopped or ran out of time, with what is kept of its results.
    fn stopped(
        &self,
        plane: &ControlPlane,
        record: &Record,
        hosts: &Hosts,
        end: End,
    ) -> impl Future<Output = Outcome<Ending>> + Send;

    /// The ending of a program that failed.
    fn failed(hosts: &Hosts, exit: Exit) -> Ending;

    /// Notes a moment in the record.
    fn note(record: &mut Record, moment: Moment, metrics: &MetricReader, now: i64) -> Outcome<()>;

    /// Changes the status of the record, legally.
    fn enter(record: &mut Record, status: JobStatus, end: Option<End>, now: i64) -> Outcome<()>;
}

/// The status in a job's record.
pub fn status(record: &Record) -> Outcome<JobStatus> {
    JobStatus::parse(&record.status)
        .ok_or_else(|| Failure::internal(format!("{}: unknown status {}", record.key, record.status)))
}

/// Sets the status of a job's record, or refuses an illegal change.
pub fn set_status(record: &mut Record, next: JobStatus) -> Outcome<()> {
    let from = status(record)?;
    if !from.may_become(next) {
        return Err(Failure::internal(format!("{}: {from} may not become {next}", record.key)));
    }
    record.status = next.as_str().to_owned();
    Ok(())
}

/// Starts the workflow of a job that was just accepted.
pub fn start<J: Job>(plane: &ControlPlane, key: Key) {
    spawn::<J>(plane, key, STAGE.to_owned());
}

/// Goes on with a job that was open when an earlier server process ended.
pub async fn resume<J: Job>(plane: &ControlPlane, key: Key, step: String) {
    if step == RUN {
        reconcile::kill_leftovers(&plane.work_folder(&key));
    }
    let record = plane.store().get(&key).await.ok().flatten();
    let again = J::REPEATABLE || record.is_some_and(|record| J::is_done_again(&record));
    if step == RUN && again {
        spawn::<J>(plane, key, STAGE.to_owned());
    } else if step == RUN {
        end::<J>(plane, &key, Ending::failed(reconcile::INTERRUPTED)).await;
    } else {
        spawn::<J>(plane, key, step);
    }
}

/// Asks a job to end. One that is being stopped already goes on being stopped.
pub async fn stop<J: Job>(plane: &ControlPlane, key: &Key) -> Outcome<()> {
    let now = plane.now();
    plane
        .store()
        .update(key, &WorkflowChange::Keep, |record| {
            let status = status(record)?;
            if status == JobStatus::Stopping {
                return Ok(());
            }
            if status.is_terminal() {
                return Err(Failure::new(
                    FailureKind::WrongState(key.kind),
                    format!(
                        "The request was rejected because the {} is in status {status}.",
                        key.kind.noun()
                    ),
                ));
            }
            J::enter(record, JobStatus::Stopping, None, now)
        })
        .await
        .map_err(failure::of_metastore)??;
    plane.shared.live.stop(key);
    Ok(())
}

/// Deletes a job that is over; its log and what it stored stay.
pub async fn delete(plane: &ControlPlane, key: &Key) -> Outcome<()> {
    let over = |record: &Record| {
        let status = status(record)?;
        if status.is_terminal() {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::InUse(key.kind),
            format!(
                "The request was rejected because the {} {} is in status {status}. Stop it, or wait for its end.",
                key.kind.noun(),
                key.name
            ),
        ))
    };
    let record = plane.store().get(key).await.map_err(failure::of_metastore)?;
    record.as_ref().map_or(Ok(()), over)?;
    // A job that is over may still be clearing its folder, which the next of that name will use.
    plane.shared.live.left(key).await;
    match plane.store().delete_if(key, over).await {
        Ok(deleted) => deleted.map(drop),
        Err(MetastoreError::NotFound(_)) => Err(not_found(&plane.scope(&key.region), key.kind, &key.name)),
        Err(error) => Err(failure::of_metastore(error)),
    }
}

fn spawn<J: Job>(plane: &ControlPlane, key: Key, step: String) {
    let mut signal = plane.shared.live.enter(&key);
    let plane = plane.clone();
    plane.shared.live.tasks.clone().spawn(async move {
        let ending = match drive::<J>(&plane, &key, &step, &mut signal).await {
            Ok(ending) => ending,
            Err(Failure { cause: Some(cause), message, .. }) => {
                tracing::error!(job = %key, cause, "the workflow failed");
                Some(Ending::failed(&format!("InternalServerError: {message}")))
            }
            Err(failure) => Some(Ending::failed(&format!("ClientError: {}", failure.message))),
        };
        if let Some(ending) = ending {
            end::<J>(&plane, &key, ending).await;
        }
        plane.shared.live.leave(&key);
    });
}

/// Carries a job from `step` to its ending; `None` leaves it open for the next server process.
async fn drive<J: Job>(
    plane: &ControlPlane,
    key: &Key,
    step: &str,
    signal: &mut watch::Receiver<Signal>,
) -> Outcome<Option<Ending>> {
    let record = plane.store().get(key).await.map_err(failure::of_metastore)?;
    let record = record.ok_or_else(|| Failure::internal(format!("{key}: no record")))?;
    let job = J::parameters(&record)?;
    let hosts = Hosts::new(&plane.work_folder(key), job.host_count());
    if step == STORE {
        return job.store(plane, &record, &hosts).await.map(Some);
    }
    let stopped = |told| (told == Signal::Stop).then(|| Ending::plain(End::Stopped));
    if status(&record)? == JobStatus::Stopping {
        return Ok(stopped(Signal::Stop));
    }
    let limits = TimeLimits::of(&record);
    let expired = |limit| Ok(Some(Ending::plain(End::Expired(limit))));
    let turn = plane.shared.live.turns.clone();
    let _turn = tokio::select! {
        turn = turn.acquire_owned() => turn.map_err(Failure::internal)?,
        told = told_to_end(signal) => return Ok(stopped(told)),
        limit = limits.pending(plane) => return expired(limit),
    };
    let mut metrics = MetricReader::default();
    note::<J>(plane, key, Moment::Staging, &metrics, WorkflowChange::Keep).await?;
    reconcile::clear_folder(&plane.work_folder(key))?;
    let staged = tokio::select! {
        staged = job.stage(plane, &record, &hosts) => staged?,
        told = told_to_end(signal) => return Ok(stopped(told)),
        limit = limits.overdue(plane) => return expired(limit),
    };
    if let Some(ending) = staged {
        return Ok(Some(ending));
    }
    // What was laid out now is what the job reads, whatever lies at its place later.
    let inputs = plane.noted_inputs(&record).await;
    note_with::<J>(plane, key, Moment::Running, &metrics, WorkflowChange::Step(RUN.into()), |record| {
        record.document[tracking::INPUTS] = inputs;
    })
    .await?;
    let ran = job.run(plane, &record, &hosts, &mut metrics, signal).await?;
    let again = J::REPEATABLE || J::is_done_again(&record);
    if again && matches!(ran, Ran::Ended(Ended::ShutDown)) {
        return Ok(None);
    }
    note::<J>(plane, key, Moment::Ran, &metrics, WorkflowChange::Keep).await?;
    let ended = match ran {
        Ran::Over(ending) => return Ok(Some(ending)),
        Ran::Ended(ended) => ended,
    };
    Ok(Some(match ended {
        Ended::Exited(Exit::Code(0)) => {
            note::<J>(plane, key, Moment::Storing, &metrics, WorkflowChange::Step(STORE.into())).await?;
            job.store(plane, &record, &hosts).await?
        }
        Ended::Exited(exit) => J::failed(&hosts, exit),
        Ended::ShutDown => Ending::failed(reconcile::INTERRUPTED),
        Ended::Stopped => job.stopped(plane, &record, &hosts, End::Stopped).await?,
        Ended::Expired(limit) => job.stopped(plane, &record, &hosts, End::Expired(limit)).await?,
    }))
}

async fn note<J: Job>(
    plane: &ControlPlane,
    key: &Key,
    moment: Moment,
    metrics: &MetricReader,
    change: WorkflowChange,
) -> Outcome<()> {
    note_with::<J>(plane, key, moment, metrics, change, |_| {}).await
}

async fn note_with<J: Job>(
    plane: &ControlPlane,
    key: &Key,
    moment: Moment,
    metrics: &MetricReader,
    change: WorkflowChange,
    also: impl FnOnce(&mut Record),
) -> Outcome<()> {
    let now = plane.now();
    plane
        .store()
        .update(key, &change, |record| {
            also(record);
            J::note(record, moment, metrics, now)
        })
        .await
        .map_err(failure::of_metastore)?
}

/// What a job made and what its inputs are a part of. A job ends without its lineage rather than not
/// at all.
async fn lineage_of(
    plane: &ControlPlane,
    key: &Key,
    members: &Map<String, Value>,
) -> (Vec<tracking::Noted>, Vec<Write>) {
    let Ok(Some(mut record)) = plane.store().get(key).await else { return Default::default() };
    if let Some(document) = record.document.as_object_mut() {
        document.extend(members.clone());
    }
    let made = plane.noted_outputs(&record.document).await;
    let derived = plane.derived_inputs(&record).await.unwrap_or_else(|failure| {
        tracing::warn!(job = %key, cause = failure.cause.as_deref(), "the lineage of its inputs is incomplete");
        Vec::new()
    });
    (made, derived)
}

/// Writes the ending and clears the working folder.
async fn end<J: Job>(plane: &ControlPlane, key: &Key, ending: Ending) {
    let now = plane.now();
    let Ending { end, members } = ending;
    let (made, derived) = lineage_of(plane, key, &members).await;
    let written = plane
        .store()
        .update_with(key, &WorkflowChange::End, |record| {
            J::enter(record, end.status(), Some(end), now)?;
            if let Some(document) = record.document.as_object_mut() {
                document.extend(members);
            }
            let mut writes = tracking::ended(plane, record, &made);
            writes.extend(derived);
            Outcome::Ok(((), writes))
        })
        .await
        .map_err(failure::of_metastore)
        .and_then(|outcome| outcome);
    match written {
        Ok(()) => {
            tracing::info!(job = %key, status = %end.status(), "job ended");
            plane.shared.live.changed();
            if let Err(failure) = reconcile::clear_folder(&plane.work_folder(key)) {
                tracing::warn!(job = %key, cause = failure.cause.as_deref(), "the working folder stays behind");
            }
        }
        Err(failure) => {
            tracing::error!(job = %key, cause = failure.cause.as_deref(), "the ending was not written; it is retried at the next start");
        }
    }
}
