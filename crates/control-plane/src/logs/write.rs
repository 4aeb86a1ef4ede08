//! Groups and streams of clients: made, written and deleted.

use sagebrush_metastore::LogLine;
use sagebrush_types::limits::{
    LOG_BATCH_BYTES, LOG_GROUPS, LOG_LINE_BYTES, LOG_LINES_PER_JOB, LOG_STREAMS_PER_GROUP,
};
use sagebrush_types::{Failure, FailureKind, Outcome, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{EVENT_OVERHEAD, missing};
use crate::{ControlPlane, failure, request};

/// Groups that this server writes.
const RESERVED: &str = "/aws/";
/// How old an event may be, milliseconds: two weeks.
const OLDEST: i64 = 14 * 86_400_000;
/// How far in the future an event may lie, milliseconds: two hours.
const YOUNGEST: i64 = 2 * 3_600_000;
/// The longest time between the events of one batch, milliseconds: a day.
const LONGEST_BATCH: i64 = 86_400_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateLogGroup {
    log_group_name: String,
    log_group_class: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Group {
    log_group_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stream {
    log_group_name: String,
    log_stream_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PutLogEvents {
    log_group_name: String,
    log_stream_name: String,
    log_events: Vec<InputLogEvent>,
    /// AWS accepts every token since 2023, and so none has a meaning.
    #[serde(rename = "sequenceToken")]
    _sequence_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InputLogEvent {
    timestamp: i64,
    message: String,
}

impl ControlPlane {
    /// CreateLogGroup.
    ///
    /// # Errors
    /// `LogExists`, `LimitExceeded`, or `Invalid` for a reserved name or another class than STANDARD.
    pub async fn create_log_group(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: CreateLogGroup = request::decode("CreateLogGroup", document)?;
        let group = &request.log_group_name;
        check_writable(group)?;
        let other = request.log_group_class.as_deref().is_some_and(|class| class != "STANDARD");
        request::refuse_if(other, "logGroupClass", "this server has groups of the class STANDARD only.")?;
        let (groups, _) =
            self.store().count_logs(&scope.region, group).await.map_err(failure::of_metastore)?;
        check_room(groups, LOG_GROUPS, "log groups in a region")?;
        let made =
            self.store().create_log_group(&scope.region, group).await.map_err(failure::of_metastore)?;
        if made { Ok(json!({})) } else { Err(exists("The specified log group already exists")) }
    }

    /// CreateLogStream.
    ///
    /// # Errors
    /// `NoSuchLog`, `LogExists`, `LimitExceeded`, or `Invalid` for a reserved group.
    pub async fn create_log_stream(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let Stream { log_group_name: group, log_stream_name: stream } =
            request::decode("CreateLogStream", document)?;
        check_writable(&group)?;
        let (_, streams) =
            self.store().count_logs(&scope.region, &group).await.map_err(failure::of_metastore)?;
        check_room(streams, LOG_STREAMS_PER_GROUP, "log streams in a group")?;
        let made = self.store().create_log_stream(&scope.region, &group, &stream).await;
        match made.map_err(failure::of_metastore)? {
            Some(true) => Ok(json!({})),
            Some(false) => Err(exists("The specified log stream already exists")),
            None => Err(missing("The specified log group does not exist.")),
        }
    }

    /// PutLogEvents: all accepted events, or nothing.
    ///
    /// # Errors
    /// `NoSuchLog`; `LimitExceeded` for a stream that is full; `Invalid` for a batch that breaks AWS's
    /// rules or a reserved group.
    pub async fn put_log_events(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: PutLogEvents = request::decode("PutLogEvents", document)?;
        let (group, stream) = (&request.log_group_name, &request.log_stream_name);
        check_writable(group)?;
        check_batch(&request.log_events)?;
        self.check_group(scope, group).await?;
        let found = self.store().log_stream(&scope.region, group, stream).await;
        let found = found.map_err(failure::of_metastore)?;
        let found = found.ok_or_else(|| missing("The specified log stream does not exist."))?;
        let (accepted, rejected) = accepted(request.log_events, self.now());
        let most = LOG_LINES_PER_JOB as i64;
        if !accepted.is_empty() {
            let stored = self.store().append_log_to(&scope.region, group, stream, &accepted, most).await;
            if !stored.map_err(failure::of_metastore)? {
                return Err(Failure::new(
                    FailureKind::LimitExceeded,
                    format!("The log stream would hold more than {most} events. Write to another one."),
                ));
            }
        }
        let mut answer = json!({"nextSequenceToken": format!("{:056}", found.lines + accepted.len() as i64)});
        if let Some(rejected) = rejected {
            answer["rejectedLogEventsInfo"] = rejected;
        }
        Ok(answer)
    }

    /// DeleteLogStream.
    ///
    /// # Errors
    /// `NoSuchLog`.
    pub async fn delete_log_stream(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let Stream { log_group_name: group, log_stream_name: stream } =
            request::decode("DeleteLogStream", document)?;
        self.check_group(scope, &group).await?;
        let gone = self.store().delete_log_stream(&scope.region, &group, &stream).await;
        match gone.map_err(failure::of_metastore)? {
            true => Ok(json!({})),
            false => Err(missing("The specified log stream does not exist.")),
        }
    }

    /// DeleteLogGroup, with its streams and their events.
    ///
    /// # Errors
    /// `NoSuchLog`.
    pub async fn delete_log_group(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let Group { log_group_name: group } = request::decode("DeleteLogGroup", document)?;
        let gone = self.store().delete_log_group(&scope.region, &group).await;
        match gone.map_err(failure::of_metastore)? {
            true => Ok(json!({})),
            false => Err(missing("The specified log group does not exist.")),
        }
    }
}

fn check_writable(group: &str) -> Outcome<()> {
    if group.starts_with(RESERVED) {
        return Err(Failure::invalid(format!(
            "logGroupName '{group}': groups under '{RESERVED}' are written by the server alone."
        )));
    }
    Ok(())
}

fn check_room(there: i64, most: i64, what: &str) -> Outcome<()> {
    if there < most {
        return Ok(());
    }
    Err(Failure::new(FailureKind::LimitExceeded, format!("This server keeps at most {most} {what}.")))
}

fn exists(message: &str) -> Failure {
    Failure::new(FailureKind::LogExists, message)
}

/// AWS's rules for a batch: its size, its order, the time that it spans.
fn check_batch(events: &[InputLogEvent]) -> Outcome<()> {
    if let Some(long) = events.iter().position(|event| event.message.len() > LOG_LINE_BYTES) {
        return Err(Failure::invalid(format!(
            "Log event too large: the message of event {long} has more than {LOG_LINE_BYTES} bytes."
        )));
    }
    let bytes: usize = events.iter().map(|event| event.message.len() + EVENT_OVERHEAD).sum();
    if bytes > LOG_BATCH_BYTES {
        return Err(Failure::invalid(format!(
            "Upload too large: {bytes} bytes exceeds limit of {LOG_BATCH_BYTES}."
        )));
    }
    if !events.is_sorted_by_key(|event| event.timestamp) {
        return Err(Failure::invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    let time = |event: Option<&InputLogEvent>| event.map_or(0, |event| event.timestamp);
    if time(events.last()).saturating_sub(time(events.first())) > LONGEST_BATCH {
        return Err(Failure::invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    Ok(())
}

/// Lines that are neither too old nor too new, and where the others are.
fn accepted(events: Vec<InputLogEvent>, now: i64) -> (Vec<LogLine>, Option<Value>) {
    let old = events.partition_point(|event| event.timestamp < now - OLDEST);
    let new = events.partition_point(|event| event.timestamp <= now + YOUNGEST);
    let mut rejected = json!({});
    if old > 0 {
        rejected["tooOldLogEventEndIndex"] = json!(old);
    }
    if new < events.len() {
        rejected["tooNewLogEventStartIndex"] = json!(new);
    }
    let lines = events
        .into_iter()
        .take(new)
        .skip(old)
        .map(|event| LogLine { at: event.timestamp, message: event.message })
        .collect();
    let any = rejected.as_object().is_some_and(|members| !members.is_empty());
    (lines, any.then_some(rejected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(times: &[i64]) -> Vec<InputLogEvent> {
        times.iter().map(|timestamp| InputLogEvent { timestamp: *timestamp, message: "m".into() }).collect()
    }

    #[test]
    fn batches_follow_the_rules() {
        let refused = |events: &[InputLogEvent]| check_batch(events).err().map(|failure| failure.message);
        assert_eq!(refused(&events(&[1, 1, 2])), None);
        assert!(refused(&events(&[2, 1])).is_some_and(|message| message.contains("chronological")));
        assert!(
            refused(&events(&[0, LONGEST_BATCH + 1])).is_some_and(|message| message.contains("24 hours"))
        );
        let long = [InputLogEvent { timestamp: 0, message: "x".repeat(LOG_LINE_BYTES + 1) }];
        assert!(refused(&long).is_some_and(|message| message.contains("event 0")));
        let many: Vec<InputLogEvent> = (0..5)
            .map(|timestamp| InputLogEvent { timestamp, message: "x".repeat(LOG_LINE_BYTES) })
            .collect();
        assert!(refused(&many).is_some_and(|message| message.contains("Upload too large")));
    }

    #[test]
    fn events_outside_the_window_are_named_and_left_out() {
        let now = 10 * OLDEST;
        let (lines, rejected) = accepted(events(&[0, now - OLDEST, now, now + YOUNGEST + 1]), now);
        assert_eq!(lines.iter().map(|line| line.at).collect::<Vec<_>>(), [now - OLDEST, now]);
        assert_eq!(rejected, Some(json!({"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 3})));
        assert_eq!(accepted(events(&[now]), now).1, None);
    }
}
