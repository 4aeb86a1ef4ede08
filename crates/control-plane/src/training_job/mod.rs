//! Training jobs: accepted, carried out by a workflow, described from their record.

mod create;
mod state;
mod workflow;

use sagebrush_metastore::{Order, WorkflowChange};
use sagebrush_types::{
    Failure, FailureKind, Outcome, Resource, Scope, SecondaryStatus, TrainingJobStatus,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::pick;
use crate::page::ListShape;
use crate::{ControlPlane, failure, request};

pub use workflow::resume;

/// CloudWatch Logs group and metric namespace of training jobs.
pub const LOG_GROUP: &str = "/aws/sagemaker/TrainingJobs";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TrainingJobName {
    training_job_name: String,
}

impl ControlPlane {
    /// DescribeTrainingJob.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_training_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: TrainingJobName = request::decode("DescribeTrainingJob", document)?;
        Ok(self.find(scope, Resource::TrainingJob, &name.training_job_name).await?.document)
    }

    /// ListTrainingJobs.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_training_jobs(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let shape = ListShape {
            operation: "ListTrainingJobs",
            kind: Resource::TrainingJob,
            summaries: "TrainingJobSummaries",
            default_order: Order::Descending,
            summary: |document| {
                pick(
                    document,
                    &[
                        "TrainingJobName",
                        "TrainingJobArn",
                        "CreationTime",
                        "TrainingEndTime",
                        "LastModifiedTime",
                        "TrainingJobStatus",
                        "SecondaryStatus",
                    ],
                )
            },
        };
        self.list(scope, document, &shape).await
    }

    /// StopTrainingJob. A job that is over already is left as it is.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` when the job is over.
    pub async fn stop_training_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: TrainingJobName = request::decode("StopTrainingJob", document)?;
        let key = self.find(scope, Resource::TrainingJob, &name.training_job_name).await?.key;
        let now = self.now();
        self.store()
            .update(&key, &WorkflowChange::Keep, |record| {
                let status = state::status(record)?;
                match status {
                    TrainingJobStatus::Stopping => Ok(()),
                    _ if status.is_terminal() => Err(Failure::new(
                        FailureKind::WrongState(Resource::TrainingJob),
                        format!("The request was rejected because the training job is in status {status}."),
                    )),
                    _ => state::enter(record, TrainingJobStatus::Stopping, SecondaryStatus::Stopping, now),
                }
            })
            .await
            .map_err(failure::of_metastore)??;
        self.shared.live.stop(&key);
        Ok(json!({}))
    }
}
