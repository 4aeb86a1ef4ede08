//! Processing jobs: accepted, carried out by a workflow, described from their record.

mod create;
mod workflow;

use sagebrush_metastore::Order;
use sagebrush_types::{Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::pick;
use crate::page::ListShape;
use crate::search::shown;
use crate::workflow::job;
use crate::{ControlPlane, request};

pub use create::CreateProcessingJob;

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
        Ok(shown(&self.find(scope, Resource::ProcessingJob, &name.processing_job_name).await?.document))
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

    /// DeleteProcessingJob: the record and its tags. Log and outputs stay, and the name is free.
    ///
    /// # Errors
    /// `NotFound`; `InUse` while the job is not over.
    pub async fn delete_processing_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: ProcessingJobName = request::decode("DeleteProcessingJob", document)?;
        let key = self.find(scope, Resource::ProcessingJob, &name.processing_job_name).await?.key;
        job::delete(self, &key).await?;
        Ok(json!({}))
    }

    /// StopProcessingJob.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` when the job is over.
    pub async fn stop_processing_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: ProcessingJobName = request::decode("StopProcessingJob", document)?;
        let key = self.find(scope, Resource::ProcessingJob, &name.processing_job_name).await?.key;
        job::stop::<CreateProcessingJob>(self, &key).await?;
        Ok(json!({}))
    }
}
