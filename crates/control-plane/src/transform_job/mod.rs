//! Batch transform jobs: every object under a prefix is sent to model servers of the job's own, and
//! the answers are stored as objects.
//!
//! Promises: an output object is stored only when all of its input was answered; a job is Completed
//! only when that holds for every object; memory does not depend on the size of objects. A job that
//! the server's end cut off is done again from its beginning.

mod create;
mod input;
mod object;
mod path;
mod processing;
mod records;
mod servers;
mod workflow;

use sagebrush_metastore::Order;
use sagebrush_types::{Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::pick;
use crate::page::ListShape;
use crate::workflow::job;
use crate::{ControlPlane, request};

pub use create::CreateTransformJob;

/// CloudWatch Logs group of transform jobs.
pub const LOG_GROUP: &str = "/aws/sagemaker/TransformJobs";

/// The member of a job's record that keeps what serves its model as it was when the job was accepted.
/// It is for the workflow and, like every member with such a name, not shown.
const CONTAINER: &str = "_Container";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TransformJobName {
    transform_job_name: String,
}

impl ControlPlane {
    /// DescribeTransformJob.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_transform_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: TransformJobName = request::decode("DescribeTransformJob", document)?;
        let mut document = self.find(scope, Resource::TransformJob, &name.transform_job_name).await?.document;
        if let Some(members) = document.as_object_mut() {
            // AWS shows the time of the last change in lists alone.
            members.retain(|name, _| !name.starts_with('_') && name != "LastModifiedTime");
        }
        Ok(document)
    }

    /// ListTransformJobs.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_transform_jobs(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let shape = ListShape {
            operation: "ListTransformJobs",
            kind: Resource::TransformJob,
            summaries: "TransformJobSummaries",
            default_order: Order::Descending,
            summary: |document| {
                pick(
                    document,
                    &[
                        "TransformJobName",
                        "TransformJobArn",
                        "CreationTime",
                        "TransformEndTime",
                        "LastModifiedTime",
                        "TransformJobStatus",
                        "FailureReason",
                    ],
                )
            },
        };
        self.list(scope, document, &shape).await
    }

    /// StopTransformJob. Nothing of the job's output is stored.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` when the job is over.
    pub async fn stop_transform_job(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let name: TransformJobName = request::decode("StopTransformJob", document)?;
        let key = self.find(scope, Resource::TransformJob, &name.transform_job_name).await?.key;
        job::stop::<CreateTransformJob>(self, &key).await?;
        Ok(json!({}))
    }
}
