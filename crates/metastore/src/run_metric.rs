//! Series of values that clients measured for a resource, by ARN. They end with its record.

use sqlx::{Row, SqliteConnection};

use crate::{Metastore, Result};

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPoint {
    /// Metric name.
    pub metric: String,
    /// Time, milliseconds since the Unix epoch.
    pub at: i64,
    /// Step of the measured work, when the client named one.
    pub step: Option<i64>,
    /// Value; never NaN.
    pub value: f64,
}

impl Metastore {
    /// The values of one metric of a resource in the order they were sent, at most `limit`.
    ///
    /// # Errors
    /// `Database`.
    pub async fn run_points(&self, arn: &str, metric: &str, limit: usize) -> Result<Vec<RunPoint>> {
        let rows = sqlx::query(
            "SELECT metric, at, step, value FROM run_metrics WHERE arn = $1 AND metric = $2
             ORDER BY sequence LIMIT $3",
        )
        .bind(arn)
        .bind(metric)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.reader)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(RunPoint {
                    metric: row.try_get("metric")?,
                    at: row.try_get("at")?,
                    step: row.try_get("step")?,
                    value: row.try_get("value")?,
                })
            })
            .collect()
    }
}

pub(crate) async fn append(connection: &mut SqliteConnection, arn: &str, points: &[RunPoint]) -> Result<()> {
    for point in points {
        sqlx::query(
            "INSERT INTO run_metrics (arn, metric, sequence, at, step, value)
             VALUES ($1, $2, COALESCE((SELECT MAX(sequence) + 1 FROM run_metrics WHERE arn = $1 AND metric = $2), 0),
                     $3, $4, $5)",
        )
        .bind(arn)
        .bind(&point.metric)
        .bind(point.at)
        .bind(point.step)
        .bind(point.value)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(crate) async fn forget(connection: &mut SqliteConnection, arn: &str) -> Result<()> {
    sqlx::query("DELETE FROM run_metrics WHERE arn = $1").bind(arn).execute(connection).await?;
    Ok(())
}
