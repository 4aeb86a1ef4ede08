//! Log groups, and the making and deleting of groups and streams.
//!
//! Deleting is quick whatever lies in a stream: the stream first gets a region that no request has, in
//! the transaction that is answered for, and its lines go in portions afterwards.

use rusqlite::Connection;

use crate::database::{Verdict, all, execute, one, optional};
use crate::{Metastore, Result};

/// Lines deleted in one transaction: about 50 ms of the only writer's time.
const PORTION: i64 = 20_000;
/// The region of streams that are deleted and still have lines.
const DELETED: &str = "(deleted)";

/// A log group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogGroup {
    /// Its name.
    pub name: String,
    /// Creation, milliseconds since the Unix epoch.
    pub created: i64,
    /// Bytes of the messages in its streams.
    pub bytes: i64,
}

impl Metastore {
    /// Log groups by name after `after` whose name begins with `text` (or, if `anywhere`, holds it).
    ///
    /// # Errors
    /// `Database`.
    pub async fn log_groups(
        &self,
        region: &str,
        text: &str,
        anywhere: bool,
        after: &str,
        limit: usize,
    ) -> Result<Vec<LogGroup>> {
        let (region, text, after) = (region.to_owned(), text.to_owned(), after.to_owned());
        let groups = self.readers.read(move |connection| {
            all(
                connection,
                "SELECT name, created, (SELECT COALESCE(SUM(bytes), 0) FROM log_streams s
                                        WHERE s.region = g.region AND s.log_group = g.name) AS bytes
                 FROM log_groups g
                 WHERE region = ?1 AND name > ?3
                   AND (?2 = '' OR CASE WHEN ?4 THEN instr(name, ?2) > 0 ELSE substr(name, 1, length(?2)) = ?2 END)
                 ORDER BY name LIMIT ?5",
                (region, text, after, anywhere, limit as i64),
                |row| {
                    Ok(LogGroup { name: row.get("name")?, created: row.get("created")?, bytes: row.get("bytes")? })
                },
            )
        });
        groups.await
    }

    /// Does the group exist in the region?
    ///
    /// # Errors
    /// `Database`.
    pub async fn has_log_group(&self, region: &str, group: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM log_groups WHERE region = ?1 AND name = ?2";
        let found = self.readers.look(|connection| optional(connection, sql, (region, group), |_| Ok(())))?;
        Ok(found.is_some())
    }

    /// Numbers of groups in a region and of streams in one of them.
    ///
    /// # Errors
    /// `Database`.
    pub async fn count_logs(&self, region: &str, group: &str) -> Result<(i64, i64)> {
        let groups = "SELECT COUNT(*) FROM log_groups WHERE region = ?1";
        let streams = "SELECT COUNT(*) FROM log_streams WHERE region = ?1 AND log_group = ?2";
        let (region, group) = (region.to_owned(), group.to_owned());
        let counted = self.readers.read(move |connection| {
            let groups = one(connection, groups, (&region,), |row| row.get(0))?;
            Ok((groups, one(connection, streams, (&region, &group), |row| row.get(0))?))
        });
        counted.await
    }

    /// Makes a group; false when it is there.
    ///
    /// # Errors
    /// `Database`.
    pub async fn create_log_group(&self, region: &str, group: &str) -> Result<bool> {
        let now = self.clock.now_milliseconds();
        let made =
            self.writer.change(|connection| make_group(connection, region, group, now).map(Verdict::Keep));
        made.await
    }

    /// Makes a stream in a group: false when it is there, `None` when there is no such group.
    ///
    /// # Errors
    /// `Database`.
    pub async fn create_log_stream(&self, region: &str, group: &str, stream: &str) -> Result<Option<bool>> {
        let now = self.clock.now_milliseconds();
        let made = self.writer.change(|connection| {
            execute(
                connection,
                "INSERT INTO log_streams (region, log_group, stream, created)
                 SELECT region, name, ?3, ?4 FROM log_groups WHERE region = ?1 AND name = ?2
                 ON CONFLICT (region, log_group, stream) DO NOTHING",
                (region, group, stream, now),
            )
            .map(Verdict::Keep)
        });
        if made.await? > 0 {
            return Ok(Some(true));
        }
        Ok(self.has_log_group(region, group).await?.then_some(false))
    }

    /// Deletes a stream with its lines; false when it is not there.
    ///
    /// # Errors
    /// `Database`.
    pub async fn delete_log_stream(&self, region: &str, group: &str, stream: &str) -> Result<bool> {
        let hidden = self.writer.change(|connection| {
            execute(
                connection,
                "UPDATE log_streams SET region = ?4, log_group = CAST(id AS TEXT)
                 WHERE region = ?1 AND log_group = ?2 AND stream = ?3",
                (region, group, stream, DELETED),
            )
            .map(Verdict::Keep)
        });
        let hidden = hidden.await?;
        self.remove_deleted_logs().await?;
        Ok(hidden > 0)
    }

    /// Deletes a group with its streams and their lines; false when it is not there.
    ///
    /// # Errors
    /// `Database`.
    pub async fn delete_log_group(&self, region: &str, group: &str) -> Result<bool> {
        let found = self.writer.change(|connection| {
            let sql = "DELETE FROM log_groups WHERE region = ?1 AND name = ?2";
            let found = execute(connection, sql, (region, group))?;
            let sql = "UPDATE log_streams SET region = ?3, log_group = CAST(id AS TEXT)
                 WHERE region = ?1 AND log_group = ?2";
            execute(connection, sql, (region, group, DELETED))?;
            Ok(Verdict::Keep(found))
        });
        let found = found.await?;
        self.remove_deleted_logs().await?;
        Ok(found > 0)
    }

    /// Removes the lines of deleted streams, also of those that an earlier process left.
    async fn remove_deleted_logs(&self) -> Result<()> {
        let sql = "SELECT id FROM log_streams WHERE region = ?1 LIMIT 1";
        loop {
            let stream: Option<i64> = self
                .readers
                .look(|connection| optional(connection, sql, (DELETED,), |row| Ok(row.get(0)?)))?;
            let Some(stream) = stream else { return Ok(()) };
            let writer = std::sync::Arc::clone(&self.writer);
            let removed = tokio::task::spawn_blocking(move || {
                writer.change_blocking(|connection| remove_portion(connection, stream))
            });
            removed.await.map_err(|cut_short| crate::MetastoreError::CutShort(cut_short.to_string()))??;
        }
    }
}

/// Makes a group; false when it is there.
pub(super) fn make_group(connection: &Connection, region: &str, group: &str, now: i64) -> Result<bool> {
    let sql = "INSERT INTO log_groups (region, name, created) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    Ok(execute(connection, sql, (region, group, now))? > 0)
}

/// Removes a portion of a deleted stream's lines, and the stream when it has none.
fn remove_portion(connection: &Connection, stream: i64) -> Result<()> {
    let removed = execute(
        connection,
        "DELETE FROM log_events WHERE stream_id = ?1 AND sequence < (
             SELECT MIN(sequence) + ?2 FROM log_events WHERE stream_id = ?1)",
        (stream, PORTION),
    )?;
    if removed == 0 {
        execute(connection, "DELETE FROM log_streams WHERE id = ?1", (stream,))?;
    }
    Ok(())
}
