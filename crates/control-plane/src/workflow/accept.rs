//! Accepting a job of any kind: its record, its tags, what it joins and the first step of its
//! workflow are on disk before its caller is answered, and its work begins after that.

use sagebrush_metastore::{Key, NewRecord};
use sagebrush_types::{JobStatus, Outcome, Scope};
use serde_json::Value;

use super::job::{self, Job};
use crate::request::{self, RequestTag};
use crate::{ControlPlane, failure, tracking};

/// Stores a job that `document` describes, created at `now` (milliseconds since the Unix epoch), and
/// starts its workflow; answers its ARN.
///
/// # Errors
/// `AlreadyExists`; `Internal` when it cannot be stored.
pub async fn accept<J: Job>(
    plane: &ControlPlane,
    scope: &Scope,
    key: Key,
    now: i64,
    document: Value,
    tags: &[RequestTag],
) -> Outcome<String> {
    let arn = scope.arn(key.kind, &key.name);
    let record = NewRecord {
        key,
        arn: arn.clone(),
        status: JobStatus::InProgress.as_str().into(),
        created: now,
        document,
        tags: request::tags(tags),
        workflow: Some(job::STAGE.into()),
    };
    let writes = tracking::accepted(plane, scope, &record);
    plane
        .store()
        .create_with(&record, &writes)
        .await
        .map_err(|error| failure::of_creation(error, scope, record.key.kind, &record.key.name))?;
    job::start::<J>(plane, record.key);
    Ok(arn)
}
