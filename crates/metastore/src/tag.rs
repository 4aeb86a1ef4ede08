//! Tags of resources, by ARN.

use sqlx::{Row, SqliteConnection};

use crate::search::Made;
use crate::{Metastore, Result, Tag, record};

impl Metastore {
    /// The tags of a resource, by key.
    ///
    /// # Errors
    /// `Database`.
    pub async fn tags(&self, arn: &str) -> Result<Vec<Tag>> {
        let mut connection = self.reader.acquire().await?;
        of(&mut connection, arn).await
    }

    /// Adds tags or replaces their values.
    ///
    /// # Errors
    /// `Database`.
    pub async fn put_tags(&self, arn: &str, tags: &[Tag]) -> Result<()> {
        let mut transaction = self.begin().await?;
        put(transaction.connection(), arn, tags).await?;
        let made = self.index_tags(transaction.connection(), arn).await?;
        transaction.commit().await?;
        self.indexed(made).await
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
        let made = self.index_tags(transaction.connection(), arn).await?;
        transaction.commit().await?;
        self.indexed(made).await
    }

    /// Indexes the record of an ARN with its tags of now.
    async fn index_tags(&self, connection: &mut SqliteConnection, arn: &str) -> Result<Made> {
        let mut made = Made::default();
        if let Some(record) = record::with_arn(&mut *connection, arn).await? {
            let tags = of(&mut *connection, arn).await?;
            self.index_again(connection, &record, Some(&tags), &mut made).await?;
        }
        Ok(made)
    }
}

/// The tags of a resource, by key.
pub(crate) async fn of(connection: &mut SqliteConnection, arn: &str) -> Result<Vec<Tag>> {
    let rows = sqlx::query("SELECT tag, value FROM tags WHERE arn = $1 ORDER BY tag")
        .bind(arn)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok(Tag { key: row.try_get("tag")?, value: row.try_get("value")? })).collect()
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
