//! DescribeLogGroups and DescribeLogStreams.

use sagebrush_metastore::{LogGroup, LogStream, StreamOrder, StreamPage};
use sagebrush_types::{Failure, Outcome, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{PAGE, group_arn, group_name, strange};
use crate::{ControlPlane, failure, request};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescribeLogGroups {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
    log_group_class: Option<String>,
    /// There is one account, so no linked ones.
    #[serde(default, rename = "includeLinkedAccounts")]
    _include_linked_accounts: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescribeLogStreams {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name_prefix: Option<String>,
    order_by: Option<String>,
    #[serde(default)]
    descending: bool,
    next_token: Option<String>,
    limit: Option<usize>,
}

impl ControlPlane {
    /// DescribeLogGroups, by name.
    ///
    /// # Errors
    /// `Invalid` for a prefix together with a pattern.
    pub async fn describe_log_groups(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: DescribeLogGroups = request::decode("DescribeLogGroups", document)?;
        let (text, anywhere) = match (request.log_group_name_prefix, request.log_group_name_pattern) {
            (Some(_), Some(_)) => {
                return Err(Failure::invalid(
                    "Only one of logGroupNamePrefix and logGroupNamePattern can be specified.",
                ));
            }
            (prefix, None) => (prefix.unwrap_or_default(), false),
            (None, Some(pattern)) => (pattern, true),
        };
        // Every group here is of the standard class.
        if request.log_group_class.is_some_and(|class| class != "STANDARD") {
            return Ok(json!({"logGroups": []}));
        }
        let limit = request.limit.unwrap_or(PAGE).clamp(1, PAGE);
        let after = request.next_token.unwrap_or_default();
        let mut groups = self
            .store()
            .log_groups(&scope.region, &text, anywhere, &after, limit + 1)
            .await
            .map_err(failure::of_metastore)?;
        let more = groups.len() > limit;
        groups.truncate(limit);
        let shown: Vec<Value> = groups.iter().map(|group| shown_group(scope, group)).collect();
        let mut answer = json!({"logGroups": shown});
        if let Some(last) = groups.last().filter(|_| more) {
            answer["nextToken"] = json!(last.name);
        }
        Ok(answer)
    }

    /// DescribeLogStreams, by name or by the time of the last event.
    ///
    /// # Errors
    /// `NoSuchLog` for a group that is not there; `Invalid` for an order by time together with a
    /// prefix, or a strange token.
    pub async fn describe_log_streams(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: DescribeLogStreams = request::decode("DescribeLogStreams", document)?;
        let group = group_name(request.log_group_name, request.log_group_identifier)?;
        self.check_group(scope, &group).await?;
        let order = match request.order_by.as_deref() {
            Some("LastEventTime") => StreamOrder::LastEvent,
            _ => StreamOrder::Name,
        };
        let prefix = request.log_stream_name_prefix.unwrap_or_default();
        if order == StreamOrder::LastEvent && !prefix.is_empty() {
            return Err(Failure::invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
        }
        let after = request.next_token.as_deref().map(place).transpose()?;
        let limit = request.limit.unwrap_or(PAGE).clamp(1, PAGE);
        let page =
            StreamPage { order, descending: request.descending, prefix: &prefix, after, limit: limit + 1 };
        let streams = self.store().list_log_streams(&scope.region, &group, &page).await;
        let mut streams = streams.map_err(failure::of_metastore)?;
        // A token only where more streams follow: SDK v2 asks again as long as there is one.
        let more = streams.len() > limit;
        streams.truncate(limit);
        let shown: Vec<Value> = streams.iter().map(|stream| shown_stream(scope, stream)).collect();
        let mut answer = json!({"logStreams": shown});
        if let Some(last) = streams.last().filter(|_| more) {
            let at = match order {
                StreamOrder::Name => 0,
                StreamOrder::LastEvent => last.last_event.unwrap_or(last.created),
            };
            answer["nextToken"] = json!(format!("{at}/{}", last.name));
        }
        Ok(answer)
    }
}

/// Time and name after which a page begins.
fn place(token: &str) -> Outcome<(i64, &str)> {
    let (at, name) = token.split_once('/').ok_or_else(strange)?;
    Ok((at.parse().map_err(|_| strange())?, name))
}

fn shown_group(scope: &Scope, group: &LogGroup) -> Value {
    let arn = group_arn(scope, &group.name);
    json!({
        "logGroupName": group.name,
        "creationTime": group.created,
        "metricFilterCount": 0,
        "arn": format!("{arn}:*"),
        "logGroupArn": arn,
        "logGroupClass": "STANDARD",
        "storedBytes": group.bytes,
    })
}

fn shown_stream(scope: &Scope, stream: &LogStream) -> Value {
    let mut shown = json!({
        "logStreamName": stream.name,
        "creationTime": stream.created,
        "arn": format!("{}:log-stream:{}", group_arn(scope, &stream.group), stream.name),
        // AWS counts no bytes per stream any more.
        "storedBytes": 0,
    });
    for (member, time) in [
        ("firstEventTimestamp", stream.first_event),
        ("lastEventTimestamp", stream.last_event),
        ("lastIngestionTime", stream.last_ingested),
    ] {
        if let Some(time) = time {
            shown[member] = json!(time);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_keep_slashes_of_names() {
        assert_eq!(place("0/job/algo-1").ok(), Some((0, "job/algo-1")));
        assert!(place("job").is_err() && place("x/y").is_err());
    }
}
