//! Metric series: what was measured of one metric with one set of dimensions, over time.
//!
//! A series keeps its newest [`SERIES_POINTS`] points: a point beyond them takes the place of the
//! oldest.

mod read;

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use crate::database::{Verdict, execute, one};
use crate::{Metastore, Result};

pub use read::{Measured, MetricFilter, MetricPeriod, MetricSample, Periods};

/// Points that one series keeps. A point a second fills them in eleven days, a point a minute in two
/// years; on disk they take about 50 MB.
pub const SERIES_POINTS: i64 = 1_000_000;

/// What names a series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// What was measured at one time: a value, several values, or only their statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricDatum {
    /// Time, milliseconds since the Unix epoch.
    pub at: i64,
    /// Unit, one of CloudWatch's words.
    pub unit: String,
    /// Number of values; may be a fraction, as CloudWatch has it.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
    /// Values and how often each occurred; empty when only the statistics are known.
    pub samples: Vec<(f64, f64)>,
}

impl From<MetricPoint> for MetricDatum {
    fn from(point: MetricPoint) -> Self {
        let MetricPoint { at, value } = point;
        let samples = vec![(value, 1.0)];
        Self { at, unit: "None".into(), count: 1.0, sum: value, minimum: value, maximum: value, samples }
    }
}

impl Metastore {
    /// Appends points to series, which are created when they are not there, in one transaction.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn append_metrics(&self, region: &str, points: &[(MetricSeries, MetricPoint)]) -> Result<()> {
        let data: Vec<(MetricSeries, MetricDatum)> = points
            .iter()
            .filter(|(_, point)| point.value.is_finite())
            .map(|(series, point)| (series.clone(), (*point).into()))
            .collect();
        self.put_metrics(region, &data, i64::MAX).await.map(drop)
    }

    /// Appends measurements to series, which are created when they are not there, in one transaction.
    /// False, and nothing is done, when the region would then have more than `most` series.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn put_metrics(
        &self,
        region: &str,
        data: &[(MetricSeries, MetricDatum)],
        most: i64,
    ) -> Result<bool> {
        let put = self.writer.change(|connection| {
            let mut places: HashMap<&MetricSeries, (i64, i64)> = HashMap::new();
            let mut made = false;
            for (series, datum) in data {
                let (id, next) = match places.get(series) {
                    Some(place) => *place,
                    None => open_series(connection, region, series, &mut made)?,
                };
                insert(connection, id, next, datum)?;
                places.insert(series, (id, next + 1));
            }
            if made {
                let sql = "SELECT COUNT(*) FROM metric_series WHERE region = ?1";
                let series: i64 = one(connection, sql, (region,), |row| row.get(0))?;
                if series > most {
                    return Ok(Verdict::Undo(false));
                }
            }
            for (id, next) in places.values() {
                let sql = "DELETE FROM metric_points WHERE series_id = ?1 AND sequence < ?2";
                execute(connection, sql, (id, next - SERIES_POINTS))?;
            }
            Ok(Verdict::Keep(true))
        });
        put.await
    }
}

/// The series' identity and the place of its next point.
fn open_series(
    connection: &Connection,
    region: &str,
    series: &MetricSeries,
    made: &mut bool,
) -> Result<(i64, i64)> {
    let dimensions = serde_json::to_string(&series.dimensions)?;
    let named = (region, &series.namespace, &series.metric, &dimensions);
    let sql = "INSERT INTO metric_series (region, namespace, metric, dimensions) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (region, namespace, metric, dimensions) DO NOTHING";
    *made |= execute(connection, sql, named)? > 0;
    one(
        connection,
        "SELECT s.id, COALESCE((SELECT MAX(sequence) + 1 FROM metric_points WHERE series_id = s.id), 0)
         FROM metric_series s
         WHERE s.region = ?1 AND s.namespace = ?2 AND s.metric = ?3 AND s.dimensions = ?4",
        named,
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

fn insert(connection: &Connection, id: i64, sequence: i64, datum: &MetricDatum) -> Result<()> {
    let MetricDatum { at, unit, count, sum, minimum, maximum, samples } = datum;
    // A single value is its own statistics; only several values need their list.
    let single = minimum == maximum;
    let samples = match (single, samples.is_empty()) {
        (false, false) => Some(serde_json::to_string(samples)?),
        _ => None,
    };
    execute(
        connection,
        "INSERT INTO metric_points (series_id, sequence, at, value, count, minimum, maximum, samples, unit)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (id, sequence, at, sum, count, minimum, maximum, samples, unit),
    )?;
    Ok(())
}
