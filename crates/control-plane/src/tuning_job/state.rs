//! What the workflow of a tuning job knows, inside its record: the tuners, and every training job that
//! was decided on. It is written before anything is done, so that a killed server goes on exactly.

use sagebrush_metastore::Record;
use sagebrush_tuning::{Completion, Outcome as Result, TrialId, Tuner};
use sagebrush_types::{Failure, JobStatus, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::definition::{Measured, tuned};
use crate::document::seconds;

/// The member of the record that holds the state; Describe does not show it.
pub const MEMBER: &str = "_State";

/// One definition at work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Search {
    /// The definition's name.
    pub name: Option<String>,
    /// What is measured.
    pub measured: Measured,
    /// The search over its space.
    pub tuner: Tuner,
    /// Whether every setting was tried.
    pub exhausted: bool,
}

/// A training job of the tuning job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Child {
    /// Its name.
    pub name: String,
    /// Which definition it is of.
    pub search: usize,
    /// Its trial there.
    pub trial: TrialId,
    /// When it was decided on, milliseconds since the Unix epoch.
    pub created: i64,
    /// Its status as far as the workflow has seen it; `None` before the job is there.
    pub status: Option<JobStatus>,
    /// Start and end of its program, milliseconds since the Unix epoch.
    pub times: (Option<i64>, Option<i64>),
    /// Why it failed.
    pub failure: Option<String>,
    /// Whether the tuning job stopped it for its learning curve.
    #[serde(default)]
    pub stopped_early: bool,
}

/// Why no further training job is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Closing {
    /// Its number of jobs is reached, or nothing is left to try.
    Exhausted,
    /// A completion criterion is met; what still runs is stopped.
    Criterion,
    /// Its time is over; what still runs is stopped.
    Time,
    /// The user stopped it.
    Stopped,
    /// Nothing succeeds.
    Hopeless,
}

/// The limits of the tuning job.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Training jobs in all.
    pub jobs: usize,
    /// Training jobs at once.
    pub parallel: usize,
    /// Milliseconds since the Unix epoch at which its time is over.
    pub deadline: Option<i64>,
    /// When it is over before.
    pub completion: Completion,
    /// Whether the median rule stops training jobs.
    pub early_stopping: bool,
}

/// The whole state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// Its limits.
    pub limits: Limits,
    /// Its definitions.
    pub searches: Vec<Search>,
    /// Its training jobs, oldest first.
    pub children: Vec<Child>,
    /// Why it is coming to its end.
    pub closing: Option<Closing>,
    /// When convergence was seen first.
    pub converged: Option<i64>,
    /// The best training job of its parents: its summary and objective.
    pub inherited: Option<(Value, f64)>,
}

impl State {
    /// The state inside a record.
    pub fn of(record: &Record) -> Outcome<Self> {
        serde_json::from_value(record.document[MEMBER].clone()).map_err(Failure::internal)
    }

    /// What a training job's trial came to.
    pub fn result(&self, child: &Child) -> Result {
        let trials = self.searches.get(child.search).map(|search| search.tuner.own());
        trials.and_then(|own| own.get(child.trial)).map_or(Result::Pending, |trial| trial.outcome)
    }

    /// The best training job.
    pub fn best(&self) -> Option<&Child> {
        let direction = self.searches.first()?.measured.direction;
        let measured = self.children.iter().filter_map(|child| match self.result(child) {
            Result::Measured(value) => Some((child, direction.lower(value))),
            Result::Pending | Result::Failed => None,
        });
        measured.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(child, _)| child)
    }

    /// A training job as the tuning job's operations show it.
    pub fn summary(&self, tuning_job: &str, arn: &str, child: &Child) -> Value {
        let mut summary = json!({
            "TrainingJobName": child.name,
            "TrainingJobArn": arn,
            "TuningJobName": tuning_job,
            "CreationTime": seconds(child.created),
            "TrainingJobStatus": child.status.unwrap_or(JobStatus::InProgress).as_str(),
        });
        for (member, time) in [("TrainingStartTime", child.times.0), ("TrainingEndTime", child.times.1)] {
            if let Some(time) = time {
                summary[member] = seconds(time);
            }
        }
        if let Some(reason) = &child.failure {
            summary["FailureReason"] = json!(reason);
        }
        let Some(search) = self.searches.get(child.search) else { return summary };
        if let Some(name) = &search.name {
            summary["TrainingJobDefinitionName"] = json!(name);
        }
        if let Some(trial) = search.tuner.own().get(child.trial) {
            summary["TunedHyperParameters"] = tuned(search.tuner.space(), &trial.setting).into();
        }
        let result = self.result(child);
        if let Result::Measured(value) = result {
            summary["FinalHyperParameterTuningJobObjectiveMetric"] = json!({
                "Type": if search.measured.direction == sagebrush_tuning::Direction::Maximize { "Maximize" } else { "Minimize" },
                "MetricName": search.measured.metric,
                "Value": value,
            });
        }
        summary["ObjectiveStatus"] = json!(objective_status(result));
        summary
    }

    /// Counters of the training jobs' statuses and of their objectives, as Describe shows them.
    pub fn counters(&self) -> (Value, Value) {
        let of = |wanted: &[JobStatus]| {
            let status = |child: &&Child| wanted.contains(&child.status.unwrap_or(JobStatus::InProgress));
            self.children.iter().filter(status).count()
        };
        let failed = |retryable: bool| {
            let ours = |child: &&Child| child.failure.as_deref().is_some_and(is_retryable) == retryable;
            let failed = self.children.iter().filter(|child| child.status == Some(JobStatus::Failed));
            failed.filter(ours).count()
        };
        let objective = |wanted: &str| {
            self.children.iter().filter(|child| objective_status(self.result(child)) == wanted).count()
        };
        let jobs = json!({
            "Completed": of(&[JobStatus::Completed]),
            "InProgress": of(&[JobStatus::InProgress, JobStatus::Stopping]),
            "RetryableError": failed(true),
            "NonRetryableError": failed(false),
            "Stopped": of(&[JobStatus::Stopped]),
        });
        let objectives = json!({
            "Succeeded": objective("Succeeded"),
            "Pending": objective("Pending"),
            "Failed": objective("Failed"),
        });
        (jobs, objectives)
    }

    /// Training jobs that are not over.
    pub fn open(&self) -> impl Iterator<Item = &Child> {
        self.children.iter().filter(|child| !child.is_over())
    }
}

impl Child {
    /// Whether the job has ended.
    pub fn is_over(&self) -> bool {
        self.status.is_some_and(JobStatus::is_terminal)
    }
}

/// Errors of the server's side may not come again.
fn is_retryable(reason: &str) -> bool {
    reason.starts_with("InternalServerError")
}

fn objective_status(result: Result) -> &'static str {
    match result {
        Result::Measured(_) => "Succeeded",
        Result::Pending => "Pending",
        Result::Failed => "Failed",
    }
}
