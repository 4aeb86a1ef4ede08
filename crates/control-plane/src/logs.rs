//! CloudWatch Logs reads: groups, streams and events of jobs and endpoints.

use sagebrush_metastore::{Direction, LogEvent};
use sagebrush_types::limits::{LOG_PAGE_BYTES, LOG_PAGE_EVENTS};
use sagebrush_types::{Failure, Outcome, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ControlPlane, failure, request};

/// AWS's default page size for groups and streams.
const PAGE: usize = 50;
/// Bytes that an event costs in a page beside its message.
const EVENT_OVERHEAD: usize = 26;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescribeLogGroups {
    log_group_name_prefix: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescribeLogStreams {
    log_group_name: String,
    log_stream_name_prefix: Option<String>,
    order_by: Option<String>,
    descending: Option<bool>,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GetLogEvents {
    log_group_name: String,
    log_stream_name: String,
    start_time: Option<i64>,
    end_time: Option<i64>,
    next_token: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    start_from_head: bool,
    /// Nothing is masked, so nothing needs unmasking.
    #[serde(default, rename = "unmask")]
    _unmask: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FilterLogEvents {
    log_group_name: String,
    #[serde(default)]
    log_stream_names: Vec<String>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
    /// Events come stream by stream; AWS always interleaves and ignores this member.
    #[serde(default, rename = "interleaved")]
    _interleaved: bool,
    /// Nothing is masked, so nothing needs unmasking.
    #[serde(default, rename = "unmask")]
    _unmask: bool,
}

impl ControlPlane {
    /// DescribeLogGroups.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn describe_log_groups(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: DescribeLogGroups = request::decode("DescribeLogGroups", document)?;
        let limit = request.limit.unwrap_or(PAGE).clamp(1, PAGE);
        let prefix = request.log_group_name_prefix.unwrap_or_default();
        let after = request.next_token.unwrap_or_default();
        let mut groups = self
            .store()
            .log_groups(&scope.region, &prefix, &after, limit + 1)
            .await
            .map_err(failure::of_metastore)?;
        let more = groups.len() > limit;
        groups.truncate(limit);
        let mut answer = json!({});
        if let Some((name, _)) = groups.last().filter(|_| more) {
            answer["nextToken"] = json!(name);
        }
        answer["logGroups"] = groups
            .iter()
            .map(|(name, created)| {
                json!({
                    "logGroupName": name,
                    "creationTime": created,
                    "metricFilterCount": 0,
                    "arn": format!("arn:aws:logs:{}:{}:log-group:{name}:*", scope.region, scope.account),
                    "storedBytes": 0,
                })
            })
            .collect();
        Ok(answer)
    }

    /// DescribeLogStreams, by stream name.
    ///
    /// # Errors
    /// `NotFound`-like `Invalid` for a group that is not there (see [`missing_group`]).
    pub async fn describe_log_streams(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: DescribeLogStreams = request::decode("DescribeLogStreams", document)?;
        self.check_group(scope, &request.log_group_name).await?;
        let by_event = request.order_by.as_deref() == Some("LastEventTime");
        if by_event && request.log_stream_name_prefix.is_some() {
            return Err(Failure::invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
        }
        let limit = request.limit.unwrap_or(PAGE).clamp(1, PAGE);
        let prefix = request.log_stream_name_prefix.unwrap_or_default();
        let after = request.next_token.unwrap_or_default();
        // Names in ascending order page by themselves; the other orders sort one bounded page.
        let reversed = request.descending.unwrap_or(false);
        let fetched = if by_event || reversed { LOG_PAGE_EVENTS } else { limit + 1 };
        let mut streams = self
            .store()
            .log_streams(&scope.region, &request.log_group_name, &prefix, &after, fetched)
            .await
            .map_err(failure::of_metastore)?;
        if by_event {
            streams.sort_by_key(|stream| stream.last_event);
        }
        if reversed {
            streams.reverse();
        }
        let more = streams.len() > limit && !by_event && !reversed;
        streams.truncate(limit);
        let mut answer = json!({});
        if let Some(last) = streams.last().filter(|_| more) {
            answer["nextToken"] = json!(last.name);
        }
        answer["logStreams"] = streams
            .iter()
            .map(|stream| {
                let mut shown = json!({
                    "logStreamName": stream.name,
                    "creationTime": stream.created,
                    "arn": format!(
                        "arn:aws:logs:{}:{}:log-group:{}:log-stream:{}",
                        scope.region, scope.account, stream.group, stream.name
                    ),
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
            })
            .collect();
        Ok(answer)
    }

    /// GetLogEvents. A token stays valid: asked again later it returns what has come since.
    ///
    /// # Errors
    /// `Invalid` for a strange token or a group or stream that is not there.
    pub async fn get_log_events(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: GetLogEvents = request::decode("GetLogEvents", document)?;
        let (group, stream) = (&request.log_group_name, &request.log_stream_name);
        self.check_group(scope, group).await?;
        let found = self
            .store()
            .log_streams(&scope.region, group, stream, "", 1)
            .await
            .map_err(failure::of_metastore)?;
        let found = found.into_iter().find(|found| found.name == *stream);
        let found = found.ok_or_else(|| missing("The specified log stream does not exist."))?;
        let limit = request.limit.unwrap_or(LOG_PAGE_EVENTS).clamp(1, LOG_PAGE_EVENTS);
        let times = request.start_time.unwrap_or(0)..request.end_time.unwrap_or(i64::MAX);
        let place = request.next_token.as_deref().map(place).transpose()?;
        let (forward, from) =
            place.unwrap_or(if request.start_from_head { (true, 0) } else { (false, found.lines) });
        let direction = if forward { Direction::From(from) } else { Direction::Before(from) };
        let events = self.store().log_events(&scope.region, group, stream, direction, times, limit).await;
        let events = events.map_err(failure::of_metastore)?;
        let events = if forward { head(events) } else { tail(events) };
        let first = events.first().map_or(from, |event| event.sequence);
        let next = events.last().map_or(from, |event| event.sequence + 1);
        Ok(json!({
            "events": events.iter().map(|event| json!({
                "timestamp": event.at, "message": event.message, "ingestionTime": event.ingested,
            })).collect::<Vec<_>>(),
            "nextForwardToken": format!("f/{next:056}"),
            "nextBackwardToken": format!("b/{first:056}"),
        }))
    }

    /// FilterLogEvents: events of the chosen streams, stream by stream, whose message contains every
    /// term of the pattern.
    ///
    /// # Errors
    /// `Invalid` for a strange token or a group that is not there; `Unsupported` for patterns with
    /// brackets or braces.
    pub async fn filter_log_events(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: FilterLogEvents = request::decode("FilterLogEvents", document)?;
        let group = &request.log_group_name;
        self.check_group(scope, group).await?;
        let terms = terms(request.filter_pattern.as_deref().unwrap_or_default())?;
        let limit = request.limit.unwrap_or(LOG_PAGE_EVENTS).clamp(1, LOG_PAGE_EVENTS);
        let times =
            request.start_time.unwrap_or(0)..request.end_time.map_or(i64::MAX, |end| end.saturating_add(1));
        let (mut from_stream, mut from) = match &request.next_token {
            None => (String::new(), 0),
            Some(token) => filter_place(token)?,
        };
        let prefix = request.log_stream_name_prefix.clone().unwrap_or_default();
        let streams = self
            .store()
            .log_streams(&scope.region, group, &prefix, "", LOG_PAGE_EVENTS)
            .await
            .map_err(failure::of_metastore)?;
        let chosen =
            |name: &String| request.log_stream_names.is_empty() || request.log_stream_names.contains(name);
        let mut found = Vec::new();
        let mut next = None;
        for stream in streams.iter().map(|stream| &stream.name).filter(|name| chosen(name)) {
            if *stream < from_stream {
                continue;
            }
            if *stream != from_stream {
                from_stream.clone_from(stream);
                from = 0;
            }
            let scanned = self
                .store()
                .log_events(
                    &scope.region,
                    group,
                    stream,
                    Direction::From(from),
                    times.clone(),
                    LOG_PAGE_EVENTS,
                )
                .await
                .map_err(failure::of_metastore)?;
            let full = scanned.len() == LOG_PAGE_EVENTS;
            let end = scanned.last().map_or(from, |event| event.sequence + 1);
            for event in scanned {
                if found.len() == limit {
                    next = Some((stream.clone(), event.sequence));
                    break;
                }
                if terms.iter().all(|term| event.message.contains(term)) {
                    found.push(event);
                }
            }
            if next.is_none() && full {
                next = Some((stream.clone(), end));
            }
            if next.is_some() {
                break;
            }
        }
        let mut answer = json!({
            "events": found.iter().map(|event| json!({
                "logStreamName": event.stream, "timestamp": event.at, "message": event.message,
                "ingestionTime": event.ingested, "eventId": format!("{}:{}", event.stream, event.sequence),
            })).collect::<Vec<_>>(),
            "searchedLogStreams": [],
        });
        if let Some((stream, sequence)) = next {
            answer["nextToken"] = json!(format!("{sequence}/{stream}"));
        }
        Ok(answer)
    }

    async fn check_group(&self, scope: &Scope, group: &str) -> Outcome<()> {
        let there = self.store().has_log_group(&scope.region, group).await.map_err(failure::of_metastore)?;
        if there { Ok(()) } else { Err(missing("The specified log group does not exist.")) }
    }
}

fn missing(message: &str) -> Failure {
    Failure::new(sagebrush_types::FailureKind::NoSuchLog, message)
}

fn strange() -> Failure {
    Failure::invalid("The specified nextToken is invalid.")
}

/// Direction and place of a token.
fn place(token: &str) -> Outcome<(bool, i64)> {
    let (direction, digits) = token.split_once('/').ok_or_else(strange)?;
    let place: i64 = digits.parse().map_err(|_| strange())?;
    match direction {
        "f" if place >= 0 => Ok((true, place)),
        "b" if place >= 0 => Ok((false, place)),
        _ => Err(strange()),
    }
}

fn filter_place(token: &str) -> Outcome<(String, i64)> {
    let (digits, stream) = token.split_once('/').ok_or_else(strange)?;
    Ok((stream.to_owned(), digits.parse().map_err(|_| strange())?))
}

/// The terms of a filter pattern: words and quoted phrases that must all occur.
fn terms(pattern: &str) -> Outcome<Vec<String>> {
    if pattern.contains(['[', '{', '?'])
        || pattern.split_whitespace().any(|word| word.starts_with(['-', '%']))
    {
        return Err(Failure::unsupported(
            "filterPattern: only words and quoted phrases that must all occur are supported.",
        ));
    }
    let mut terms = Vec::new();
    for (index, part) in pattern.split('"').enumerate() {
        if index % 2 == 1 {
            terms.push(part.to_owned());
        } else {
            terms.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    Ok(terms)
}

/// As many events from the front as one page may hold.
fn head(events: Vec<LogEvent>) -> Vec<LogEvent> {
    let mut bytes = 0;
    events
        .into_iter()
        .enumerate()
        .take_while(|(index, event)| {
            bytes += event.message.len() + EVENT_OVERHEAD;
            *index == 0 || bytes <= LOG_PAGE_BYTES
        })
        .map(|(_, event)| event)
        .collect()
}

/// As many events from the back as one page may hold.
fn tail(mut events: Vec<LogEvent>) -> Vec<LogEvent> {
    events.reverse();
    let mut kept = head(events);
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_direction_and_place() {
        assert_eq!(place(&format!("f/{:056}", 12)).ok(), Some((true, 12)));
        assert_eq!(place("b/3").ok(), Some((false, 3)));
        for stranger in ["", "f", "x/1", "f/-1", "f/a"] {
            assert!(place(stranger).is_err(), "{stranger}");
        }
    }

    #[test]
    fn patterns_are_words_and_phrases() {
        assert_eq!(terms("ERROR \"two words\"").ok(), Some(vec!["ERROR".into(), "two words".into()]));
        assert!(terms("{ $.x = 1 }").is_err());
        assert!(terms("-not").is_err());
    }
}
