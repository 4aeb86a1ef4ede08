//! Streams by their last event, and the lines of streams by time: what a search through a whole group
//! needs.

use super::{LogEvent, LogStream, read_event, read_stream};
use crate::database::{all, optional};
use crate::{Metastore, Result};

/// In which order streams are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamOrder {
    /// By name.
    Name,
    /// By the time of the last event; a stream without events counts from its creation.
    LastEvent,
}

/// Which streams of a group are listed.
#[derive(Debug, Clone)]
pub struct StreamPage<'a> {
    /// The order.
    pub order: StreamOrder,
    /// From the last to the first.
    pub descending: bool,
    /// Beginning of the names.
    pub prefix: &'a str,
    /// Time (for `LastEvent`; else 0) and name of the stream after which the page begins.
    pub after: Option<(i64, &'a str)>,
    /// Streams returned at most.
    pub limit: usize,
}

impl Metastore {
    /// A page of a group's streams.
    ///
    /// # Errors
    /// `Database`.
    pub async fn list_log_streams(
        &self,
        region: &str,
        group: &str,
        page: &StreamPage<'_>,
    ) -> Result<Vec<LogStream>> {
        let (relation, order) = if page.descending { ("<", "DESC") } else { (">", "ASC") };
        // Only the constants here enter the text; every value is bound.
        let (after, order) = match page.order {
            StreamOrder::Name => (format!("stream {relation} ?5"), format!("stream {order}")),
            StreamOrder::LastEvent => (
                format!("(COALESCE(last_event, created), stream) {relation} (?4, ?5)"),
                format!("COALESCE(last_event, created) {order}, stream {order}"),
            ),
        };
        let sql = format!(
            "SELECT id, log_group, stream, created, lines, first_event, last_event, last_ingested
             FROM log_streams
             WHERE region = ?1 AND log_group = ?2 AND substr(stream, 1, length(?3)) = ?3
               AND (?4 IS NULL OR {after})
             ORDER BY {order} LIMIT ?6"
        );
        let parameters = (
            region.to_owned(),
            group.to_owned(),
            page.prefix.to_owned(),
            page.after.map(|(at, _)| at),
            page.after.map(|(_, name)| name.to_owned()),
            page.limit as i64,
        );
        let streams = self.readers.read(move |connection| all(connection, &sql, parameters, read_stream));
        streams.await
    }

    /// Streams with a name that begins with `prefix` and with events that may lie in `[from, to)`, by
    /// the time of their first event.
    ///
    /// # Errors
    /// `Database`.
    pub async fn log_streams_within(
        &self,
        region: &str,
        group: &str,
        prefix: &str,
        (from, to): (i64, i64),
        limit: usize,
    ) -> Result<Vec<LogStream>> {
        let parameters = (region.to_owned(), group.to_owned(), prefix.to_owned(), from, to, limit as i64);
        let streams = self.readers.read(move |connection| {
            all(
                connection,
                "SELECT id, log_group, stream, created, lines, first_event, last_event, last_ingested
                 FROM log_streams
                 WHERE region = ?1 AND log_group = ?2 AND substr(stream, 1, length(?3)) = ?3
                   AND last_event >= ?4 AND first_event < ?5
                 ORDER BY first_event, stream LIMIT ?6",
                parameters,
                read_stream,
            )
        });
        streams.await
    }

    /// Lines of the stream with this identity by time, then place: those after `(time, place)` and
    /// before the time `end`.
    ///
    /// # Errors
    /// `Database`.
    pub async fn log_events_after(
        &self,
        stream: i64,
        (at, sequence): (i64, i64),
        end: i64,
        limit: usize,
    ) -> Result<Vec<LogEvent>> {
        let events = self.readers.read(move |connection| {
            all(
                connection,
                "SELECT s.stream, e.sequence, e.at, e.ingested, e.message
                 FROM log_events e JOIN log_streams s ON s.id = e.stream_id
                 WHERE e.stream_id = ?1 AND e.at >= ?2 AND e.at < ?4 AND (e.at > ?2 OR e.sequence > ?3)
                 ORDER BY e.at, e.sequence LIMIT ?5",
                (stream, at, sequence, end, limit as i64),
                read_event,
            )
        });
        events.await
    }

    /// The stream of exactly this name.
    ///
    /// # Errors
    /// `Database`.
    pub async fn log_stream(&self, region: &str, group: &str, stream: &str) -> Result<Option<LogStream>> {
        let sql = "SELECT id, log_group, stream, created, lines, first_event, last_event, last_ingested
             FROM log_streams WHERE region = ?1 AND log_group = ?2 AND stream = ?3";
        self.readers.look(|connection| optional(connection, sql, (region, group, stream), read_stream))
    }
}
