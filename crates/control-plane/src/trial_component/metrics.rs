//! Metrics of trial components: series that clients send, kept apart from the record, and a summary
//! of each in the record, kept up to date with every value.

use std::collections::BTreeMap;

use sagebrush_metastore::{MetastoreError, RunPoint, WorkflowChange, Write};
use sagebrush_types::limits::{METRICS_PER_COMPONENT, RUN_POINTS_READ};
use sagebrush_types::{Failure, Outcome, Resource, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{milliseconds, seconds};
use crate::{ControlPlane, failure, not_found, request};

/// The internal member of a summary with the sum of squared deviations from the mean.
const SQUARES: &str = "_SquaredDeviations";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct BatchPutMetrics {
    trial_component_name: String,
    metric_data: Vec<RawMetricData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawMetricData {
    metric_name: String,
    timestamp: Value,
    step: Option<i64>,
    value: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct BatchGetMetrics {
    metric_queries: Vec<MetricQuery>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct MetricQuery {
    metric_name: String,
    resource_arn: String,
    metric_stat: String,
    period: String,
    x_axis_type: String,
    start: Option<i64>,
    end: Option<i64>,
}

impl ControlPlane {
    /// BatchPutMetrics: values of a trial component.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a time that is none; `LimitExceeded` for too many metrics.
    pub async fn batch_put_metrics(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: BatchPutMetrics = request::decode("BatchPutMetrics", document)?;
        let mut points = Vec::with_capacity(request.metric_data.len());
        for (index, data) in request.metric_data.into_iter().enumerate() {
            let at = milliseconds(&data.timestamp).ok_or_else(|| {
                Failure::invalid(format!("MetricData[{index}].Timestamp: {} is not a time.", data.timestamp))
            })?;
            points.push(RunPoint { metric: data.metric_name, at, step: data.step, value: data.value });
        }
        let name = &request.trial_component_name;
        let key = self.entity(scope, Resource::TrialComponent, name).await?.key;
        let now = self.now();
        let written = self
            .store()
            .update_with(&key, &WorkflowChange::Keep, |record| {
                let arn = record.arn.clone();
                summarise(&mut record.document, &arn, &points)?;
                record.document["LastModifiedTime"] = seconds(now);
                Outcome::Ok(((), vec![Write::Points { arn, points }]))
            })
            .await;
        match written {
            Ok(outcome) => outcome?,
            Err(MetastoreError::NotFound(_)) => return Err(not_found(scope, Resource::TrialComponent, name)),
            Err(error) => return Err(failure::of_metastore(error)),
        }
        Ok(json!({}))
    }

    /// BatchGetMetrics: series of trial components, grouped by step or period. The x axis counts
    /// steps, or seconds since the Unix epoch.
    ///
    /// # Errors
    /// `Internal`; a query that names nothing is answered in its result.
    pub async fn batch_get_metrics(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: BatchGetMetrics = request::decode("BatchGetMetrics", document)?;
        let mut results = Vec::with_capacity(request.metric_queries.len());
        for query in &request.metric_queries {
            let record = self.store().get_by_arn(&query.resource_arn).await.map_err(failure::of_metastore)?;
            let known = record.is_some_and(|record| {
                record.key.kind == Resource::TrialComponent && record.key.region == scope.region
            });
            if !known {
                results.push(json!({
                    "Status": "ValidationError",
                    "Message": format!("ResourceArn: {} is no trial component.", query.resource_arn),
                    "XAxisValues": [],
                    "MetricValues": [],
                }));
                continue;
            }
            let points = self
                .store()
                .run_points(&query.resource_arn, &query.metric_name, RUN_POINTS_READ)
                .await
                .map_err(failure::of_metastore)?;
            results.push(series(query, &points));
        }
        Ok(json!({"MetricQueryResults": results}))
    }
}

fn series(query: &MetricQuery, points: &[RunPoint]) -> Value {
    let by_step = query.period == "IterationNumber" || query.x_axis_type == "IterationNumber";
    let period = match query.period.as_str() {
        "OneHour" => 3_600,
        "FiveMinute" => 300,
        _ => 60,
    };
    let mut groups: BTreeMap<i64, Summary> = BTreeMap::new();
    for (point, ordinal) in points.iter().zip(0i64..) {
        let time = point.at.div_euclid(1000);
        let within = query.start.is_none_or(|start| time >= start) && query.end.is_none_or(|end| time <= end);
        if within {
            // A series without steps counts its values.
            let x = if by_step { point.step.unwrap_or(ordinal) } else { time - time.rem_euclid(period) };
            groups.entry(x).or_default().add(point.value);
        }
    }
    let status = if points.len() >= RUN_POINTS_READ { "Truncated" } else { "Complete" };
    let values: Vec<f64> = groups.values().map(|summary| summary.statistic(&query.metric_stat)).collect();
    json!({"Status": status, "XAxisValues": groups.keys().collect::<Vec<_>>(), "MetricValues": values})
}

/// Running statistics of a series; Welford's method.
#[derive(Debug, Default)]
struct Summary {
    count: f64,
    mean: f64,
    squares: f64,
    minimum: f64,
    maximum: f64,
    last: f64,
}

impl Summary {
    fn add(&mut self, value: f64) {
        if self.count == 0.0 {
            (self.minimum, self.maximum) = (value, value);
        }
        self.count += 1.0;
        let deviation = value - self.mean;
        self.mean += deviation / self.count;
        self.squares += deviation * (value - self.mean);
        self.minimum = self.minimum.min(value);
        self.maximum = self.maximum.max(value);
        self.last = value;
    }

    /// Population standard deviation.
    fn deviation(&self) -> f64 {
        if self.count > 0.0 { (self.squares / self.count).max(0.0).sqrt() } else { 0.0 }
    }

    fn statistic(&self, name: &str) -> f64 {
        match name {
            "Min" => self.minimum,
            "Max" => self.maximum,
            "Avg" => self.mean,
            "Count" => self.count,
            "StdDev" => self.deviation(),
            _ => self.last,
        }
    }

    fn of(shown: &Value) -> Self {
        let number = |member: &str| shown[member].as_f64().unwrap_or_default();
        Self {
            count: number("Count"),
            mean: number("Avg"),
            squares: number(SQUARES),
            minimum: number("Min"),
            maximum: number("Max"),
            last: number("Last"),
        }
    }
}

/// Adds values to the summaries in a trial component's document.
fn summarise(document: &mut Value, arn: &str, points: &[RunPoint]) -> Outcome<()> {
    let mut shown = document["Metrics"].as_array().cloned().unwrap_or_default();
    for point in points {
        let place = match shown.iter().position(|metric| metric["MetricName"] == point.metric.as_str()) {
            Some(place) => place,
            None if shown.len() >= METRICS_PER_COMPONENT => {
                return Err(Failure::new(
                    sagebrush_types::FailureKind::LimitExceeded,
                    format!("A trial component has at most {METRICS_PER_COMPONENT} metrics."),
                ));
            }
            None => {
                shown.push(json!({"MetricName": point.metric, "SourceArn": arn}));
                shown.len() - 1
            }
        };
        let mut summary = Summary::of(&shown[place]);
        summary.add(point.value);
        let metric = &mut shown[place];
        metric["TimeStamp"] = seconds(point.at);
        metric["Max"] = json!(summary.maximum);
        metric["Min"] = json!(summary.minimum);
        metric["Last"] = json!(summary.last);
        metric["Count"] = json!(summary.count as u64);
        metric["Avg"] = json!(summary.mean);
        metric["StdDev"] = json!(summary.deviation());
        metric[SQUARES] = json!(summary.squares);
    }
    document["Metrics"] = shown.into();
    Ok(())
}

/// Removes what only the next value needs from the summaries of a document that is shown.
pub fn hide_sums(document: &mut Value) {
    for metric in document["Metrics"].as_array_mut().into_iter().flatten() {
        if let Some(members) = metric.as_object_mut() {
            members.remove(SQUARES);
        }
    }
    if document["Metrics"].is_null()
        && let Some(members) = document.as_object_mut()
    {
        members.remove("Metrics");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_kept_value_by_value_is_that_of_all_values() -> Outcome<()> {
        let values = [3.0, -1.5, 8.25, 0.0, 2.5];
        let mut document = json!({});
        for value in values {
            let point = RunPoint { metric: "loss".into(), at: 1_000, step: None, value };
            summarise(&mut document, "arn", &[point])?;
        }
        let mean = values.iter().sum::<f64>() / 5.0;
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 5.0).sqrt();
        let shown = &document["Metrics"][0];
        let near = |member: &str, expected: f64| {
            (shown[member].as_f64().unwrap_or(f64::NAN) - expected).abs() < 1e-12
        };
        assert!(near("Avg", mean) && near("StdDev", deviation) && near("Min", -1.5) && near("Max", 8.25));
        assert!(near("Last", 2.5) && near("Count", 5.0));
        hide_sums(&mut document);
        assert!(document["Metrics"][0].get(SQUARES).is_none());
        Ok(())
    }
}
