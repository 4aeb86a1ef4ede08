//! Log groups, and the making and deleting of groups and streams.
//!
//! Deleting is quick whatever lies in a stream: the stream first gets a region that no request has, in
//! the transaction that is answered for, and its lines go in portions afterwards.

use sqlx::Row;

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
        let rows = sqlx::query(
            "SELECT name, created, (SELECT COALESCE(SUM(bytes), 0) FROM log_streams s
                                    WHERE s.region = g.region AND s.log_group = g.name) AS bytes
             FROM log_groups g
             WHERE region = $1 AND name > $3
               AND ($2 = '' OR CASE WHEN $4 THEN instr(name, $2) > 0 ELSE substr(name, 1, length($2)) = $2 END)
             ORDER BY name LIMIT $5",
        )
        .bind(region)
        .bind(text)
        .bind(after)
        .bind(anywhere)
        .bind(limit as i64)
        .fetch_all(&self.reader)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(LogGroup {
                    name: row.try_get("name")?,
                    created: row.try_get("created")?,
                    bytes: row.try_get("bytes")?,
                })
            })
            .collect()
    }

    /// Does the group exist in the region?
    ///
    /// # Errors
    /// `Database`.
    pub async fn has_log_group(&self, region: &str, group: &str) -> Result<bool> {
        let found: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM log_groups WHERE region = $1 AND name = $2")
                .bind(region)
                .bind(group)
                .fetch_optional(&self.reader)
                .await?;
        Ok(found.is_some())
    }

    /// Numbers of groups in a region and of streams in one of them.
    ///
    /// # Errors
    /// `Database`.
    pub async fn count_logs(&self, region: &str, group: &str) -> Result<(i64, i64)> {
        let groups = sqlx::query_scalar("SELECT COUNT(*) FROM log_groups WHERE region = $1")
            .bind(region)
            .fetch_one(&self.reader)
            .await?;
        let streams =
            sqlx::query_scalar("SELECT COUNT(*) FROM log_streams WHERE region = $1 AND log_group = $2")
                .bind(region)
                .bind(group)
                .fetch_one(&self.reader)
                .await?;
        Ok((groups, streams))
    }

    /// Makes a group; false when it is there.
    ///
    /// # Errors
    /// `Database`.
    pub async fn create_log_group(&self, region: &str, group: &str) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let made = sqlx::query(
            "INSERT INTO log_groups (region, name, created) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(region)
        .bind(group)
        .bind(self.clock.now_milliseconds())
        .execute(transaction.connection())
        .await?;
        transaction.commit().await?;
        Ok(made.rows_affected() > 0)
    }

    /// Makes a stream in a group: false when it is there, `None` when there is no such group.
    ///
    /// # Errors
    /// `Database`.
    pub async fn create_log_stream(&self, region: &str, group: &str, stream: &str) -> Result<Option<bool>> {
        let mut transaction = self.begin().await?;
        let made = sqlx::query(
            "INSERT INTO log_streams (region, log_group, stream, created)
             SELECT region, name, $3, $4 FROM log_groups WHERE region = $1 AND name = $2
             ON CONFLICT (region, log_group, stream) DO NOTHING",
        )
        .bind(region)
        .bind(group)
        .bind(stream)
        .bind(self.clock.now_milliseconds())
        .execute(transaction.connection())
        .await?;
        transaction.commit().await?;
        if made.rows_affected() > 0 {
            return Ok(Some(true));
        }
        Ok(self.has_log_group(region, group).await?.then_some(false))
    }

    /// Deletes a stream with its lines; false when it is not there.
    ///
    /// # Errors
    /// `Database`.
    pub async fn delete_log_stream(&self, region: &str, group: &str, stream: &str) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let hidden = sqlx::query(
            "UPDATE log_streams SET region = $4, log_group = CAST(id AS TEXT)
             WHERE region = $1 AND log_group = $2 AND stream = $3",
        )
        .bind(region)
        .bind(group)
        .bind(stream)
        .bind(DELETED)
        .execute(transaction.connection())
        .await?;
        transaction.commit().await?;
        self.remove_deleted_logs().await?;
        Ok(hidden.rows_affected() > 0)
    }

    /// Deletes a group with its streams and their lines; false when it is not there.
    ///
    /// # Errors
    /// `Database`.
    pub async fn delete_log_group(&self, region: &str, group: &str) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let found = sqlx::query("DELETE FROM log_groups WHERE region = $1 AND name = $2")
            .bind(region)
            .bind(group)
            .execute(transaction.connection())
            .await?;
        sqlx::query(
            "UPDATE log_streams SET region = $3, log_group = CAST(id AS TEXT)
             WHERE region = $1 AND log_group = $2",
        )
        .bind(region)
        .bind(group)
        .bind(DELETED)
        .execute(transaction.connection())
        .await?;
        transaction.commit().await?;
        self.remove_deleted_logs().await?;
        Ok(found.rows_affected() > 0)
    }

    /// Removes the lines of deleted streams, also of those that an earlier process left.
    async fn remove_deleted_logs(&self) -> Result<()> {
        loop {
            let stream: Option<i64> =
                sqlx::query_scalar("SELECT id FROM log_streams WHERE region = $1 LIMIT 1")
                    .bind(DELETED)
                    .fetch_optional(&self.reader)
                    .await?;
            let Some(stream) = stream else { return Ok(()) };
            let mut transaction = self.begin().await?;
            let removed = sqlx::query(
                "DELETE FROM log_events WHERE stream_id = $1 AND sequence < (
                     SELECT MIN(sequence) + $2 FROM log_events WHERE stream_id = $1)",
            )
            .bind(stream)
            .bind(PORTION)
            .execute(transaction.connection())
            .await?;
            if removed.rows_affected() == 0 {
                sqlx::query("DELETE FROM log_streams WHERE id = $1")
                    .bind(stream)
                    .execute(transaction.connection())
                    .await?;
            }
            transaction.commit().await?;
        }
    }
}
