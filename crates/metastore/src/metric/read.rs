//! Reads of metric series: points, statistics by period, samples, and the series themselves.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::{MetricPoint, MetricSeries};
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
     WHERE s.region = $1 AND s.namespace = $2 AND s.metric = $3 AND s.dimensions = $4
       AND p.at >= $5 AND p.at < $6 AND ($7 IS NULL OR p.unit = $7)";

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
            format!("SELECT p.at, p.value / p.count AS value{OF_SERIES} ORDER BY p.at, p.sequence LIMIT $8");
        let rows = self.measured(sql, region, &what, limit, 0).await?;
        rows.iter()
            .map(|row| Ok(MetricPoint { at: row.try_get("at")?, value: row.try_get("value")? }))
            .collect()
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
             GROUP BY 1, 2 ORDER BY 1 {order}, 2 LIMIT $8 OFFSET $9"
        );
        let rows = self.measured(sql, region, what, limit, offset).await?;
        rows.iter()
            .map(|row| {
                Ok(MetricPeriod {
                    start: row.try_get("start")?,
                    unit: row.try_get("unit")?,
                    count: row.try_get("count")?,
                    sum: row.try_get("sum")?,
                    minimum: row.try_get("minimum")?,
                    maximum: row.try_get("maximum")?,
                })
            })
            .collect()
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
             ORDER BY p.at, p.sequence LIMIT $8"
        );
        self.measured(sql, region, what, limit, 0).await?.iter().map(sample).collect()
    }

    async fn measured(
        &self,
        sql: String,
        region: &str,
        what: &Measured<'_>,
        limit: usize,
        offset: usize,
    ) -> Result<Vec<SqliteRow>> {
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(region)
            .bind(&what.series.namespace)
            .bind(&what.series.metric)
            .bind(serde_json::to_string(&what.series.dimensions)?)
            .bind(what.times.0)
            .bind(what.times.1)
            .bind(what.unit)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(i64::try_from(offset).unwrap_or(i64::MAX));
        Ok(query.fetch_all(&self.reader).await?)
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
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
            "SELECT id, namespace, metric, dimensions FROM metric_series s WHERE region = ",
        );
        query.push_bind(region).push(" AND id > ").push_bind(after);
        if let Some(namespace) = &filter.namespace {
            query.push(" AND namespace = ").push_bind(namespace);
        }
        if let Some(metric) = &filter.metric {
            query.push(" AND metric = ").push_bind(metric);
        }
        for (name, value) in &filter.dimensions {
            query.push(" AND EXISTS (SELECT 1 FROM json_each(s.dimensions) d WHERE d.key = ").push_bind(name);
            if let Some(value) = value {
                query.push(" AND d.value = ").push_bind(value);
            }
            query.push(")");
        }
        if let Some(since) = filter.active_since {
            query
                .push(" AND EXISTS (SELECT 1 FROM metric_points p WHERE p.series_id = s.id AND p.at >= ")
                .push_bind(since)
                .push(")");
        }
        query.push(" ORDER BY id LIMIT ").push_bind(limit as i64);
        let rows = query.build().fetch_all(&self.reader).await?;
        rows.iter()
            .map(|row| {
                let series = MetricSeries {
                    namespace: row.try_get("namespace")?,
                    metric: row.try_get("metric")?,
                    dimensions: serde_json::from_str(row.try_get::<&str, _>("dimensions")?)?,
                };
                Ok((row.try_get("id")?, series))
            })
            .collect()
    }
}

fn sample(row: &SqliteRow) -> Result<MetricSample> {
    let (minimum, maximum): (Option<f64>, Option<f64>) = (row.try_get("minimum")?, row.try_get("maximum")?);
    let values = match row.try_get::<Option<&str>, _>("samples")? {
        Some(text) => serde_json::from_str(text)?,
        // All values are the same one, or there is only one.
        None if minimum == maximum => {
            vec![(minimum.map_or_else(|| row.try_get("value"), Ok)?, row.try_get("count")?)]
        }
        None => Vec::new(),
    };
    Ok(MetricSample { at: row.try_get("at")?, unit: row.try_get("unit")?, values })
}
