//! The state of a processing job inside its record.

use sagebrush_metastore::Record;
use sagebrush_types::{Failure, Outcome, ProcessingJobStatus};
use serde_json::json;

use crate::document::seconds;

/// The status of a job's record.
pub fn status(record: &Record) -> Outcome<ProcessingJobStatus> {
    ProcessingJobStatus::parse(&record.status)
        .ok_or_else(|| Failure::internal(format!("{}: unknown status {}", record.key, record.status)))
}

/// A legal change of status.
pub fn enter(record: &mut Record, status: ProcessingJobStatus, now: i64) -> Outcome<()> {
    let from = self::status(record)?;
    if !from.may_become(status) {
        return Err(Failure::internal(format!("{}: {from} may not become {status}", record.key)));
    }
    record.status = status.as_str().to_owned();
    record.document["ProcessingJobStatus"] = json!(status.as_str());
    record.document["LastModifiedTime"] = seconds(now);
    Ok(())
}
