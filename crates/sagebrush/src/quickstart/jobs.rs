//! What training and processing jobs have in common for a client: follow the log, watch the status, learn why it failed.

use super::client::{Client, LogTail};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Short pauses first, so that quick jobs and first log lines are seen at once; then longer ones.
const SHORT_PAUSE: Duration = Duration::from_millis(20);
const LONG_PAUSE: Duration = Duration::from_millis(150);
/// How long the short pauses last.
const EAGER: Duration = Duration::from_secs(3);
/// Log lines shown with a failure.
const LAST_LINES: usize = 8;

/// The names by which one kind of job is described.
pub(super) struct JobKind {
    describe: &'static str,
    name: &'static str,
    status: &'static str,
    log_group: &'static str,
}

/// Training jobs.
pub(super) const TRAINING: JobKind = JobKind {
    describe: "DescribeTrainingJob",
    name: "TrainingJobName",
    status: "TrainingJobStatus",
    log_group: "/aws/sagemaker/TrainingJobs",
};

/// Processing jobs.
pub(super) const PROCESSING: JobKind = JobKind {
    describe: "DescribeProcessingJob",
    name: "ProcessingJobName",
    status: "ProcessingJobStatus",
    log_group: "/aws/sagemaker/ProcessingJobs",
};

/// A job that completed.
pub(super) struct Completed {
    /// The last Describe.
    pub description: Value,
    /// From `since` to the first line of the log, as this client saw it.
    pub first_line: Option<Duration>,
}

/// Follows `job` to its end and hands every log line to `line`.
///
/// # Errors
/// A job that fails or stops, with AWS's reason and the last lines of its log.
pub(super) async fn follow(
    client: &Client,
    kind: &JobKind,
    job: &str,
    since: Instant,
    line: &mut (dyn FnMut(&str) + Send),
) -> anyhow::Result<Completed> {
    let mut tail = LogTail::of(kind.log_group, job);
    let mut first_line = None;
    let mut last: VecDeque<String> = VecDeque::with_capacity(LAST_LINES);
    let mut ended: Option<Value> = None;
    loop {
        let lines = tail.poll(client).await?;
        if !lines.is_empty() && first_line.is_none() {
            first_line = Some(since.elapsed());
        }
        for text in &lines {
            line(text);
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(text.clone());
        }
        // The end was seen before this last look at the log, so nothing is left in it.
        if let Some(description) = ended.take_if(|_| lines.is_empty()) {
            return completed(kind, job, description, first_line, &last);
        }
        if ended.is_none() {
            let description = client.sagemaker(kind.describe, &json!({ kind.name: job })).await?;
            let status = status_of(kind, &description)?;
            if matches!(status, "Completed" | "Failed" | "Stopped") {
                ended = Some(description);
                continue;
            }
        }
        tokio::time::sleep(if since.elapsed() < EAGER { SHORT_PAUSE } else { LONG_PAUSE }).await;
    }
}

fn status_of<'a>(kind: &JobKind, description: &'a Value) -> anyhow::Result<&'a str> {
    description
        .get(kind.status)
        .and_then(Value::as_str)
        .with_context(|| format!("{} answered no {}", kind.describe, kind.status))
}

fn completed(
    kind: &JobKind,
    job: &str,
    description: Value,
    first_line: Option<Duration>,
    last: &VecDeque<String>,
) -> anyhow::Result<Completed> {
    let status = status_of(kind, &description)?;
    if status == "Completed" {
        return Ok(Completed { description, first_line });
    }
    let mut reason = String::new();
    for name in ["FailureReason", "ExitMessage"] {
        // A failure's reason may quote the exit message already.
        let text = description.get(name).and_then(Value::as_str).map(str::trim).unwrap_or_default();
        if !reason.contains(text) {
            reason = format!("{reason}\n{text}").trim().to_owned();
        }
    }
    if reason.is_empty() {
        "no reason was given".clone_into(&mut reason);
    }
    // What the reason says already need not be read twice.
    let told = |line: &str| line.contains(&reason) || reason.contains(line.trim());
    let log: Vec<&str> = last.iter().map(String::as_str).filter(|line| !told(line)).collect();
    if log.is_empty() {
        bail!("the job {job} ended as {status}: {reason}");
    }
    bail!("the job {job} ended as {status}: {reason}\nthe end of its log:\n  {}", log.join("\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_the_reason_and_the_log() {
        let description = json!({"TrainingJobStatus": "Failed", "FailureReason": "ClientError: no such id"});
        let last = VecDeque::from(["line one".to_owned(), "line two".to_owned()]);
        let error = completed(&TRAINING, "j", description, None, &last).err().expect("failed").to_string();
        assert!(error.contains("ended as Failed: ClientError: no such id"), "{error}");
        assert!(error.ends_with("  line two"), "{error}");
        let twice =
            json!({"ProcessingJobStatus": "Failed", "FailureReason": "E: bad row", "ExitMessage": "bad row"});
        let error = completed(&PROCESSING, "j", twice, None, &VecDeque::new()).err().expect("failed");
        assert_eq!(error.to_string(), "the job j ended as Failed: E: bad row");
        let done = json!({"ProcessingJobStatus": "Completed"});
        assert!(completed(&PROCESSING, "j", done, None, &last).is_ok());
    }
}
