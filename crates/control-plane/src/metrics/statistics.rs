//! GetMetricStatistics.

use std::collections::BTreeMap;

use sagebrush_metastore::{Measured, MetricPeriod, Periods};
use sagebrush_types::limits::{METRIC_SAMPLES_PER_CALL, METRIC_STATISTICS_POINTS};
use sagebrush_types::{Failure, Outcome, Scope};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::percentile::{self, Values};
use super::{Dimension, check_period, series, statistic, times};
use crate::document::seconds;
use crate::{ControlPlane, failure, request};

/// Units in which one metric can have been put.
const UNITS: usize = 27;

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
    #[serde(default)]
    extended_statistics: Vec<String>,
    unit: Option<String>,
}

impl ControlPlane {
    /// GetMetricStatistics: a data point per period and unit in which something was measured.
    ///
    /// # Errors
    /// `Invalid` for times, periods or statistics that cannot be, or more points than one answer may
    /// hold; `Unsupported` for extended statistics other than percentiles.
    pub async fn get_metric_statistics(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: GetMetricStatistics = request::decode("GetMetricStatistics", document)?;
        check_period(request.period)?;
        if request.statistics.is_empty() && request.extended_statistics.is_empty() {
            return Err(Failure::invalid(
                "At least one of the parameters Statistics and ExtendedStatistics must be specified.",
            ));
        }
        let shares: Vec<(String, f64)> = request
            .extended_statistics
            .iter()
            .map(|name| Ok((name.clone(), percentile::share(name)?)))
            .collect::<Outcome<_>>()?;
        let times = times(&request.start_time, &request.end_time, request.period)?;
        let length = request.period * 1000;
        if (times.1 - times.0) / length > METRIC_STATISTICS_POINTS as i64 {
            return Err(Failure::invalid(format!(
                "You have requested up to {} datapoints, which exceeds the limit of {METRIC_STATISTICS_POINTS}. \
                 You may reduce the datapoints requested by increasing Period, or decreasing the time range.",
                (times.1 - times.0) / length
            )));
        }
        let series = series(request.namespace, request.metric_name, request.dimensions)?;
        let what = Measured { series: &series, times, unit: request.unit.as_deref() };
        let limit = (METRIC_STATISTICS_POINTS + 1) * UNITS;
        let periods = Periods { length, by_unit: true, descending: false, offset: 0, limit };
        let found = self
            .store()
            .metric_periods(&scope.region, &what, periods)
            .await
            .map_err(failure::of_metastore)?;
        let values = match shares.is_empty() {
            true => BTreeMap::new(),
            false => self.values(scope, &what, length, true).await?,
        };
        let points: Vec<Value> =
            found.iter().map(|period| datapoint(period, &request.statistics, &shares, &values)).collect();
        Ok(json!({"Label": series.metric, "Datapoints": points}))
    }

    /// Every value by period and unit, within a bound.
    pub(super) async fn values(
        &self,
        scope: &Scope,
        what: &Measured<'_>,
        length: i64,
        by_unit: bool,
    ) -> Outcome<BTreeMap<(i64, String), Values>> {
        let samples = self
            .store()
            .metric_samples(&scope.region, what, METRIC_SAMPLES_PER_CALL + 1)
            .await
            .map_err(failure::of_metastore)?;
        if samples.len() > METRIC_SAMPLES_PER_CALL {
            return Err(Failure::invalid(format!(
                "A percentile is computed from at most {METRIC_SAMPLES_PER_CALL} points, and there are more in this \
                 time range. Ask for a shorter one."
            )));
        }
        Ok(percentile::by_period(samples, length, by_unit))
    }
}

fn datapoint(
    period: &MetricPeriod,
    statistics: &[String],
    shares: &[(String, f64)],
    values: &BTreeMap<(i64, String), Values>,
) -> Value {
    let mut point = json!({"Timestamp": seconds(period.start), "Unit": period.unit});
    for name in statistics {
        if let Some(value) = statistic(period, name) {
            point[name.as_str()] = json!(value);
        }
    }
    let found = values.get(&(period.start, period.unit.clone()));
    let extended: Map<String, Value> =
        shares.iter().filter_map(|(name, share)| Some((name.clone(), json!(found?.at(*share)?)))).collect();
    if !extended.is_empty() {
        point["ExtendedStatistics"] = extended.into();
    }
    point
}
