//! GetMetricData: several metrics at once, in pages of data points.

use sagebrush_metastore::{Measured, Periods};
use sagebrush_types::limits::{METRIC_DATA_POINTS, METRIC_QUERIES_PER_CALL};
use sagebrush_types::{Failure, Outcome, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Dimension, check_period, percentile, series, statistic, times};
use crate::document::seconds;
use crate::{ControlPlane, failure, request};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetMetricData {
    metric_data_queries: Vec<MetricDataQuery>,
    start_time: Value,
    end_time: Value,
    scan_by: Option<String>,
    max_datapoints: Option<usize>,
    next_token: Option<String>,
    /// A time zone for the times in labels; labels with times are refused.
    #[serde(rename = "LabelOptions")]
    _label_options: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct MetricDataQuery {
    id: String,
    metric_stat: Option<MetricStat>,
    expression: Option<String>,
    label: Option<String>,
    #[serde(default = "yes")]
    return_data: bool,
    /// Belongs to expressions, which are refused.
    #[serde(rename = "Period")]
    _period: Option<i64>,
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

/// Where a page begins: a query by its place, and a data point of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    query: usize,
    point: usize,
}

impl ControlPlane {
    /// GetMetricData. An answer holds as many data points as asked for; the token goes on from there.
    ///
    /// # Errors
    /// As GetMetricStatistics; `Unsupported` for expressions and for labels with placeholders.
    pub async fn get_metric_data(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: GetMetricData = request::decode("GetMetricData", document)?;
        let queries = checked(request.metric_data_queries)?;
        let descending = request.scan_by.as_deref() != Some("TimestampAscending");
        let mut left = request.max_datapoints.unwrap_or(METRIC_DATA_POINTS).clamp(1, METRIC_DATA_POINTS);
        let begin = request.next_token.as_deref().map_or(Ok(Place { query: 0, point: 0 }), place)?;
        let mut results = Vec::new();
        let mut next = None;
        for (index, (id, label, stat)) in queries.iter().enumerate().skip(begin.query) {
            let offset = if index == begin.query { begin.point } else { 0 };
            if left == 0 {
                next = Some(Place { query: index, point: 0 });
                break;
            }
            let times = times(&request.start_time, &request.end_time, stat.period)?;
            // One point more than there is room for tells whether this query goes on.
            let mut points = self.points(scope, stat, times, descending, offset, left + 1).await?;
            let more = points.len() > left;
            points.truncate(left);
            left -= points.len();
            results.push(json!({
                "Id": id,
                "Label": label,
                "Timestamps": points.iter().map(|(start, _)| seconds(*start)).collect::<Vec<_>>(),
                "Values": points.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
                "StatusCode": if more { "PartialData" } else { "Complete" },
            }));
            if more {
                next = Some(Place { query: index, point: offset + points.len() });
                break;
            }
        }
        let mut answer = json!({"MetricDataResults": results, "Messages": []});
        if let Some(Place { query, point }) = next {
            answer["NextToken"] = json!(format!("{query}.{point}"));
        }
        Ok(answer)
    }

    /// The data points of one query: the start of each period, milliseconds, and its statistic.
    async fn points(
        &self,
        scope: &Scope,
        stat: &MetricStat,
        times: (i64, i64),
        descending: bool,
        offset: usize,
        limit: usize,
    ) -> Outcome<Vec<(i64, f64)>> {
        let Metric { namespace, metric_name, dimensions } = &stat.metric;
        let series = series(namespace.clone(), metric_name.clone(), dimensions.clone())?;
        let what = Measured { series: &series, times, unit: stat.unit.as_deref() };
        let length = stat.period * 1000;
        if !NAMED.contains(&stat.stat.as_str()) {
            let share = percentile::share(&stat.stat)?;
            let values = self.values(scope, &what, length, false).await?;
            let found = values.iter().filter_map(|((start, _), values)| Some((*start, values.at(share)?)));
            return Ok(match descending {
                true => found.rev().skip(offset).take(limit).collect(),
                false => found.skip(offset).take(limit).collect(),
            });
        }
        let periods = Periods { length, by_unit: false, descending, offset, limit };
        let found = self
            .store()
            .metric_periods(&scope.region, &what, periods)
            .await
            .map_err(failure::of_metastore)?;
        Ok(found.iter().filter_map(|period| Some((period.start, statistic(period, &stat.stat)?))).collect())
    }
}

const NAMED: [&str; 5] = ["SampleCount", "Sum", "Average", "Minimum", "Maximum"];

/// The queries that return data: identity, label, and what is asked for.
fn checked(queries: Vec<MetricDataQuery>) -> Outcome<Vec<(String, String, MetricStat)>> {
    if queries.len() > METRIC_QUERIES_PER_CALL {
        return Err(Failure::invalid(format!(
            "The collection MetricDataQueries must not have a size greater than {METRIC_QUERIES_PER_CALL}."
        )));
    }
    let mut checked = Vec::new();
    for query in queries {
        let MetricDataQuery { id, metric_stat, expression, label, return_data, .. } = query;
        if let Some(expression) = expression {
            return Err(Failure::unsupported(format!(
                "MetricDataQueries '{id}': the expression '{expression}' is not supported by this server. Ask for \
                 the metrics with MetricStat and compute from them."
            )));
        }
        let stat = metric_stat.ok_or_else(|| {
            Failure::invalid(format!("MetricDataQueries '{id}': MetricStat must be specified."))
        })?;
        check_period(stat.period)?;
        if !NAMED.contains(&stat.stat.as_str()) {
            percentile::share(&stat.stat)?;
        }
        let label = label.unwrap_or_else(|| stat.metric.metric_name.clone());
        if label.contains("${") {
            return Err(Failure::unsupported(format!(
                "MetricDataQueries '{id}': placeholders in labels are not supported by this server."
            )));
        }
        if return_data {
            checked.push((id, label, stat));
        }
    }
    Ok(checked)
}

fn place(token: &str) -> Outcome<Place> {
    let read = |token: &str| {
        let (query, point) = token.split_once('.')?;
        Some(Place { query: query.parse().ok()?, point: point.parse().ok()? })
    };
    read(token).ok_or_else(|| Failure::invalid("The value of parameter NextToken is invalid."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_a_query_and_a_point() {
        assert_eq!(place("3.41").ok(), Some(Place { query: 3, point: 41 }));
        assert!(place("3").is_err() && place("-1.2").is_err() && place("").is_err());
    }

    #[test]
    fn expressions_are_refused_by_name() {
        let query = json!([{"Id": "e1", "Expression": "SEARCH(' {N} ', 'Sum')"}]);
        let refused = serde_json::from_value(query).map(checked);
        assert!(refused.is_ok_and(|refused| {
            refused.is_err_and(|failure| failure.message.contains("SEARCH(' {N} ', 'Sum')' is not supported"))
        }));
    }
}
