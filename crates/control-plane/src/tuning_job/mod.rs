//! Hyperparameter tuning jobs: accepted, carried out by a workflow over training jobs, described from
//! their record.
//!
//! Promises: every decision is on disk before it is carried out; a killed server goes on as if nothing
//! had happened (its training jobs are done again); training jobs are made by the function that users'
//! requests reach.

mod create;
mod definition;
mod listing;
mod ranges;
mod report;
mod request;
mod state;
mod step;
mod warm_start;
mod workflow;

use sagebrush_metastore::{Order, WorkflowChange};
use sagebrush_types::{Failure, FailureKind, JobStatus, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{pick, seconds};
use crate::page::ListShape;
use crate::workflow::job;
use crate::{ControlPlane, failure, request as decoding};

pub use report::{ReportFile, tuning_report};
pub use workflow::start as resume;

/// The one step of the workflow; what is to be done in it stands in the state.
const STEP: &str = "search";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TuningJobName {
    hyper_parameter_tuning_job_name: String,
}

/// A record's document without the members that are the server's own.
fn shown(document: &Value) -> Value {
    let members = document.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| !name.starts_with('_'))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

impl ControlPlane {
    /// DescribeHyperParameterTuningJob.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_hyper_parameter_tuning_job(
        &self,
        scope: &Scope,
        document: &Value,
    ) -> Outcome<Value> {
        let name: TuningJobName = decoding::decode("DescribeHyperParameterTuningJob", document)?;
        let name = &name.hyper_parameter_tuning_job_name;
        Ok(shown(&self.find(scope, Resource::HyperParameterTuningJob, name).await?.document))
    }

    /// ListHyperParameterTuningJobs.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_hyper_parameter_tuning_jobs(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let shape = ListShape {
            operation: "ListHyperParameterTuningJobs",
            kind: Resource::HyperParameterTuningJob,
            summaries: "HyperParameterTuningJobSummaries",
            default_order: Order::Descending,
            summary: |document| {
                let mut summary = pick(
                    document,
                    &[
                        "HyperParameterTuningJobName",
                        "HyperParameterTuningJobArn",
                        "HyperParameterTuningJobStatus",
                        "CreationTime",
                        "HyperParameterTuningEndTime",
                        "LastModifiedTime",
                        "TrainingJobStatusCounters",
                        "ObjectiveStatusCounters",
                    ],
                );
                let config = &document["HyperParameterTuningJobConfig"];
                summary["Strategy"] = config["Strategy"].clone();
                summary["ResourceLimits"] = config["ResourceLimits"].clone();
                summary
            },
        };
        self.list(scope, document, &shape).await
    }

    /// StopHyperParameterTuningJob: no further training job is started, and those that run are stopped.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` when the job is over.
    pub async fn stop_hyper_parameter_tuning_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: TuningJobName = decoding::decode("StopHyperParameterTuningJob", document)?;
        let kind = Resource::HyperParameterTuningJob;
        let key = self.find(scope, kind, &name.hyper_parameter_tuning_job_name).await?.key;
        let now = self.now();
        let asked = self
            .store()
            .update(&key, &WorkflowChange::Keep, |record| {
                let status = job::status(record)?;
                if status == JobStatus::Stopping {
                    return Ok(());
                }
                if status.is_terminal() {
                    return Err(wrong_state(status));
                }
                job::set_status(record, JobStatus::Stopping)?;
                record.document["HyperParameterTuningJobStatus"] = json!(JobStatus::Stopping.as_str());
                record.document["LastModifiedTime"] = seconds(now);
                Ok(())
            })
            .await
            .map_err(failure::of_metastore)?;
        asked?;
        self.shared.live.changed();
        Ok(json!({}))
    }

    /// DeleteHyperParameterTuningJob: the tuning job alone; its training jobs and artifacts stay.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` while the job is not over.
    pub async fn delete_hyper_parameter_tuning_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: TuningJobName = decoding::decode("DeleteHyperParameterTuningJob", document)?;
        let kind = Resource::HyperParameterTuningJob;
        let record = self.find(scope, kind, &name.hyper_parameter_tuning_job_name).await?;
        let status = job::status(&record)?;
        if !status.is_terminal() {
            return Err(wrong_state(status));
        }
        self.store().delete(&record.key).await.map_err(failure::of_metastore)?;
        Ok(json!({}))
    }
}

fn wrong_state(status: JobStatus) -> Failure {
    Failure::new(
        FailureKind::WrongState(Resource::HyperParameterTuningJob),
        format!("The request was rejected because the hyperparameter tuning job is in status {status}."),
    )
}
