//! The workflow of a tuning job: rounds of looking at its training jobs, deciding, writing the decision
//! down, and only then carrying it out. A server that was killed anywhere goes on with the next round.

use std::collections::BTreeMap;
use std::time::Duration;

use sagebrush_metastore::{Key, MetricSeries, Record, WorkflowChange};
use sagebrush_tuning::limits::CURVE_POINTS;
use sagebrush_types::limits::JOBS_AT_ONCE;
use sagebrush_types::{Failure, FailureKind, JobStatus, Outcome, Resource, Scope};
use serde_json::{Value, json};

use super::create::shown_definition;
use super::state::{Child, Closing, MEMBER, State};
use super::step::{self, Seen};
use super::{definition, report};
use crate::document::{milliseconds, seconds};
use crate::training_job::{CreateTrainingJob, LOG_GROUP};
use crate::workflow::{Signal, job, told_to_end};
use crate::{ControlPlane, failure};

/// Shortest time between two rounds: training jobs write their metrics in batches of this length.
const PAUSE: Duration = Duration::from_millis(100);
/// Time to the next round when nothing happens, so that a change nobody announced is found.
const LONGEST: Duration = Duration::from_secs(30);
/// Time to the next round after one that could not be carried out.
const AFTER_TROUBLE: Duration = Duration::from_secs(5);

/// How a round ended.
enum Round {
    /// The tuning job is over.
    Over,
    /// It goes on when something changes, or after this long.
    Wait(Duration),
}

/// Starts the workflow of a tuning job that was accepted or is open after a restart.
pub fn start(plane: &ControlPlane, key: Key) {
    let mut signal = plane.shared.live.enter(&key);
    let plane = plane.clone();
    plane.shared.live.tasks.clone().spawn(async move {
        let mut changes = plane.shared.live.changes();
        loop {
            changes.mark_unchanged();
            let wait = match round(&plane, &key).await {
                Ok(Round::Over) => break,
                Ok(Round::Wait(wait)) => wait,
                Err(failure) => {
                    let cause = failure.cause.unwrap_or(failure.message);
                    tracing::warn!(job = %key, cause, "a step of the tuning job was not carried out; it is tried again");
                    AFTER_TROUBLE
                }
            };
            let shut_down = tokio::select! {
                told = told_to_end(&mut signal) => told == Signal::ShutDown,
                changed = changes.changed() => changed.is_err(),
                () = tokio::time::sleep(wait) => false,
            };
            if shut_down {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        plane.shared.live.leave(&key);
    });
}

async fn round(plane: &ControlPlane, key: &Key) -> Outcome<Round> {
    let Some(record) = plane.store().get(key).await.map_err(failure::of_metastore)? else {
        return Ok(Round::Over);
    };
    if job::status(&record)?.is_terminal() {
        return Ok(Round::Over);
    }
    let mut state = State::of(&record)?;
    plane
        .shared
        .live
        .expect_jobs(&record.arn, state.limits.parallel.min(JOBS_AT_ONCE).min(state.limits.jobs));
    let mut stops = look(plane, key, &mut state).await?;
    let now = plane.now();
    let stopping = record.status == JobStatus::Stopping.as_str();
    step::close(&mut state, stopping, now);
    let name = key.name.clone();
    // More at once than run at once would only be decided on with less known.
    let parallel = state.limits.parallel.min(JOBS_AT_ONCE);
    state = tokio::task::spawn_blocking(move || {
        step::extend(&mut state, &name, parallel, now)?;
        Outcome::Ok(state)
    })
    .await
    .map_err(Failure::internal)??;
    step::close(&mut state, stopping, now);
    step::withdraw(&mut state)?;
    if !write(plane, key, &record, &state).await? {
        // A stop came meanwhile: decide again.
        return Ok(Round::Wait(Duration::ZERO));
    }
    if state.open().next().is_none() && state.closing.is_some() {
        end(plane, key, &record, &state).await?;
        return Ok(Round::Over);
    }
    if !matches!(state.closing, None | Some(Closing::Exhausted)) {
        stops = state.open().map(|child| child.name.clone()).collect();
    }
    let created = create(plane, &record, &state).await?;
    for stop in stops {
        stop_training_job(plane, key, &stop).await?;
    }
    let deadline =
        state.limits.deadline.map(|deadline| Duration::from_millis((deadline - now).max(0) as u64));
    let wait = if created { LONGEST } else { AFTER_TROUBLE };
    Ok(Round::Wait(deadline.map_or(wait, |left| left.min(wait))))
}

/// Takes over what became of the open training jobs; returns those to stop for their learning curves.
async fn look(plane: &ControlPlane, key: &Key, state: &mut State) -> Outcome<Vec<String>> {
    let mut stops = Vec::new();
    for index in 0..state.children.len() {
        if state.children[index].is_over() {
            continue;
        }
        let child = training_key(key, &state.children[index].name);
        let seen = match plane.store().get(&child).await.map_err(failure::of_metastore)? {
            None => Seen::Nothing,
            Some(record) => {
                let metric = &state.searches[state.children[index].search].measured.metric;
                let curve = curve(plane, &record, metric).await?;
                Seen::Job(Box::new(record), curve)
            }
        };
        if step::observe(state, index, seen)? {
            tracing::info!(job = %child, "stopped early");
            stops.push(child.name);
        }
    }
    Ok(stops)
}

/// The objective of a training job after each epoch so far, since its program was started.
async fn curve(plane: &ControlPlane, record: &Record, metric: &str) -> Outcome<Option<Vec<f64>>> {
    let Some(started) = milliseconds(&record.document["TrainingStartTime"]) else { return Ok(None) };
    let series = MetricSeries {
        namespace: LOG_GROUP.into(),
        metric: metric.to_owned(),
        dimensions: BTreeMap::from([("TrainingJobName".to_owned(), record.key.name.clone())]),
    };
    let points = plane
        .store()
        .metric_points(&record.key.region, &series, started..i64::MAX, CURVE_POINTS)
        .await
        .map_err(failure::of_metastore)?;
    Ok(Some(points.iter().map(|point| point.value).collect()))
}

fn training_key(key: &Key, name: &str) -> Key {
    Key { kind: Resource::TrainingJob, region: key.region.clone(), name: name.to_owned() }
}

fn scope(plane: &ControlPlane, key: &Key) -> Scope {
    Scope { account: plane.shared.settings.account.clone(), region: key.region.clone() }
}

/// Writes a state down, unless nothing changed; `false` when the record's status changed meanwhile.
async fn write(plane: &ControlPlane, key: &Key, before: &Record, state: &State) -> Outcome<bool> {
    let kept = serde_json::to_value(state).map_err(Failure::internal)?;
    if before.document[MEMBER] == kept {
        return Ok(true);
    }
    let now = plane.now();
    let scope = scope(plane, key);
    let update = |record: &mut Record| {
        if record.status != before.status {
            return Err(());
        }
        publish(record, state, &scope, now);
        record.document[MEMBER] = kept;
        Ok(())
    };
    let written =
        plane.store().update(key, &WorkflowChange::Keep, update).await.map_err(failure::of_metastore)?;
    Ok(written.is_ok())
}

/// Brings what Describe shows up to the state.
fn publish(record: &mut Record, state: &State, scope: &Scope, now: i64) {
    let (jobs, objectives) = state.counters();
    let summary = |child: &Child| {
        let arn = scope.arn(Resource::TrainingJob, &child.name);
        state.summary(&record.key.name, &arn, child)
    };
    let best = state.best().map(summary);
    let document = &mut record.document;
    document["TrainingJobStatusCounters"] = jobs;
    document["ObjectiveStatusCounters"] = objectives;
    document["LastModifiedTime"] = seconds(now);
    if let Some(best) = best {
        let direction = state.searches.first().map(|search| search.measured.direction);
        let value = best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"].as_f64();
        let overall = match (&state.inherited, direction, value) {
            (Some((summary, earlier)), Some(direction), Some(value))
                if direction.lower(*earlier) < direction.lower(value) =>
            {
                summary.clone()
            }
            _ => best.clone(),
        };
        document["BestTrainingJob"] = best;
        if document.get("WarmStartConfig").is_some() {
            document["OverallBestTrainingJob"] = overall;
        }
    }
    let idle = state.searches.iter().map(|search| sagebrush_tuning::not_improving(&search.tuner)).min();
    document["TuningJobCompletionDetails"] =
        json!({"NumberOfTrainingJobsObjectiveNotImproving": idle.unwrap_or_default()});
    if let Some(converged) = state.converged {
        document["TuningJobCompletionDetails"]["ConvergenceDetectedTime"] = seconds(converged);
    }
    let runtime: i64 = state
        .children
        .iter()
        .filter_map(|child| Some(child.times.1? - child.times.0?))
        .map(|milliseconds| (milliseconds.max(0) + 500) / 1000)
        .sum();
    document["ConsumedResources"] = json!({"RuntimeInSeconds": runtime});
}

/// Creates the training jobs that were decided on and are not there; `false` when some could not be
/// created now.
async fn create(plane: &ControlPlane, record: &Record, state: &State) -> Outcome<bool> {
    let mut all = true;
    let scope = scope(plane, &record.key);
    for child in state.children.iter().filter(|child| child.status.is_none()) {
        let search = &state.searches[child.search];
        let Some(trial) = search.tuner.own().get(child.trial) else { continue };
        let shown = shown_definition(&record.document, child.search);
        let request = definition::training_job(
            shown,
            &child.name,
            search.tuner.space(),
            &trial.setting,
            &record.document["_Tags"],
        );
        let origin = definition::origin(shown, &record.arn);
        let accepted = plane.accept_training_job(&scope, &request, Some(origin)).await;
        match accepted {
            Ok(_) => {}
            // It was created before a restart.
            Err(Failure { kind: FailureKind::AlreadyExists(_), .. }) => {}
            Err(failure) if failure.is_retryable() || failure.kind == FailureKind::LimitExceeded => {
                all = false
            }
            Err(failure) => refuse(plane, &record.key, &child.name, failure.message).await?,
        }
    }
    if state.children.iter().any(|child| child.status.is_none()) && all {
        // They are there now, and the next round sees them.
        plane.shared.live.changed();
    }
    Ok(all)
}

/// Notes that a training job was refused.
async fn refuse(plane: &ControlPlane, key: &Key, name: &str, message: String) -> Outcome<()> {
    plane
        .store()
        .update(key, &WorkflowChange::Keep, |record| {
            let mut state = State::of(record)?;
            if let Some(index) = state.children.iter().position(|child| child.name == name) {
                step::observe(&mut state, index, Seen::Refused(format!("ClientError: {message}")))?;
            }
            record.document[MEMBER] = serde_json::to_value(&state).map_err(Failure::internal)?;
            Outcome::Ok(())
        })
        .await
        .map_err(failure::of_metastore)??;
    plane.shared.live.changed();
    Ok(())
}

async fn stop_training_job(plane: &ControlPlane, key: &Key, name: &str) -> Outcome<()> {
    match job::stop::<CreateTrainingJob>(plane, &training_key(key, name)).await {
        // It ended by itself meanwhile.
        Err(Failure { kind: FailureKind::WrongState(_), .. }) => Ok(()),
        other => other,
    }
}

async fn end(plane: &ControlPlane, key: &Key, record: &Record, state: &State) -> Outcome<()> {
    let (status, reason) = step::ending(state);
    let mut last = record.clone();
    publish(&mut last, state, &scope(plane, key), plane.now());
    last.document["HyperParameterTuningJobStatus"] = json!(status.as_str());
    report::store(plane, &scope(plane, key), &last, state).await;
    let now = plane.now();
    let written = plane
        .store()
        .update(key, &WorkflowChange::End, |record| {
            // A user's stop that came after the last training job still counts as one.
            let status =
                if record.status == JobStatus::Stopping.as_str() { JobStatus::Stopped } else { status };
            job::set_status(record, status)?;
            record.document["HyperParameterTuningJobStatus"] = json!(status.as_str());
            record.document["HyperParameterTuningEndTime"] = seconds(now);
            record.document["LastModifiedTime"] = seconds(now);
            if let Some(reason) = reason.filter(|_| status == JobStatus::Failed) {
                record.document["FailureReason"] = Value::from(reason);
            }
            Outcome::Ok(())
        })
        .await
        .map_err(failure::of_metastore)?;
    written?;
    plane.shared.live.forget_jobs(&record.arn);
    tracing::info!(job = %key, %status, "tuning job ended");
    Ok(())
}
