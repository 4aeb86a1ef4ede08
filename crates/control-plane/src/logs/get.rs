//! GetLogEvents.

use sagebrush_metastore::Direction;
use sagebrush_types::limits::LOG_PAGE_EVENTS;
use sagebrush_types::{Outcome, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{group_name, head, missing, strange, tail};
use crate::{ControlPlane, failure, request};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GetLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
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

impl ControlPlane {
    /// GetLogEvents: events of one stream in the order in which they came.
    ///
    /// # Errors
    /// `NoSuchLog` for a group or stream that is not there; `Invalid` for a strange token.
    pub async fn get_log_events(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: GetLogEvents = request::decode("GetLogEvents", document)?;
        let group = group_name(request.log_group_name, request.log_group_identifier)?;
        let stream = &request.log_stream_name;
        self.check_group(scope, &group).await?;
        let found = self.store().log_stream(&scope.region, &group, stream).await;
        let found = found.map_err(failure::of_metastore)?;
        let found = found.ok_or_else(|| missing("The specified log stream does not exist."))?;
        let limit = request.limit.unwrap_or(LOG_PAGE_EVENTS).clamp(1, LOG_PAGE_EVENTS);
        let times = request.start_time.unwrap_or(0)..request.end_time.unwrap_or(i64::MAX);
        let place = request.next_token.as_deref().map(place).transpose()?;
        let (forward, from) =
            place.unwrap_or(if request.start_from_head { (true, 0) } else { (false, found.lines) });
        let direction = if forward { Direction::From(from) } else { Direction::Before(from) };
        let events = self.store().log_events(&scope.region, &group, stream, direction, times, limit).await;
        let events = events.map_err(failure::of_metastore)?;
        let events = if forward { head(events) } else { tail(events) };
        let first = events.first().map_or(from, |event| event.sequence);
        let next = events.last().map_or(from, |event| event.sequence + 1);
        let shown: Vec<Value> = events
            .iter()
            .map(|event| {
                json!({"timestamp": event.at, "message": event.message, "ingestionTime": event.ingested})
            })
            .collect();
        Ok(json!({
            "events": shown,
            "nextForwardToken": format!("f/{next:056}"),
            "nextBackwardToken": format!("b/{first:056}"),
        }))
    }
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
}
