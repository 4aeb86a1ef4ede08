//! Tags of resources, by ARN.

use sqlx::{Row, SqliteConnection};

use crate::{Metastore, Result, Tag};

impl Metastore {
    /// The tags of a resource, by key.
    ///
    /// # Errors
    /// `Database`.
    pub async fn tags(&self, arn: &str) -> Result<Vec<Tag>> {
        let rows = sqlx::query("SELECT tag, value FROM tags WHERE arn = $1 ORDER BY tag")
            .bind(arn)
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(|row| Ok(Tag { key: row.try_get("tag")?, value: row.try_get("value")? })).collect()
    }

    /// Adds tags or replaces their values.
    ///
    /// # Errors
    /// `Database`.
    pub async fn put_tags(&self, arn: &str, tags: &[Tag]) -> Result<()> {
        let mut transaction = self.begin().await?;
        put(transaction.connection(), arn, tags).await?;
        transaction.commit().await
    }

    /// Removes tags; names that are not there are passed over.
    ///
    /// # Errors
    /// `Database`.
    pub async fn delete_tags(&self, arn: &str, keys: &[String]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for key in keys {
            sqlx::query("DELETE FROM tags WHERE arn = $1 AND tag = $2")
                .bind(arn)
                .bind(key)
                .execute(transaction.connection())
                .await?;
        }
        transaction.commit().await
    }
}

pub(crate) async fn put(transaction: &mut SqliteConnection, arn: &str, tags: &[Tag]) -> Result<()> {
    for tag in tags {
        sqlx::query(
            "INSERT INTO tags (arn, tag, value) VALUES ($1, $2, $3)
             ON CONFLICT (arn, tag) DO UPDATE SET value = excluded.value",
        )
        .bind(arn)
        .bind(&tag.key)
        .bind(&tag.value)
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}
