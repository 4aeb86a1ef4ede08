//! Follows a job's log as CloudWatch Logs serves it: find the stream, then read on from where the last page ended.

use super::{ApiError, Client};
use serde_json::{Value, json};

/// Pages read in one go; a job that writes faster than this is read on at the next poll.
const PAGES_AT_ONCE: usize = 64;

/// The place in one job's log up to which it was read.
pub(in crate::quickstart) struct LogTail {
    group: &'static str,
    /// Streams of a job are called `<job>/<host>-<number>`.
    prefix: String,
    stream: Option<String>,
    token: Option<String>,
}

impl LogTail {
    /// The log of `job` in `group`, from its first line.
    pub(in crate::quickstart) fn of(group: &'static str, job: &str) -> Self {
        Self { group, prefix: format!("{job}/"), stream: None, token: None }
    }

    /// The lines that came since the last call; none while the job has no log yet.
    pub(in crate::quickstart) async fn poll(&mut self, client: &Client) -> Result<Vec<String>, ApiError> {
        if self.stream.is_none() {
            self.stream = self.find(client).await?;
        }
        let Some(stream) = &self.stream else {
            return Ok(Vec::new());
        };
        let mut lines = Vec::new();
        for _ in 0..PAGES_AT_ONCE {
            let mut request = json!({
                "logGroupName": self.group, "logStreamName": stream, "startFromHead": true,
            });
            if let Some(token) = &self.token {
                request["nextToken"] = json!(token);
            }
            let page = client.json("logs", "Logs_20140328", "GetLogEvents", &request).await?;
            let events = page.get("events").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            lines.extend(events.iter().filter_map(|event| event.get("message")?.as_str()).map(str::to_owned));
            let next = page.get("nextForwardToken").and_then(Value::as_str).map(str::to_owned);
            let ended = events.is_empty() || next == self.token;
            if next.is_some() {
                self.token = next;
            }
            if ended {
                break;
            }
        }
        Ok(lines)
    }

    async fn find(&self, client: &Client) -> Result<Option<String>, ApiError> {
        let request = json!({
            "logGroupName": self.group, "logStreamNamePrefix": self.prefix,
            "orderBy": "LogStreamName", "limit": 1,
        });
        match client.json("logs", "Logs_20140328", "DescribeLogStreams", &request).await {
            Ok(page) => {
                Ok(page.pointer("/logStreams/0/logStreamName").and_then(Value::as_str).map(str::to_owned))
            }
            // The group comes into being with the first line.
            Err(error) if error.code.starts_with("ResourceNotFound") => Ok(None),
            Err(error) => Err(error),
        }
    }
}
