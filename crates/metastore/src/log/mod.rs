//! Log lines in streams of groups.

mod group;
mod search;

pub use group::LogGroup;
pub use search::{StreamOrder, StreamPage};

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use crate::{Metastore, Result};

/// A line to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Time of the line, milliseconds since the Unix epoch.
    pub at: i64,
    /// The line without its end.
    pub message: String,
}

/// A stored line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// Stream it belongs to.
    pub stream: String,
    /// Place in its stream, from 0 without gaps.
    pub sequence: i64,
    /// Time of the line, milliseconds.
    pub at: i64,
    /// Time it was stored, milliseconds.
    pub ingested: i64,
    /// The line.
    pub message: String,
}

/// Which way a stream is read, and from which place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// This place and those after it.
    From(i64),
    /// The places before this one, the nearest first.
    Before(i64),
}

/// A stream of a log group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStream {
    /// Its identity, which no other stream ever has.
    pub id: i64,
    /// Group it belongs to.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Creation, milliseconds.
    pub created: i64,
    /// Number of lines.
    pub lines: i64,
    /// Time of the first line, milliseconds.
    pub first_event: Option<i64>,
    /// Time of the last line, milliseconds.
    pub last_event: Option<i64>,
    /// Time the last line was stored, milliseconds.
    pub last_ingested: Option<i64>,
}

impl Metastore {
    /// Appends lines to a stream, which is created when it is not there, in one transaction.
    ///
    /// # Errors
    /// `Database`.
    pub async fn append_log(&self, region: &str, group: &str, stream: &str, lines: &[LogLine]) -> Result<()> {
        let now = self.clock.now_milliseconds();
        let mut transaction = self.begin().await?;
        let (id, first) = open_stream(transaction.connection(), region, group, stream, now).await?;
        append(transaction.connection(), id, first, lines, now).await?;
        transaction.commit().await
    }

    /// Appends lines to a stream that is there, in one transaction; false when it is not, or would
    /// hold more than `most` lines.
    ///
    /// # Errors
    /// `Database`.
    pub async fn append_log_to(
        &self,
        region: &str,
        group: &str,
        stream: &str,
        lines: &[LogLine],
        most: i64,
    ) -> Result<bool> {
        let now = self.clock.now_milliseconds();
        let mut transaction = self.begin().await?;
        let found = find_stream(transaction.connection(), region, group, stream).await?;
        let Some((id, first)) = found.filter(|(_, first)| first + lines.len() as i64 <= most) else {
            return Ok(false);
        };
        append(transaction.connection(), id, first, lines, now).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Streams of a group whose name begins with `prefix`, by name after `after`.
    ///
    /// # Errors
    /// `Database`.
    pub async fn log_streams(
        &self,
        region: &str,
        group: &str,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<LogStream>> {
        let rows = sqlx::query(
            "SELECT id, log_group, stream, created, lines, first_event, last_event, last_ingested FROM log_streams
             WHERE region = $1 AND log_group = $2 AND substr(stream, 1, length($3)) = $3 AND stream > $4
             ORDER BY stream LIMIT $5",
        )
        .bind(region)
        .bind(group)
        .bind(prefix)
        .bind(after)
        .bind(limit as i64)
        .fetch_all(&self.reader)
        .await?;
        rows.iter().map(read_stream).collect()
    }

    /// At most `limit` lines of one stream, read in a direction, with a time in `[start, end)`; always
    /// in the stream's order.
    ///
    /// # Errors
    /// `Database`.
    pub async fn log_events(
        &self,
        region: &str,
        group: &str,
        stream: &str,
        direction: Direction,
        times: std::ops::Range<i64>,
        limit: usize,
    ) -> Result<Vec<LogEvent>> {
        let (relation, place, order) = match direction {
            Direction::From(place) => (">=", place, "ASC"),
            Direction::Before(place) => ("<", place, "DESC"),
        };
        // Only the constants above enter the text; every value is bound.
        let sql = format!(
            "SELECT s.stream, e.sequence, e.at, e.ingested, e.message
             FROM log_streams s JOIN log_events e ON e.stream_id = s.id
             WHERE s.region = $1 AND s.log_group = $2 AND s.stream = $3
               AND e.sequence {relation} $4 AND e.at >= $5 AND e.at < $6
             ORDER BY e.sequence {order} LIMIT $7"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(region)
            .bind(group)
            .bind(stream)
            .bind(place)
            .bind(times.start)
            .bind(times.end)
            .bind(limit as i64)
            .fetch_all(&self.reader)
            .await?;
        let mut events = rows.iter().map(read_event).collect::<Result<Vec<_>>>()?;
        if matches!(direction, Direction::Before(_)) {
            events.reverse();
        }
        Ok(events)
    }
}

async fn open_stream(
    transaction: &mut SqliteConnection,
    region: &str,
    group: &str,
    stream: &str,
    now: i64,
) -> Result<(i64, i64)> {
    sqlx::query(
        "INSERT INTO log_streams (region, log_group, stream, created) VALUES ($1, $2, $3, $4)
         ON CONFLICT (region, log_group, stream) DO NOTHING",
    )
    .bind(region)
    .bind(group)
    .bind(stream)
    .bind(now)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("INSERT INTO log_groups (region, name, created) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(region)
        .bind(group)
        .bind(now)
        .execute(&mut *transaction)
        .await?;
    Ok(find_stream(transaction, region, group, stream).await?.unwrap_or_default())
}

/// Identity and number of lines of a stream.
async fn find_stream(
    transaction: &mut SqliteConnection,
    region: &str,
    group: &str,
    stream: &str,
) -> Result<Option<(i64, i64)>> {
    let row =
        sqlx::query("SELECT id, lines FROM log_streams WHERE region = $1 AND log_group = $2 AND stream = $3")
            .bind(region)
            .bind(group)
            .bind(stream)
            .fetch_optional(&mut *transaction)
            .await?;
    row.map(|row| Ok((row.try_get("id")?, row.try_get("lines")?))).transpose()
}

/// Adds lines from place `first` on to a stream.
async fn append(
    transaction: &mut SqliteConnection,
    id: i64,
    first: i64,
    lines: &[LogLine],
    now: i64,
) -> Result<()> {
    for (sequence, line) in (first..).zip(lines) {
        sqlx::query(
            "INSERT INTO log_events (stream_id, sequence, at, ingested, message) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id)
        .bind(sequence)
        .bind(line.at)
        .bind(now)
        .bind(&line.message)
        .execute(&mut *transaction)
        .await?;
    }
    let times = || lines.iter().map(|line| line.at);
    if let (Some(earliest), Some(latest)) = (times().min(), times().max()) {
        sqlx::query(
            "UPDATE log_streams SET lines = lines + $2, bytes = bytes + $3, last_ingested = $4,
                    first_event = MIN(COALESCE(first_event, $5), $5),
                    last_event = MAX(COALESCE(last_event, $6), $6) WHERE id = $1",
        )
        .bind(id)
        .bind(lines.len() as i64)
        .bind(lines.iter().map(|line| line.message.len() as i64).sum::<i64>())
        .bind(now)
        .bind(earliest)
        .bind(latest)
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}

fn read_stream(row: &SqliteRow) -> Result<LogStream> {
    Ok(LogStream {
        id: row.try_get("id")?,
        group: row.try_get("log_group")?,
        name: row.try_get("stream")?,
        created: row.try_get("created")?,
        lines: row.try_get("lines")?,
        first_event: row.try_get("first_event")?,
        last_event: row.try_get("last_event")?,
        last_ingested: row.try_get("last_ingested")?,
    })
}

fn read_event(row: &SqliteRow) -> Result<LogEvent> {
    Ok(LogEvent {
        stream: row.try_get("stream")?,
        sequence: row.try_get("sequence")?,
        at: row.try_get("at")?,
        ingested: row.try_get("ingested")?,
        message: row.try_get("message")?,
    })
}
