//! The state of a training job inside its record: status, secondary status and its history.

use sagebrush_metastore::Record;
use sagebrush_types::{Failure, JobStatus, Outcome, SecondaryStatus};
use serde_json::{Value, json};

use crate::document::seconds;
use crate::workflow::job;

/// The first members of a job's state.
pub fn begin(document: &mut Value, now: i64) {
    document["TrainingJobStatus"] = json!(JobStatus::InProgress.as_str());
    document["SecondaryStatus"] = json!(SecondaryStatus::Starting.as_str());
    document["SecondaryStatusTransitions"] = json!([transition(SecondaryStatus::Starting, now)]);
    document["CreationTime"] = seconds(now);
    document["LastModifiedTime"] = seconds(now);
}

fn transition(secondary: SecondaryStatus, now: i64) -> Value {
    json!({
        "Status": secondary.as_str(),
        "StartTime": seconds(now),
        "StatusMessage": secondary.message(),
    })
}

/// Moves a job on: a secondary status within the same status, or a legal change of status.
pub fn enter(record: &mut Record, status: JobStatus, secondary: SecondaryStatus, now: i64) -> Outcome<()> {
    if job::status(record)? != status {
        job::set_status(record, status)?;
    } else if status.is_terminal() {
        return Err(Failure::internal(format!("{}: {status} is its end", record.key)));
    }
    record.modified = now;
    let document = &mut record.document;
    document["TrainingJobStatus"] = json!(status.as_str());
    document["SecondaryStatus"] = json!(secondary.as_str());
    document["LastModifiedTime"] = seconds(now);
    if let Some(history) = document["SecondaryStatusTransitions"].as_array_mut() {
        if let Some(last) = history.last_mut() {
            last["EndTime"] = seconds(now);
        }
        let mut entry = transition(secondary, now);
        if status.is_terminal() {
            entry["EndTime"] = seconds(now);
        }
        history.push(entry);
    }
    Ok(())
}

/// Replaces the message of the last transition.
pub fn explain(record: &mut Record, message: &str) {
    if let Some(history) = record.document["SecondaryStatusTransitions"].as_array_mut()
        && let Some(last) = history.last_mut()
    {
        last["StatusMessage"] = json!(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sagebrush_metastore::Key;
    use sagebrush_types::Resource;

    #[test]
    fn the_history_is_gapless_and_ends() -> Outcome<()> {
        let mut document = json!({});
        begin(&mut document, 1_000);
        let mut record = Record {
            key: Key { kind: Resource::TrainingJob, region: "r".into(), name: "n".into() },
            arn: String::new(),
            status: "InProgress".into(),
            created: 1_000,
            modified: 1_000,
            document,
        };
        enter(&mut record, JobStatus::InProgress, SecondaryStatus::Training, 2_000)?;
        enter(&mut record, JobStatus::Completed, SecondaryStatus::Completed, 3_000)?;
        let history = record.document["SecondaryStatusTransitions"].as_array().cloned().unwrap_or_default();
        let times: Vec<(f64, f64)> = history
            .iter()
            .map(|entry| {
                (entry["StartTime"].as_f64().unwrap_or(-1.0), entry["EndTime"].as_f64().unwrap_or(-1.0))
            })
            .collect();
        assert_eq!(times, [(1.0, 2.0), (2.0, 3.0), (3.0, 3.0)]);
        assert!(enter(&mut record, JobStatus::Failed, SecondaryStatus::Failed, 4_000).is_err());
        Ok(())
    }
}
