//! Metric series: points in time of one metric with one set of dimensions.

use std::collections::BTreeMap;

use sqlx::Row;

use crate::{Metastore, Result};

/// What names a series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricSeries {
    /// Namespace, such as `/aws/sagemaker/TrainingJobs`.
    pub namespace: String,
    /// Metric name.
    pub metric: String,
    /// Dimensions by name.
    pub dimensions: BTreeMap<String, String>,
}

/// One value at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricPoint {
    /// Time, milliseconds since the Unix epoch.
    pub at: i64,
    /// Value; never NaN.
    pub value: f64,
}

impl Metastore {
    /// Appends points to series, which are created when they are not there, in one transaction.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn append_metrics(&self, region: &str, points: &[(MetricSeries, MetricPoint)]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for (series, point) in points.iter().filter(|(_, point)| point.value.is_finite()) {
            let dimensions = serde_json::to_string(&series.dimensions)?;
            sqlx::query(
                "INSERT INTO metric_series (region, namespace, metric, dimensions) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (region, namespace, metric, dimensions) DO NOTHING",
            )
            .bind(region)
            .bind(&series.namespace)
            .bind(&series.metric)
            .bind(&dimensions)
            .execute(transaction.connection())
            .await?;
            sqlx::query(
                "INSERT INTO metric_points (series_id, sequence, at, value)
                 SELECT s.id, COALESCE((SELECT MAX(sequence) + 1 FROM metric_points WHERE series_id = s.id), 0), $5, $6
                 FROM metric_series s
                 WHERE s.region = $1 AND s.namespace = $2 AND s.metric = $3 AND s.dimensions = $4",
            )
            .bind(region)
            .bind(&series.namespace)
            .bind(&series.metric)
            .bind(&dimensions)
            .bind(point.at)
            .bind(point.value)
            .execute(transaction.connection())
            .await?;
        }
        transaction.commit().await
    }

    /// Points of a series with a time in `[start, end)`, by time, at most `limit`.
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
        let rows = sqlx::query(
            "SELECT p.at, p.value FROM metric_series s JOIN metric_points p ON p.series_id = s.id
             WHERE s.region = $1 AND s.namespace = $2 AND s.metric = $3 AND s.dimensions = $4
               AND p.at >= $5 AND p.at < $6
             ORDER BY p.at, p.sequence LIMIT $7",
        )
        .bind(region)
        .bind(&series.namespace)
        .bind(&series.metric)
        .bind(serde_json::to_string(&series.dimensions)?)
        .bind(times.start)
        .bind(times.end)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.reader)
        .await?;
        rows.iter()
            .map(|row| Ok(MetricPoint { at: row.try_get("at")?, value: row.try_get("value")? }))
            .collect()
    }

    /// Series of a namespace (of all when `None`) by identity, after place `after`, with their place.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn metric_series(
        &self,
        region: &str,
        namespace: Option<&str>,
        metric: Option<&str>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, MetricSeries)>> {
        let rows = sqlx::query(
            "SELECT id, namespace, metric, dimensions FROM metric_series
             WHERE region = $1 AND ($2 IS NULL OR namespace = $2) AND ($3 IS NULL OR metric = $3) AND id > $4
             ORDER BY id LIMIT $5",
        )
        .bind(region)
        .bind(namespace)
        .bind(metric)
        .bind(after)
        .bind(limit as i64)
        .fetch_all(&self.reader)
        .await?;
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
