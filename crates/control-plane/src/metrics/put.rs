//! PutMetricData.
//!
//! A request is one transaction: all of it is there or nothing. One that is sent again because its
//! answer was lost counts again, as with AWS: nothing in the request tells the two apart.

use sagebrush_metastore::{MetricDatum, MetricSeries};
use sagebrush_types::limits::{METRIC_DATA_PER_CALL, METRIC_SERIES, METRIC_VALUES_PER_DATUM};
use sagebrush_types::{Failure, FailureKind, Outcome, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Dimension, series};
use crate::document::milliseconds;
use crate::{ControlPlane, failure, request};

/// How old a point may be, milliseconds: two weeks.
const OLDEST: i64 = 14 * 86_400_000;
/// How far in the future a point may lie, milliseconds: two hours.
const YOUNGEST: i64 = 2 * 3_600_000;
/// Values beyond 2^360 are refused, as CloudWatch does: its sums would overflow.
const LARGEST: f64 = 2.348_542_582_773_833_2e108;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutMetricData {
    namespace: String,
    #[serde(default)]
    metric_data: Vec<Datum>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Datum {
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    timestamp: Option<Value>,
    value: Option<f64>,
    statistic_values: Option<StatisticSet>,
    values: Option<Vec<f64>>,
    counts: Option<Vec<f64>>,
    unit: Option<String>,
    storage_resolution: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StatisticSet {
    sample_count: f64,
    sum: f64,
    minimum: f64,
    maximum: f64,
}

impl ControlPlane {
    /// PutMetricData.
    ///
    /// # Errors
    /// `Invalid` for values, times and names that cannot be, `Contradiction` for members that exclude
    /// each other, `LimitExceeded` when there are too many series.
    pub async fn put_metric_data(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let PutMetricData { namespace, metric_data } = request::decode("PutMetricData", document)?;
        // What jobs measured stays what they measured: their namespaces are no client's.
        if ["AWS/", "/aws/"].iter().any(|reserved| namespace.starts_with(reserved)) {
            return Err(Failure::invalid(format!(
                "The value {namespace} for parameter Namespace is invalid: names that begin with 'AWS/' or '/aws/' are reserved."
            )));
        }
        if metric_data.is_empty() {
            return Err(Failure::invalid("The parameter MetricData must hold at least one metric."));
        }
        if metric_data.len() > METRIC_DATA_PER_CALL {
            return Err(Failure::invalid(format!(
                "The collection MetricData must not have a size greater than {METRIC_DATA_PER_CALL}."
            )));
        }
        let now = self.now();
        let data: Vec<(MetricSeries, MetricDatum)> = metric_data
            .into_iter()
            .zip(1..)
            .map(|(datum, index)| read(datum, &namespace, &format!("MetricData.member.{index}"), now))
            .collect::<Outcome<_>>()?;
        let stored = self.store().put_metrics(&scope.region, &data, METRIC_SERIES).await;
        if !stored.map_err(failure::of_metastore)? {
            return Err(Failure::new(
                FailureKind::LimitExceeded,
                format!("This server keeps {METRIC_SERIES} metrics a region; use fewer dimension values."),
            ));
        }
        Ok(json!({}))
    }
}

/// One datum; `path` is its place in AWS's way of writing it.
fn read(datum: Datum, namespace: &str, path: &str, now: i64) -> Outcome<(MetricSeries, MetricDatum)> {
    let at = match &datum.timestamp {
        None => now,
        Some(time) => milliseconds(time)
            .ok_or_else(|| Failure::invalid(format!("The parameter {path}.Timestamp must be a time.")))?,
    };
    if !(now - OLDEST..=now + YOUNGEST).contains(&at) {
        return Err(Failure::invalid(format!(
            "The parameter {path}.Timestamp must specify a time no more than two weeks in the past and no more \
             than two hours in the future."
        )));
    }
    let resolution = match datum.storage_resolution {
        None | Some(60) => 60_000,
        Some(1) => 1000,
        Some(other) => {
            return Err(Failure::invalid(format!(
                "The value {other} for parameter {path}.StorageResolution is invalid: it must be 1 or 60."
            )));
        }
    };
    let samples = samples(&datum, path)?;
    let statistics = match (&datum.statistic_values, samples) {
        (Some(set), _) => of_set(set, path)?,
        (None, samples) => of_samples(samples),
    };
    let datum_series = series(namespace.to_owned(), datum.metric_name, datum.dimensions)?;
    let unit = datum.unit.unwrap_or_else(|| "None".into());
    Ok((datum_series, MetricDatum { at: at / resolution * resolution, unit, ..statistics }))
}

/// The values of a datum and how often each occurred; none when it has a statistic set.
fn samples(datum: &Datum, path: &str) -> Outcome<Vec<(f64, f64)>> {
    let finite = |name: &str, values: &[f64]| match values.iter().find(|value| value.abs() > LARGEST) {
        Some(value) => {
            Err(Failure::invalid(format!("The value {value} for parameter {path}.{name} is invalid.")))
        }
        None => Ok(()),
    };
    match (datum.value, &datum.values, &datum.statistic_values) {
        (Some(value), None, None) => {
            finite("Value", &[value])?;
            Ok(vec![(value, 1.0)])
        }
        (None, Some(values), None) => {
            finite("Values", values)?;
            let counts = datum.counts.clone().unwrap_or_else(|| vec![1.0; values.len()]);
            if counts.len() != values.len() {
                return Err(Failure::invalid(format!(
                    "The parameters {path}.Values and {path}.Counts must be of the same size."
                )));
            }
            if values.is_empty() || values.len() > METRIC_VALUES_PER_DATUM {
                return Err(Failure::invalid(format!(
                    "The collection {path}.Values must have between 1 and {METRIC_VALUES_PER_DATUM} values."
                )));
            }
            if counts.iter().any(|count| *count <= 0.0 || *count > LARGEST) {
                return Err(Failure::invalid(format!(
                    "The parameter {path}.Counts must hold numbers above 0."
                )));
            }
            Ok(values.iter().copied().zip(counts).collect())
        }
        (None, None, Some(_)) => Ok(Vec::new()),
        (None, None, None) => Err(Failure::invalid(format!(
            "At least one of the parameters {path}.Value, {path}.Values or {path}.StatisticValues must be specified."
        ))),
        _ => Err(Failure::new(
            FailureKind::Contradiction,
            format!(
                "The parameters {path}.Value, {path}.Values and {path}.StatisticValues are mutually exclusive; \
                 specify one of them."
            ),
        )),
    }
}

fn of_samples(samples: Vec<(f64, f64)>) -> MetricDatum {
    let values = || samples.iter().map(|(value, _)| *value);
    MetricDatum {
        at: 0,
        unit: String::new(),
        count: samples.iter().map(|(_, count)| count).sum(),
        sum: samples.iter().map(|(value, count)| value * count).sum(),
        minimum: values().fold(f64::INFINITY, f64::min),
        maximum: values().fold(f64::NEG_INFINITY, f64::max),
        samples,
    }
}

fn of_set(set: &StatisticSet, path: &str) -> Outcome<MetricDatum> {
    let StatisticSet { sample_count, sum, minimum, maximum } = *set;
    let fits = [sample_count, sum, minimum, maximum].iter().all(|value| value.abs() <= LARGEST);
    if !fits || sample_count <= 0.0 || minimum > maximum {
        return Err(Failure::invalid(format!(
            "The parameter {path}.StatisticValues is invalid: SampleCount must be above 0, Minimum not above \
             Maximum, and no value beyond 2^360."
        )));
    }
    Ok(MetricDatum {
        at: 0,
        unit: String::new(),
        count: sample_count,
        sum,
        minimum,
        maximum,
        samples: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn put(datum: Value) -> Result<MetricDatum, String> {
        let datum = serde_json::from_value(datum).map_err(|error| error.to_string())?;
        read(datum, "n", "MetricData.member.1", NOW)
            .map(|(_, datum)| datum)
            .map_err(|failure| failure.message)
    }

    #[test]
    fn values_are_summarised() {
        let datum = put(json!({"MetricName": "m", "Values": [1.0, 4.0], "Counts": [2, 1], "Unit": "Count"}));
        let expected = MetricDatum {
            at: NOW,
            unit: "Count".into(),
            count: 3.0,
            sum: 6.0,
            minimum: 1.0,
            maximum: 4.0,
            samples: vec![(1.0, 2.0), (4.0, 1.0)],
        };
        assert_eq!(datum, Ok(expected));
    }

    #[test]
    fn times_are_stored_at_their_resolution() {
        let at = |resolution: i64| {
            put(json!({"MetricName": "m", "Value": 1, "Timestamp": (NOW - 1500) as f64 / 1000.0,
                       "StorageResolution": resolution}))
            .map(|datum| datum.at)
        };
        assert_eq!(at(60), Ok(NOW - 60_000));
        assert_eq!(at(1), Ok(NOW - 2000));
        assert!(at(5).is_err_and(|message| message.contains("StorageResolution")));
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_place() {
        for (datum, named) in [
            (json!({"MetricName": "m"}), "At least one of"),
            (json!({"MetricName": "m", "Value": 1, "Values": [1.0]}), "mutually exclusive"),
            (json!({"MetricName": "m", "Value": 1e300}), "MetricData.member.1.Value"),
            (json!({"MetricName": "m", "Values": [1.0], "Counts": [1, 2]}), "same size"),
            (json!({"MetricName": "m", "Values": [1.0], "Counts": [0]}), "Counts"),
            (json!({"MetricName": "m", "Value": 1, "Timestamp": 0}), "two weeks"),
            (json!({"MetricName": "m", "Value": 1, "Timestamp": NOW / 1000 + 7201}), "two hours"),
            (
                json!({"MetricName": "m",
                       "StatisticValues": {"SampleCount": 0, "Sum": 0, "Minimum": 0, "Maximum": 0}}),
                "SampleCount",
            ),
            (
                json!({"MetricName": "m", "Value": 1,
                       "Dimensions": [{"Name": "a", "Value": "1"}, {"Name": "a", "Value": "2"}]}),
                "more than once",
            ),
        ] {
            let message = put(datum.clone()).err().unwrap_or_default();
            assert!(message.contains(named), "{datum}: {message}");
        }
    }
}
