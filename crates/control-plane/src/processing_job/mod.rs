//! Processing jobs: accepted, carried out by a workflow, described from their record.

mod create;
mod state;
mod workflow;

use sagebrush_metastore::{Order, WorkflowChange};
use sagebrush_types::{Failure, FailureKind, Outcome, ProcessingJobStatus, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::pick;
use crate::page::ListShape;
use crate::{ControlPlane, failure, request};

pub use workflow::resume;

/// CloudWatch Logs group of processing jobs.
pub const LOG_GROUP: &str = "/aws/sagemaker/ProcessingJobs";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ProcessingJobName {
    processing_job_name: String,
}

impl ControlPlane {
    /// DescribeProcessingJob.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_processing_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: ProcessingJobName = request::decode("DescribeProcessingJob", document)?;
        Ok(self.find(scope, Resource::ProcessingJob, &name.processing_job_name).await?.document)
    }

    /// ListProcessingJobs.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_processing_jobs(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let shape = ListShape {
            operation: "ListProcessingJobs",
            kind: Resource::ProcessingJob,
            summaries: "ProcessingJobSummaries",
            default_order: Order::Descending,
            summary: |document| {
                pick(
                    document,
                    &[
                        "ProcessingJobName",
                        "ProcessingJobArn",
                        "CreationTime",
                        "ProcessingEndTime",
                        "LastModifiedTime",
                        "ProcessingJobStatus",
                        "FailureReason",
                        "ExitMessage",
                    ],
                )
            },
        };
        self.list(scope, document, &shape).await
    }

    /// StopProcessingJob.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` when the job is over.
    pub async fn stop_processing_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: ProcessingJobName = request::decode("StopProcessingJob", document)?;
        let key = self.find(scope, Resource::ProcessingJob, &name.processing_job_name).await?.key;
        let now = self.now();
        self.store()
            .update(&key, &WorkflowChange::Keep, |record| {
                let status = state::status(record)?;
                match status {
                    ProcessingJobStatus::Stopping => Ok(()),
                    _ if status.is_terminal() => Err(Failure::new(
                        FailureKind::WrongState(Resource::ProcessingJob),
                        format!("The request was rejected because the processing job is in status {status}."),
                    )),
                    _ => state::enter(record, ProcessingJobStatus::Stopping, now),
                }
            })
            .await
            .map_err(failure::of_metastore)??;
        self.shared.live.stop(&key);
        Ok(json!({}))
    }
}
