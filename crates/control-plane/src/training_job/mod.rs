//! Training jobs: accepted, carried out by a workflow, described from their record.

mod create;
mod state;
mod update;
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

pub use create::{CreateTrainingJob, Tuned};

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
        Ok(shown(&self.find(scope, Resource::TrainingJob, &name.training_job_name).await?.document))
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

    /// DeleteTrainingJob: the record and its tags. Log, metrics and artifact stay, and the name is free.
    ///
    /// # Errors
    /// `NotFound`; `InUse` while the job is not over.
    pub async fn delete_training_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: TrainingJobName = request::decode("DeleteTrainingJob", document)?;
        let key = self.find(scope, Resource::TrainingJob, &name.training_job_name).await?.key;
        job::delete(self, &key).await?;
        Ok(json!({}))
    }

    /// StopTrainingJob. A job that is over already is left as it is.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` when the job is over.
    pub async fn stop_training_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: TrainingJobName = request::decode("StopTrainingJob", document)?;
        let key = self.find(scope, Resource::TrainingJob, &name.training_job_name).await?.key;
        job::stop::<CreateTrainingJob>(self, &key).await?;
        Ok(json!({}))
    }
}
