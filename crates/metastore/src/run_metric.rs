//! Series of values that clients measured for a resource, by ARN. They end with its record.

use rusqlite::Connection;

use crate::database::{all, execute};
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
        let (arn, metric) = (arn.to_owned(), metric.to_owned());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let points = self.readers.read(move |connection| {
            all(
                connection,
                "SELECT metric, at, step, value FROM run_metrics WHERE arn = ?1 AND metric = ?2
                 ORDER BY sequence LIMIT ?3",
                (arn, metric, limit),
                |row| {
                    let (metric, at) = (row.get("metric")?, row.get("at")?);
                    Ok(RunPoint { metric, at, step: row.get("step")?, value: row.get("value")? })
                },
            )
        });
        points.await
    }
}

pub(crate) fn append(connection: &Connection, arn: &str, points: &[RunPoint]) -> Result<()> {
    for RunPoint { metric, at, step, value } in points {
        execute(
            connection,
            "INSERT INTO run_metrics (arn, metric, sequence, at, step, value)
             VALUES (?1, ?2, COALESCE((SELECT MAX(sequence) + 1 FROM run_metrics WHERE arn = ?1 AND metric = ?2), 0),
                     ?3, ?4, ?5)",
            (arn, metric, at, step, value),
        )?;
    }
    Ok(())
}

pub(crate) fn forget(connection: &Connection, arn: &str) -> Result<()> {
    execute(connection, "DELETE FROM run_metrics WHERE arn = ?1", (arn,))?;
    Ok(())
}
