//! Reads of metric series: points, statistics by period, samples, and the series themselves.

use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use super::{MetricPoint, MetricSeries};
use crate::database::{all, text};
use crate::{Metastore, Result};

/// What is read of a series.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// The series.
    pub series: &'a MetricSeries,
    /// Times in `[start, end)`, milliseconds.
    pub times: (i64, i64),
    /// One unit, or every one.
    pub unit: Option<&'a str>,
}

/// How a series is divided into periods.
#[derive(Debug, Clone, Copy)]
pub struct Periods {
    /// Length, milliseconds; periods begin at its multiples since the Unix epoch.
    pub length: i64,
    /// One row per unit of a period rather than one for all units.
    pub by_unit: bool,
    /// The latest period first.
    pub descending: bool,
    /// Rows passed over.
    pub offset: usize,
    /// Rows returned at most.
    pub limit: usize,
}

/// Statistics of one period.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPeriod {
    /// Its start, milliseconds.
    pub start: i64,
    /// Unit; empty for all units together.
    pub unit: String,
    /// Number of values.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
}

/// Values measured at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSample {
    /// Time, milliseconds.
    pub at: i64,
    /// Unit.
    pub unit: String,
    /// Values and how often each occurred; empty when only statistics are known.
    pub values: Vec<(f64, f64)>,
}

/// Which series are listed.
#[derive(Debug, Clone, Default)]
pub struct MetricFilter {
    /// Namespace.
    pub namespace: Option<String>,
    /// Metric name.
    pub metric: Option<String>,
    /// Dimensions that must be there, with this value or any.
    pub dimensions: Vec<(String, Option<String>)>,
    /// Only series with a point at this time or later, milliseconds.
    pub active_since: Option<i64>,
}

const OF_SERIES: &str = " FROM metric_series s JOIN metric_points p ON p.series_id = s.id
     WHERE s.region = ?1 AND s.namespace = ?2 AND s.metric = ?3 AND s.dimensions = ?4
       AND p.at >= ?5 AND p.at < ?6 AND (?7 IS NULL OR p.unit = ?7)";

impl Metastore {
    /// Points of a series with a time in `[start, end)`, by time, at most `limit`. A point that stands
    /// for several values has their average.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn metric_points(
        &self,
        region: &str,
        series: &MetricSeries,
        times: std::ops::Range<i64>,
        limit: usize,
    ) -> Result<Vec<MetricPoint>> {
        let what = Measured { series, times: (times.start, times.end), unit: None };
        let sql =
            format!("SELECT p.at, p.value / p.count AS value{OF_SERIES} ORDER BY p.at, p.sequence LIMIT ?8");
        let read = |row: &Row<'_>| Ok(MetricPoint { at: row.get("at")?, value: row.get("value")? });
        self.measured(sql, region, &what, (limit, None), read).await
    }

    /// Statistics of the periods in which something was measured, by start and unit.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn metric_periods(
        &self,
        region: &str,
        what: &Measured<'_>,
        periods: Periods,
    ) -> Result<Vec<MetricPeriod>> {
        let Periods { length, by_unit, descending, offset, limit } = periods;
        let length = length.max(1);
        // Only numbers and the constants here enter the text; every value is bound.
        let unit = if by_unit { "p.unit" } else { "''" };
        let order = if descending { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT p.at / {length} * {length} AS start, {unit} AS unit, SUM(p.count) AS count,
                    SUM(p.value) AS sum, MIN(COALESCE(p.minimum, p.value)) AS minimum,
                    MAX(COALESCE(p.maximum, p.value)) AS maximum{OF_SERIES}
             GROUP BY 1, 2 ORDER BY 1 {order}, 2 LIMIT ?8 OFFSET ?9"
        );
        let read = |row: &Row<'_>| {
            Ok(MetricPeriod {
                start: row.get("start")?,
                unit: row.get("unit")?,
                count: row.get("count")?,
                sum: row.get("sum")?,
                minimum: row.get("minimum")?,
                maximum: row.get("maximum")?,
            })
        };
        self.measured(sql, region, what, (limit, Some(offset)), read).await
    }

    /// Measurements with their values, by time, at most `limit`.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn metric_samples(
        &self,
        region: &str,
        what: &Measured<'_>,
        limit: usize,
    ) -> Result<Vec<MetricSample>> {
        let sql = format!(
            "SELECT p.at, p.unit, p.count, p.minimum, p.maximum, p.value, p.samples{OF_SERIES}
             ORDER BY p.at, p.sequence LIMIT ?8"
        );
        self.measured(sql, region, what, (limit, None), sample).await
    }

    /// Rows of a query over [`OF_SERIES`] with a limit and, if there is one, an offset.
    async fn measured<T: Send + 'static>(
        &self,
        sql: String,
        region: &str,
        what: &Measured<'_>,
        (limit, offset): (usize, Option<usize>),
        read: impl Fn(&Row<'_>) -> Result<T> + Send + 'static,
    ) -> Result<Vec<T>> {
        let count = |count: usize| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
        let mut parameters: Vec<Value> = vec![
            region.to_owned().into(),
            what.series.namespace.clone().into(),
            what.series.metric.clone().into(),
            serde_json::to_string(&what.series.dimensions)?.into(),
            what.times.0.into(),
            what.times.1.into(),
            what.unit.map(str::to_owned).into(),
            count(limit),
        ];
        parameters.extend(offset.map(count));
        self.readers.read(move |connection| all(connection, &sql, params_from_iter(parameters), read)).await
    }

    /// Series that a filter lets through, by identity, after place `after`, with their place.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn metric_series(
        &self,
        region: &str,
        filter: &MetricFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, MetricSeries)>> {
        let mut sql =
            String::from("SELECT id, namespace, metric, dimensions FROM metric_series s WHERE region = ?");
        let mut parameters = vec![Value::from(region.to_owned())];
        let mut and = |condition: &str, value: Option<Value>| {
            sql.push_str(condition);
            parameters.extend(value);
        };
        and(" AND id > ?", Some(after.into()));
        if let Some(namespace) = &filter.namespace {
            and(" AND namespace = ?", Some(namespace.clone().into()));
        }
        if let Some(metric) = &filter.metric {
            and(" AND metric = ?", Some(metric.clone().into()));
        }
        for (name, value) in &filter.dimensions {
            let named = " AND EXISTS (SELECT 1 FROM json_each(s.dimensions) d WHERE d.key = ?";
            and(named, Some(name.clone().into()));
            if let Some(value) = value {
                and(" AND d.value = ?", Some(value.clone().into()));
            }
            and(")", None);
        }
        if let Some(since) = filter.active_since {
            let active = " AND EXISTS (SELECT 1 FROM metric_points p WHERE p.series_id = s.id AND p.at >= ?)";
            and(active, Some(since.into()));
        }
        and(" ORDER BY id LIMIT ?", Some((limit as i64).into()));
        let series = self.readers.read(move |connection| {
            all(connection, &sql, params_from_iter(parameters), |row| {
                let series = MetricSeries {
                    namespace: row.get("namespace")?,
                    metric: row.get("metric")?,
                    dimensions: serde_json::from_str(text(row, "dimensions")?)?,
                };
                Ok((row.get("id")?, series))
            })
        });
        series.await
    }
}

fn sample(row: &Row<'_>) -> Result<MetricSample> {
    let (minimum, maximum): (Option<f64>, Option<f64>) = (row.get("minimum")?, row.get("maximum")?);
    let values = match row.get::<_, Option<String>>("samples")? {
        Some(text) => serde_json::from_str(&text)?,
        // All values are the same one, or there is only one.
        None if minimum == maximum => {
            vec![(minimum.map_or_else(|| row.get("value"), Ok)?, row.get("count")?)]
        }
        None => Vec::new(),
    };
    Ok(MetricSample { at: row.get("at")?, unit: row.get("unit")?, values })
}
