//! FilterLogEvents: the lines of a group's streams, merged by time and held against a pattern.
//!
//! A stream is looked into only when the merge has come to the time of its first event, so that a group
//! with the logs of many jobs costs no more than those of the times asked for. An answer ends, with a
//! token, when its page is full or when enough lines have been read.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use sagebrush_metastore::{LogEvent, LogStream};
use sagebrush_types::limits::{LOG_LINES_SEARCHED, LOG_PAGE_BYTES, LOG_PAGE_EVENTS, LOG_STREAMS_SEARCHED};
use sagebrush_types::{Failure, Outcome, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::pattern::Pattern;
use super::{EVENT_OVERHEAD, group_name, strange};
use crate::{ControlPlane, failure, request};

/// Lines read from a stream at a time.
const PORTION: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FilterLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    #[serde(default)]
    log_stream_names: Vec<String>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
    /// The search begins at the start time.
    #[serde(rename = "startFromHead")]
    start_from_head: Option<bool>,
    /// Events are always interleaved, as AWS has done since 2019 whatever this member says.
    #[serde(default, rename = "interleaved")]
    _interleaved: bool,
    /// Nothing is masked, so nothing needs unmasking.
    #[serde(default, rename = "unmask")]
    _unmask: bool,
}

/// The order of the merge: time, stream, place in the stream.
type Place = (i64, String, i64);

/// A stream in the merge, with lines that have been read and not yet taken.
struct Source {
    stream: LogStream,
    lines: VecDeque<LogEvent>,
    /// After which time and place the next portion begins.
    after: (i64, i64),
}

impl ControlPlane {
    /// FilterLogEvents.
    ///
    /// # Errors
    /// `NoSuchLog` for a group that is not there; `Invalid` for a strange token or pattern;
    /// `Unsupported` for regular expressions.
    pub async fn filter_log_events(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: FilterLogEvents = request::decode("FilterLogEvents", document)?;
        request::refuse_if(
            request.start_from_head == Some(false),
            "startFromHead",
            "this server searches from the earliest event on.",
        )?;
        let group = group_name(request.log_group_name, request.log_group_identifier)?;
        let prefix = request.log_stream_name_prefix.unwrap_or_default();
        if !prefix.is_empty() && !request.log_stream_names.is_empty() {
            return Err(Failure::invalid(
                "Only one of logStreamNames and logStreamNamePrefix can be specified.",
            ));
        }
        self.check_group(scope, &group).await?;
        let pattern = Pattern::read(request.filter_pattern.as_deref().unwrap_or_default())?;
        let limit = request.limit.unwrap_or(LOG_PAGE_EVENTS).clamp(1, LOG_PAGE_EVENTS);
        let end = request.end_time.map_or(i64::MAX, |end| end.saturating_add(1));
        let begin = match &request.next_token {
            Some(token) => place(token)?,
            None => (request.start_time.unwrap_or(0), String::new(), -1),
        };
        let streams = self
            .store()
            .log_streams_within(&scope.region, &group, &prefix, (begin.0, end), LOG_STREAMS_SEARCHED)
            .await
            .map_err(failure::of_metastore)?;
        let names = &request.log_stream_names;
        let chosen = streams.into_iter().filter(|stream| names.is_empty() || names.contains(&stream.name));
        let mut merge = Merge::new(self, chosen.collect(), begin, end);
        let (mut found, mut bytes, mut read) = (Vec::new(), 0, 0);
        let mut next = None;
        while let Some(event) = merge.next().await? {
            let here = (event.at, event.stream.clone(), event.sequence);
            read += 1;
            if pattern.matches(&event.message) {
                bytes += event.message.len() + EVENT_OVERHEAD;
                found.push(event);
            }
            if found.len() == limit || bytes >= LOG_PAGE_BYTES || read == LOG_LINES_SEARCHED {
                next = Some(here).filter(|_| !merge.at_end());
                break;
            }
        }
        let shown: Vec<Value> = found
            .iter()
            .map(|event| {
                json!({
                    "logStreamName": event.stream, "timestamp": event.at, "message": event.message,
                    "ingestionTime": event.ingested, "eventId": format!("{}:{}", event.stream, event.sequence),
                })
            })
            .collect();
        let mut answer = json!({"events": shown, "searchedLogStreams": []});
        if let Some((at, stream, sequence)) = next {
            answer["nextToken"] = json!(format!("{at}/{sequence}/{stream}"));
        }
        Ok(answer)
    }
}

/// Where a page begins: after this event.
fn place(token: &str) -> Outcome<Place> {
    let read = |token: &str| {
        let mut parts = token.splitn(3, '/');
        let (at, sequence) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some((at, parts.next()?.to_owned(), sequence))
    };
    read(token).ok_or_else(strange)
}

/// The streams' events in the order of [`Place`].
struct Merge<'a> {
    plane: &'a ControlPlane,
    sources: Vec<Source>,
    /// The next event of each source, or an earlier bound for one that was not looked into.
    order: BinaryHeap<Reverse<(Place, usize)>>,
    end: i64,
}

impl<'a> Merge<'a> {
    fn new(plane: &'a ControlPlane, streams: Vec<LogStream>, begin: Place, end: i64) -> Self {
        let (at, name, sequence) = begin;
        let mut order = BinaryHeap::new();
        let mut sources = Vec::new();
        for stream in streams {
            // At the time of the last event taken, streams before its own are done, and those after it are not.
            let after = match stream.name.cmp(&name) {
                std::cmp::Ordering::Less => (at, i64::MAX),
                std::cmp::Ordering::Equal => (at, sequence),
                std::cmp::Ordering::Greater => (at, -1),
            };
            let bound = stream.first_event.map_or(at, |first| first.max(at));
            order.push(Reverse(((bound, stream.name.clone(), -1), sources.len())));
            sources.push(Source { stream, lines: VecDeque::new(), after });
        }
        Self { plane, sources, order, end }
    }

    fn at_end(&self) -> bool {
        self.order.is_empty()
    }

    async fn next(&mut self) -> Outcome<Option<LogEvent>> {
        while let Some(Reverse((place, index))) = self.order.pop() {
            let source = &mut self.sources[index];
            if source.lines.is_empty() {
                let portion = self
                    .plane
                    .store()
                    .log_events_after(source.stream.id, source.after, self.end, PORTION)
                    .await
                    .map_err(failure::of_metastore)?;
                source.lines = portion.into();
            }
            let Some(first) = source.lines.front() else { continue };
            let here = (first.at, source.stream.name.clone(), first.sequence);
            if here != place {
                // Only a bound was known, or the portion had ended: another stream may come first.
                self.order.push(Reverse((here, index)));
                continue;
            }
            let Some(event) = source.lines.pop_front() else { continue };
            source.after = (event.at, event.sequence);
            // The next line is known, or it comes no earlier than this one.
            let bound =
                source.lines.front().map_or((event.at, event.sequence), |next| (next.at, next.sequence));
            self.order.push(Reverse(((bound.0, source.stream.name.clone(), bound.1), index)));
            return Ok(Some(event));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_the_event_before() {
        assert_eq!(place("5/2/job/algo-1").ok(), Some((5, "job/algo-1".into(), 2)));
        assert!(place("5/2").is_err() && place("x/2/a").is_err());
    }
}
