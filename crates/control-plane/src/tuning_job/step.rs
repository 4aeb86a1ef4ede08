//! One step of a tuning job, as a function of its state and of what became of its training jobs.

use sagebrush_metastore::Record;
use sagebrush_tuning::{Outcome as Result, Reason, Verdict, converged, median_rule};
use sagebrush_types::{Failure, JobStatus, Outcome};
use serde_json::Value;

use super::state::{Child, Closing, State};
use crate::document::milliseconds;

/// Training jobs that may fail, with none succeeding, before a tuning job gives up: AWS's number.
const HOPELESS: usize = 5;
/// The reason of a tuning job that gave up; AWS's words.
pub const HOPELESS_REASON: &str = "No training job succeeded after 5 attempts. For additional details, please take a look at the training job failures by listing training jobs for the hyperparameter tuning job.";

/// What is known of a training job.
#[derive(Debug)]
pub enum Seen {
    /// Its record, and the points of its objective so far when somebody wants them.
    Job(Box<Record>, Option<Vec<f64>>),
    /// There is no record of it.
    Nothing,
    /// It was refused with this message.
    Refused(String),
}

/// Takes over what became of the n-th training job. Returns whether it should be stopped for its
/// learning curve.
pub fn observe(state: &mut State, index: usize, seen: Seen) -> Outcome<bool> {
    let child = &mut state.children[index];
    match seen {
        Seen::Nothing if child.status.is_none() => Ok(false),
        Seen::Nothing => fail(state, index, "The training job was deleted before it was over."),
        Seen::Refused(message) => fail(state, index, &message),
        Seen::Job(record, curve) => {
            let document = &record.document;
            let status = JobStatus::parse(&record.status)
                .ok_or_else(|| Failure::internal(format!("{}: status {}", record.key, record.status)))?;
            child.status = Some(status);
            child.times =
                (milliseconds(&document["TrainingStartTime"]), milliseconds(&document["TrainingEndTime"]));
            child.failure = document["FailureReason"].as_str().map(str::to_owned);
            let (search, trial) = (child.search, child.trial);
            let search = &mut state.searches[search];
            if let Some(curve) = curve {
                search.tuner.note_curve(trial, &curve).map_err(Failure::internal)?;
            }
            if status.is_terminal() {
                let objective = objective(document, &search.measured.metric);
                // A failed job's last value says nothing: it may be what it failed of.
                let objective = objective.filter(|_| status != JobStatus::Failed);
                let result = objective.map_or(Result::Failed, Result::Measured);
                search.tuner.tell(trial, result).map_err(Failure::internal)?;
                return Ok(false);
            }
            worth_stopping(state, index)
        }
    }
}

fn fail(state: &mut State, index: usize, reason: &str) -> Outcome<bool> {
    let child = &mut state.children[index];
    child.status = Some(JobStatus::Failed);
    child.failure = Some(reason.chars().take(sagebrush_types::limits::FAILURE_REASON_CHARS).collect());
    let (search, trial) = (child.search, child.trial);
    state.searches[search].tuner.tell(trial, Result::Failed).map_err(Failure::internal)?;
    Ok(false)
}

/// The last value of the objective in a training job's record.
fn objective(document: &Value, metric: &str) -> Option<f64> {
    let metrics = document["FinalMetricDataList"].as_array()?;
    metrics.iter().find(|entry| entry["MetricName"] == metric)?["Value"].as_f64()
}

fn worth_stopping(state: &mut State, index: usize) -> Outcome<bool> {
    let Child { search, trial, status, stopped_early, .. } = state.children[index];
    if stopped_early || status != Some(JobStatus::InProgress) {
        return Ok(false);
    }
    let tuner = &state.searches[search].tuner;
    let own = tuner.own();
    let mut verdict = tuner.judge(trial).map_err(Failure::internal)?;
    if state.limits.early_stopping
        && let Some(running) = own.get(trial)
        && median_rule(tuner.settings().direction, own, running) == Verdict::Stop
    {
        verdict = Verdict::Stop;
    }
    state.children[index].stopped_early = verdict == Verdict::Stop;
    Ok(verdict == Verdict::Stop)
}

/// Decides whether the tuning job is coming to its end.
pub fn close(state: &mut State, stopping: bool, now: i64) {
    if state.converged.is_none() && state.searches.iter().all(|search| converged(&search.tuner)) {
        state.converged = Some(now);
    }
    let closing = if stopping {
        Some(Closing::Stopped)
    } else if state.closing.is_some() {
        state.closing
    } else if state.limits.deadline.is_some_and(|deadline| now >= deadline) {
        Some(Closing::Time)
    } else if criterion_met(state) {
        Some(Closing::Criterion)
    } else if hopeless(state) {
        Some(Closing::Hopeless)
    } else {
        let spent = state.children.len() >= state.limits.jobs;
        let nothing_left = state.searches.iter().all(|search| search.exhausted);
        (spent || nothing_left).then_some(Closing::Exhausted)
    };
    // Time may run out while the last jobs run.
    let late =
        closing == Some(Closing::Exhausted) && state.limits.deadline.is_some_and(|deadline| now >= deadline);
    state.closing = if late { Some(Closing::Time) } else { closing };
}

fn criterion_met(state: &State) -> bool {
    let reasons: Vec<Option<Reason>> =
        state.searches.iter().map(|search| state.limits.completion.reached(&search.tuner)).collect();
    reasons.contains(&Some(Reason::Target)) || reasons.iter().all(Option::is_some)
}

fn hopeless(state: &State) -> bool {
    let over = state.children.iter().filter(|child| child.is_over());
    let results: Vec<Result> = over.map(|child| state.result(child)).collect();
    results.len() >= HOPELESS && results.iter().all(|result| *result == Result::Failed)
}

/// Decides on further training jobs, up to `parallel` at once. The names end in a random part, as AWS's
/// do, so that a tuning job of the same name as a deleted one does not meet its training jobs.
pub fn extend(state: &mut State, tuning_job: &str, parallel: usize, now: i64) -> Outcome<()> {
    while state.closing.is_none()
        && state.children.len() < state.limits.jobs
        && state.open().count() < parallel
    {
        let number = state.children.len();
        let count = state.searches.len();
        // Definitions take turns.
        let Some(index) =
            (0..count).map(|step| (number + step) % count).find(|index| !state.searches[*index].exhausted)
        else {
            return Ok(());
        };
        let search = &mut state.searches[index];
        match search.tuner.ask().map_err(Failure::internal)? {
            None => search.exhausted = true,
            Some((trial, _)) => state.children.push(Child {
                name: format!("{tuning_job}-{:03}-{}", number + 1, sagebrush_env::random_hex(4)),
                search: index,
                trial,
                created: now,
                status: None,
                times: (None, None),
                failure: None,
                stopped_early: false,
            }),
        }
    }
    Ok(())
}

/// Forgets training jobs that were decided on and not created, when none is to be started any more.
pub fn withdraw(state: &mut State) -> Outcome<()> {
    if !matches!(state.closing, None | Some(Closing::Exhausted)) {
        for child in state.children.iter().filter(|child| child.status.is_none()) {
            let tuner = &mut state.searches[child.search].tuner;
            tuner.tell(child.trial, Result::Failed).map_err(Failure::internal)?;
        }
        state.children.retain(|child| child.status.is_some());
    }
    Ok(())
}

/// How the tuning job ends: its status, and the reason of a failure.
pub fn ending(state: &State) -> (JobStatus, Option<&'static str>) {
    match state.closing {
        Some(Closing::Stopped | Closing::Time) => (JobStatus::Stopped, None),
        Some(Closing::Hopeless) => (JobStatus::Failed, Some(HOPELESS_REASON)),
        _ if state.best().is_some() => (JobStatus::Completed, None),
        _ => (
            JobStatus::Failed,
            Some(
                "All training jobs failed. For additional details, please take a look at the training job failures by listing training jobs for the hyperparameter tuning job.",
            ),
        ),
    }
}

#[cfg(test)]
mod tests;
