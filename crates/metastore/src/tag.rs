//! Tags of resources, by ARN.

use rusqlite::Connection;

use crate::database::{Verdict, all, execute};
use crate::search::Made;
use crate::{Metastore, Result, Tag, record};

impl Metastore {
    /// The tags of a resource, by key.
    ///
    /// # Errors
    /// `Database`.
    pub async fn tags(&self, arn: &str) -> Result<Vec<Tag>> {
        self.readers.look(|connection| of(connection, arn))
    }

    /// Adds tags or replaces their values.
    ///
    /// # Errors
    /// `Database`.
    pub async fn put_tags(&self, arn: &str, tags: &[Tag]) -> Result<()> {
        let made = self.writer.change(|connection| {
            put(connection, arn, tags)?;
            self.index_tags(connection, arn).map(Verdict::Keep)
        });
        self.indexed(made.await?).await
    }

    /// Removes tags; names that are not there are passed over.
    ///
    /// # Errors
    /// `Database`.
    pub async fn delete_tags(&self, arn: &str, keys: &[String]) -> Result<()> {
        let made = self.writer.change(|connection| {
            for key in keys {
                execute(connection, "DELETE FROM tags WHERE arn = ?1 AND tag = ?2", (arn, key))?;
            }
            self.index_tags(connection, arn).map(Verdict::Keep)
        });
        self.indexed(made.await?).await
    }

    /// Indexes the record of an ARN with its tags of now.
    fn index_tags(&self, connection: &Connection, arn: &str) -> Result<Made> {
        let mut made = Made::default();
        if let Some(record) = record::with_arn(connection, arn)? {
            self.index_again(connection, &record, Some(&of(connection, arn)?), &mut made)?;
        }
        Ok(made)
    }
}

/// The tags of a resource, by key.
pub(crate) fn of(connection: &Connection, arn: &str) -> Result<Vec<Tag>> {
    all(connection, "SELECT tag, value FROM tags WHERE arn = ?1 ORDER BY tag", (arn,), |row| {
        Ok(Tag { key: row.get("tag")?, value: row.get("value")? })
    })
}

pub(crate) fn put(connection: &Connection, arn: &str, tags: &[Tag]) -> Result<()> {
    for tag in tags {
        let sql = "INSERT INTO tags (arn, tag, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (arn, tag) DO UPDATE SET value = excluded.value";
        execute(connection, sql, (arn, &tag.key, &tag.value))?;
    }
    Ok(())
}
