//! CloudWatch metrics: the series of jobs and those that clients put.
//!
//! Promises: a PutMetricData that was answered is on disk; statistics are computed from what was put,
//! with periods that begin at multiples of their length since the Unix epoch. Never: a metric expression
//! evaluated in part (expressions are refused), a value made up for a period without one.

mod data;
mod list;
mod percentile;
mod put;
mod statistics;

use sagebrush_metastore::{MetricPeriod, MetricSeries};
use sagebrush_types::{Failure, Outcome};
use serde::Deserialize;
use serde_json::Value;

use crate::document::milliseconds;

/// Longest period, seconds: a year, far beyond what a job's series spans.
const LONGEST_PERIOD: i64 = 365 * 86_400;
/// Latest time that is taken for one, milliseconds: the end of the year 9999.
const LATEST: i64 = 253_402_300_799_999;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Dimension {
    name: String,
    value: String,
}

/// The five statistics that CloudWatch has by name.
fn statistic(period: &MetricPeriod, name: &str) -> Option<f64> {
    match name {
        "SampleCount" => Some(period.count),
        "Sum" => Some(period.sum),
        "Average" => Some(period.sum / period.count),
        "Minimum" => Some(period.minimum),
        "Maximum" => Some(period.maximum),
        _ => None,
    }
}

/// A series from a request, which may name a dimension once.
fn series(namespace: String, metric: String, dimensions: Vec<Dimension>) -> Outcome<MetricSeries> {
    let mut named = std::collections::BTreeMap::new();
    for Dimension { name, value } in dimensions {
        if named.insert(name.clone(), value).is_some() {
            return Err(Failure::invalid(format!("The parameter Dimensions names '{name}' more than once.")));
        }
    }
    Ok(MetricSeries { namespace, metric, dimensions: named })
}

/// Start and end in milliseconds. The start is rounded down to a whole minute or, for periods below
/// one, to a whole period: a point belongs to the period it lies in although it came before the start.
fn times(start: &Value, end: &Value, period: i64) -> Outcome<(i64, i64)> {
    let read = |name: &str, value: &Value| {
        milliseconds(value)
            .filter(|time| (0..=LATEST).contains(time))
            .ok_or_else(|| Failure::invalid(format!("The parameter {name} must be a time.")))
    };
    let (start, end) = (read("StartTime", start)?, read("EndTime", end)?);
    if start >= end {
        return Err(Failure::invalid("The parameter StartTime must be less than the parameter EndTime."));
    }
    let whole = period.clamp(1, 60) * 1000;
    Ok((start / whole * whole, end))
}

fn check_period(period: i64) -> Outcome<()> {
    if !(1..=LONGEST_PERIOD).contains(&period)
        || (period >= 60 && period % 60 != 0)
        || (period < 60 && ![1, 5, 10, 20, 30].contains(&period))
    {
        return Err(Failure::invalid(format!(
            "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60 up to {LONGEST_PERIOD}, not {period}."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn periods_follow_cloudwatch() {
        assert!(check_period(60).is_ok() && check_period(5).is_ok() && check_period(3600).is_ok());
        assert!(check_period(i64::MAX / 60 * 60).is_err());
        assert!(check_period(0).is_err() && check_period(7).is_err() && check_period(90).is_err());
    }

    #[test]
    fn times_begin_at_a_whole_minute_or_period() {
        assert_eq!(times(&json!(119.5), &json!(180), 300).ok(), Some((60_000, 180_000)));
        assert_eq!(times(&json!(119.5), &json!(180), 10).ok(), Some((110_000, 180_000)));
        assert!(times(&json!(-1e300), &json!(1e300), 60).is_err());
        assert!(times(&json!(5), &json!(5), 60).is_err());
    }
}
