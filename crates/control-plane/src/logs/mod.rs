//! CloudWatch Logs: the lines of jobs and endpoints, and groups that clients make and write.
//!
//! Promises: lines that PutLogEvents accepted are on disk; a token stays valid, and asked again later it
//! returns what has come since. Groups under `/aws/` are written by this server alone, so that a job's
//! log holds what the job printed and nothing else; they may be deleted like others.

mod describe;
mod filter;
mod get;
mod pattern;
mod write;

use sagebrush_metastore::LogEvent;
use sagebrush_types::limits::LOG_PAGE_BYTES;
use sagebrush_types::{Failure, FailureKind, Outcome, Scope};

use crate::{ControlPlane, failure};

/// AWS's default page size for groups and streams, and the largest.
const PAGE: usize = 50;
/// Bytes that an event costs in a page or batch beside its message.
const EVENT_OVERHEAD: usize = 26;

impl ControlPlane {
    async fn check_group(&self, scope: &Scope, group: &str) -> Outcome<()> {
        let there = self.store().has_log_group(&scope.region, group).await.map_err(failure::of_metastore)?;
        if there { Ok(()) } else { Err(missing("The specified log group does not exist.")) }
    }
}

/// The group that a request names, by its name or by an identifier, which is a name or an ARN.
fn group_name(name: Option<String>, identifier: Option<String>) -> Outcome<String> {
    match (name, identifier) {
        (Some(name), None) => Ok(name),
        (None, Some(identifier)) if identifier.starts_with("arn:") => {
            let name = identifier.splitn(7, ':').nth(6).unwrap_or_default();
            Ok(name.strip_suffix(":*").unwrap_or(name).to_owned())
        }
        (None, Some(identifier)) => Ok(identifier),
        _ => Err(Failure::invalid("Exactly one of logGroupName and logGroupIdentifier must be specified.")),
    }
}

fn group_arn(scope: &Scope, group: &str) -> String {
    format!("arn:aws:logs:{}:{}:log-group:{group}", scope.region, scope.account)
}

fn missing(message: &str) -> Failure {
    Failure::new(FailureKind::NoSuchLog, message)
}

fn strange() -> Failure {
    Failure::invalid("The specified nextToken is invalid.")
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
    fn groups_are_named_in_three_ways() {
        let named = |name: Option<&str>, identifier: Option<&str>| {
            group_name(name.map(str::to_owned), identifier.map(str::to_owned)).ok()
        };
        assert_eq!(named(Some("/a"), None).as_deref(), Some("/a"));
        assert_eq!(named(None, Some("/a")).as_deref(), Some("/a"));
        assert_eq!(named(None, Some("arn:aws:logs:r:1:log-group:/a/b:*")).as_deref(), Some("/a/b"));
        assert_eq!(named(None, Some("arn:aws:logs:r:1:log-group:/a/b")).as_deref(), Some("/a/b"));
        assert_eq!(named(None, None), None);
        assert_eq!(named(Some("a"), Some("a")), None);
    }

    #[test]
    fn pages_end_at_their_bytes_and_hold_at_least_one_event() {
        let event = |sequence: i64, length: usize| LogEvent {
            stream: "s".into(),
            sequence,
            at: 0,
            ingested: 0,
            message: "x".repeat(length),
        };
        let places = |events: Vec<LogEvent>| events.iter().map(|event| event.sequence).collect::<Vec<_>>();
        let three = || vec![event(0, 10), event(1, LOG_PAGE_BYTES / 2), event(2, LOG_PAGE_BYTES / 2)];
        assert_eq!(places(head(three())), [0, 1]);
        assert_eq!(places(tail(three())), [2]);
        assert_eq!(places(head(vec![event(0, LOG_PAGE_BYTES)])), [0]);
    }
}
