//! Log lines in streams of groups.

mod group;
mod search;

pub use group::LogGroup;
pub use search::{StreamOrder, StreamPage};

use rusqlite::{Connection, Row};

use crate::database::{Verdict, all, execute, optional};
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
        let appended = self.writer.change(|connection| {
            let (id, first) = open_stream(connection, region, group, stream, now)?;
            append(connection, id, first, lines, now).map(Verdict::Keep)
        });
        appended.await
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
        let appended = self.writer.change(|connection| {
            let found = find_stream(connection, region, group, stream)?;
            let Some((id, first)) = found.filter(|(_, first)| first + lines.len() as i64 <= most) else {
                return Ok(Verdict::Undo(false));
            };
            append(connection, id, first, lines, now)?;
            Ok(Verdict::Keep(true))
        });
        appended.await
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
        let parameters =
            (region.to_owned(), group.to_owned(), prefix.to_owned(), after.to_owned(), limit as i64);
        let streams = self.readers.read(move |connection| {
            all(
                connection,
                "SELECT id, log_group, stream, created, lines, first_event, last_event, last_ingested
                 FROM log_streams
                 WHERE region = ?1 AND log_group = ?2 AND substr(stream, 1, length(?3)) = ?3 AND stream > ?4
                 ORDER BY stream LIMIT ?5",
                parameters,
                read_stream,
            )
        });
        streams.await
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
             WHERE s.region = ?1 AND s.log_group = ?2 AND s.stream = ?3
               AND e.sequence {relation} ?4 AND e.at >= ?5 AND e.at < ?6
             ORDER BY e.sequence {order} LIMIT ?7"
        );
        let parameters = (
            region.to_owned(),
            group.to_owned(),
            stream.to_owned(),
            place,
            times.start,
            times.end,
            limit as i64,
        );
        let events = self.readers.read(move |connection| all(connection, &sql, parameters, read_event));
        let mut events = events.await?;
        if matches!(direction, Direction::Before(_)) {
            events.reverse();
        }
        Ok(events)
    }
}

fn open_stream(
    connection: &Connection,
    region: &str,
    group: &str,
    stream: &str,
    now: i64,
) -> Result<(i64, i64)> {
    if let Some(found) = find_stream(connection, region, group, stream)? {
        return Ok(found);
    }
    let sql = "INSERT INTO log_streams (region, log_group, stream, created) VALUES (?1, ?2, ?3, ?4)";
    execute(connection, sql, (region, group, stream, now))?;
    let id = connection.last_insert_rowid();
    group::make_group(connection, region, group, now)?;
    Ok((id, 0))
}

/// Identity and number of lines of a stream.
fn find_stream(
    connection: &Connection,
    region: &str,
    group: &str,
    stream: &str,
) -> Result<Option<(i64, i64)>> {
    let sql = "SELECT id, lines FROM log_streams WHERE region = ?1 AND log_group = ?2 AND stream = ?3";
    optional(connection, sql, (region, group, stream), |row| Ok((row.get("id")?, row.get("lines")?)))
}

/// Adds lines from place `first` on to a stream.
fn append(connection: &Connection, id: i64, first: i64, lines: &[LogLine], now: i64) -> Result<()> {
    let sql =
        "INSERT INTO log_events (stream_id, sequence, at, ingested, message) VALUES (?1, ?2, ?3, ?4, ?5)";
    for (sequence, line) in (first..).zip(lines) {
        execute(connection, sql, (id, sequence, line.at, now, &line.message))?;
    }
    let times = || lines.iter().map(|line| line.at);
    if let (Some(earliest), Some(latest)) = (times().min(), times().max()) {
        let bytes: i64 = lines.iter().map(|line| line.message.len() as i64).sum();
        let sql = "UPDATE log_streams SET lines = lines + ?2, bytes = bytes + ?3, last_ingested = ?4,
                    first_event = MIN(COALESCE(first_event, ?5), ?5),
                    last_event = MAX(COALESCE(last_event, ?6), ?6) WHERE id = ?1";
        execute(connection, sql, (id, lines.len() as i64, bytes, now, earliest, latest))?;
    }
    Ok(())
}

fn read_stream(row: &Row<'_>) -> Result<LogStream> {
    Ok(LogStream {
        id: row.get("id")?,
        group: row.get("log_group")?,
        name: row.get("stream")?,
        created: row.get("created")?,
        lines: row.get("lines")?,
        first_event: row.get("first_event")?,
        last_event: row.get("last_event")?,
        last_ingested: row.get("last_ingested")?,
    })
}

fn read_event(row: &Row<'_>) -> Result<LogEvent> {
    Ok(LogEvent {
        stream: row.get("stream")?,
        sequence: row.get("sequence")?,
        at: row.get("at")?,
        ingested: row.get("ingested")?,
        message: row.get("message")?,
    })
}
