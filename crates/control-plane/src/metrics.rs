//! CloudWatch metric reads over the series of jobs.

use std::collections::BTreeMap;

use sagebrush_metastore::{MetricPoint, MetricSeries};
use sagebrush_types::limits::{METRIC_POINTS_PER_JOB, METRIC_STATISTICS_POINTS};
use sagebrush_types::{Failure, Outcome, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::{milliseconds, seconds};
use crate::{ControlPlane, failure, request};

/// Longest period, seconds: a year, far beyond what a job's series spans.
const LONGEST_PERIOD: i64 = 365 * 86_400;
/// Latest time that is taken for one, milliseconds: the end of the year 9999.
const LATEST: i64 = 253_402_300_799_999;

/// Series in one ListMetrics page: AWS's documented size.
const LIST_PAGE: usize = 500;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Dimension {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetMetricStatistics {
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    start_time: Value,
    end_time: Value,
    period: i64,
    #[serde(default)]
    statistics: Vec<String>,
    unit: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetMetricData {
    metric_data_queries: Vec<MetricDataQuery>,
    start_time: Value,
    end_time: Value,
    scan_by: Option<String>,
    max_datapoints: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct MetricDataQuery {
    id: String,
    metric_stat: MetricStat,
    label: Option<String>,
    #[serde(default = "yes")]
    return_data: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct MetricStat {
    metric: Metric,
    period: i64,
    stat: String,
    unit: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Metric {
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListMetrics {
    namespace: Option<String>,
    metric_name: Option<String>,
    #[serde(default)]
    dimensions: Vec<DimensionFilter>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DimensionFilter {
    name: String,
    value: Option<String>,
}

/// The statistics of the points in one period.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Summary {
    count: f64,
    sum: f64,
    minimum: f64,
    maximum: f64,
}

impl Summary {
    fn get(&self, statistic: &str) -> Option<f64> {
        match statistic {
            "SampleCount" => Some(self.count),
            "Sum" => Some(self.sum),
            "Average" => Some(self.sum / self.count),
            "Minimum" => Some(self.minimum),
            "Maximum" => Some(self.maximum),
            _ => None,
        }
    }
}

/// Points by period: the start of each period (milliseconds) with its statistics.
fn summarise(points: &[MetricPoint], period: i64) -> BTreeMap<i64, Summary> {
    let mut periods: BTreeMap<i64, Summary> = BTreeMap::new();
    for point in points {
        let start = point.at.div_euclid(period * 1000) * period * 1000;
        let empty = Summary { count: 0.0, sum: 0.0, minimum: f64::INFINITY, maximum: f64::NEG_INFINITY };
        let summary = periods.entry(start).or_insert(empty);
        summary.count += 1.0;
        summary.sum += point.value;
        summary.minimum = summary.minimum.min(point.value);
        summary.maximum = summary.maximum.max(point.value);
    }
    periods
}

fn series(namespace: String, metric: String, dimensions: Vec<Dimension>) -> MetricSeries {
    let dimensions = dimensions.into_iter().map(|dimension| (dimension.name, dimension.value)).collect();
    MetricSeries { namespace, metric, dimensions }
}

fn times(start: &Value, end: &Value) -> Outcome<std::ops::Range<i64>> {
    let read = |name: &str, value: &Value| {
        milliseconds(value)
            .filter(|time| (0..=LATEST).contains(time))
            .ok_or_else(|| Failure::invalid(format!("The parameter {name} must be a time.")))
    };
    let (start, end) = (read("StartTime", start)?, read("EndTime", end)?);
    if start >= end {
        return Err(Failure::invalid("The parameter StartTime must be less than the parameter EndTime."));
    }
    Ok(start..end)
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

/// Every point is stored without a unit; a request for another unit matches nothing, as in AWS.
fn unit_matches(unit: &Option<String>) -> bool {
    unit.as_deref().is_none_or(|unit| unit == "None")
}

impl ControlPlane {
    /// GetMetricStatistics.
    ///
    /// # Errors
    /// `Invalid` for times or periods that cannot be, or more points than one answer may hold;
    /// `Unsupported` for extended statistics.
    pub async fn get_metric_statistics(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: GetMetricStatistics = request::decode("GetMetricStatistics", document)?;
        check_period(request.period)?;
        if request.statistics.is_empty() {
            return Err(Failure::invalid("The parameter Statistics must name at least one statistic."));
        }
        let times = times(&request.start_time, &request.end_time)?;
        if (times.end - times.start) / (request.period * 1000) > METRIC_STATISTICS_POINTS as i64 {
            return Err(Failure::invalid(format!(
                "You have requested up to {} datapoints, which exceeds the limit of {METRIC_STATISTICS_POINTS}. \
                 You may reduce the datapoints requested by increasing Period, or decreasing the time range.",
                (times.end - times.start) / (request.period * 1000)
            )));
        }
        let metric = request.metric_name.clone();
        let mut summaries = BTreeMap::new();
        if unit_matches(&request.unit) {
            let series = series(request.namespace, request.metric_name, request.dimensions);
            summaries = summarise(&self.points(scope, &series, times).await?, request.period);
        }
        let points: Vec<Value> = summaries
            .iter()
            .map(|(start, summary)| {
                let mut point = json!({"Timestamp": seconds(*start), "Unit": "None"});
                for statistic in &request.statistics {
                    if let Some(value) = summary.get(statistic) {
                        point[statistic.as_str()] = json!(value);
                    }
                }
                point
            })
            .collect();
        Ok(json!({"Label": metric, "Datapoints": points}))
    }

    /// GetMetricData for single metrics; metric math is refused.
    ///
    /// # Errors
    /// As GetMetricStatistics.
    pub async fn get_metric_data(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: GetMetricData = request::decode("GetMetricData", document)?;
        let times = times(&request.start_time, &request.end_time)?;
        let descending = request.scan_by.as_deref() != Some("TimestampAscending");
        let limit = request.max_datapoints.unwrap_or(usize::MAX);
        let mut results = Vec::new();
        for query in request.metric_data_queries.into_iter().filter(|query| query.return_data) {
            let stat = query.metric_stat;
            check_period(stat.period)?;
            let label = query.label.unwrap_or_else(|| stat.metric.metric_name.clone());
            let mut summaries = BTreeMap::new();
            if unit_matches(&stat.unit) {
                let Metric { namespace, metric_name, dimensions } = stat.metric;
                let series = series(namespace, metric_name, dimensions);
                summaries = summarise(&self.points(scope, &series, times.clone()).await?, stat.period);
            }
            let mut points = Vec::new();
            for (start, summary) in &summaries {
                let value = summary.get(&stat.stat).ok_or_else(|| {
                    Failure::unsupported(format!(
                        "Stat: '{}' is not supported; use SampleCount, Sum, Average, Minimum or Maximum.",
                        stat.stat
                    ))
                })?;
                points.push((*start, value));
            }
            if descending {
                points.reverse();
            }
            points.truncate(limit);
            results.push(json!({
                "Id": query.id,
                "Label": label,
                "Timestamps": points.iter().map(|(start, _)| seconds(*start)).collect::<Vec<_>>(),
                "Values": points.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
                "StatusCode": "Complete",
            }));
        }
        Ok(json!({"MetricDataResults": results, "Messages": []}))
    }

    /// ListMetrics.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_metrics(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: ListMetrics = request::decode("ListMetrics", document)?;
        let after = match &request.next_token {
            None => 0,
            Some(token) => token
                .parse()
                .map_err(|_| Failure::invalid("NextToken: the token was not issued by ListMetrics."))?,
        };
        let found = self
            .store()
            .metric_series(
                &scope.region,
                request.namespace.as_deref(),
                request.metric_name.as_deref(),
                after,
                LIST_PAGE + 1,
            )
            .await
            .map_err(failure::of_metastore)?;
        let mut answer = json!({});
        if found.len() > LIST_PAGE {
            answer["NextToken"] = json!(found[LIST_PAGE - 1].0.to_string());
        }
        let wanted = |series: &MetricSeries| {
            request.dimensions.iter().all(|filter| {
                series
                    .dimensions
                    .get(&filter.name)
                    .is_some_and(|value| filter.value.as_ref().is_none_or(|wanted| wanted == value))
            })
        };
        answer["Metrics"] = found
            .iter()
            .take(LIST_PAGE)
            .filter(|(_, series)| wanted(series))
            .map(|(_, series)| {
                let dimensions: Vec<Value> = series
                    .dimensions
                    .iter()
                    .map(|(name, value)| json!({"Name": name, "Value": value}))
                    .collect();
                json!({"Namespace": series.namespace, "MetricName": series.metric, "Dimensions": dimensions})
            })
            .collect();
        Ok(answer)
    }

    async fn points(
        &self,
        scope: &Scope,
        series: &MetricSeries,
        times: std::ops::Range<i64>,
    ) -> Outcome<Vec<MetricPoint>> {
        let limit = METRIC_POINTS_PER_JOB as usize;
        self.store().metric_points(&scope.region, series, times, limit).await.map_err(failure::of_metastore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_summarised_by_period() {
        let points = [(0, 1.0), (59_999, 3.0), (60_000, 5.0)].map(|(at, value)| MetricPoint { at, value });
        let summaries = summarise(&points, 60);
        assert_eq!(summaries.keys().copied().collect::<Vec<_>>(), [0, 60_000]);
        assert_eq!(summaries[&0].get("Average"), Some(2.0));
        assert_eq!(summaries[&0].get("Maximum"), Some(3.0));
        assert_eq!(summaries[&60_000].get("SampleCount"), Some(1.0));
        assert_eq!(summaries[&0].get("p99"), None);
    }

    #[test]
    fn periods_follow_cloudwatch() {
        assert!(check_period(60).is_ok() && check_period(5).is_ok() && check_period(3600).is_ok());
        assert!(check_period(i64::MAX / 60 * 60).is_err());
        assert!(times(&json!(-1e300), &json!(1e300)).is_err());
        assert!(check_period(0).is_err() && check_period(7).is_err() && check_period(90).is_err());
    }
}
