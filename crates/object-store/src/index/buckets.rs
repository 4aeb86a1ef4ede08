//! SQL over buckets.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Index, Write};
use crate::model::time_of;
use crate::{Bucket, Error, Result};

fn bucket(row: &SqliteRow) -> Result<Bucket> {
    Ok(Bucket {
        name: row.try_get("name")?,
        region: row.try_get("region")?,
        owner: row.try_get("owner")?,
        created: time_of(row.try_get("created")?),
    })
}

impl Index {
    /// The number of a bucket.
    pub async fn bucket_id(&self, name: &str) -> Result<i64> {
        let found = sqlx::query_scalar("SELECT id FROM buckets WHERE name = ?1").bind(name);
        let found: Option<i64> = found.fetch_optional(&self.readers).await?;
        found.ok_or_else(|| Error::NoSuchBucket(name.to_owned()))
    }

    /// A bucket.
    pub async fn bucket(&self, name: &str) -> Result<Bucket> {
        let row = sqlx::query("SELECT name, region, owner, created FROM buckets WHERE name = ?1")
            .bind(name)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(bucket).unwrap_or_else(|| Err(Error::NoSuchBucket(name.to_owned())))
    }

    /// All buckets in the order of their names.
    pub async fn buckets(&self) -> Result<Vec<Bucket>> {
        let rows = sqlx::query("SELECT name, region, owner, created FROM buckets ORDER BY name")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(bucket).collect()
    }
}

impl Write {
    /// The number of a bucket, which stays valid until this change ends.
    pub async fn bucket_id(&mut self, name: &str) -> Result<i64> {
        let found = sqlx::query_scalar("SELECT id FROM buckets WHERE name = ?1").bind(name);
        let found: Option<i64> = found.fetch_optional(self.connection()).await?;
        found.ok_or_else(|| Error::NoSuchBucket(name.to_owned()))
    }

    /// A bucket, if there is one of that name.
    pub async fn find_bucket(&mut self, name: &str) -> Result<Option<Bucket>> {
        let row = sqlx::query("SELECT name, region, owner, created FROM buckets WHERE name = ?1")
            .bind(name)
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(bucket).transpose()
    }

    /// How many buckets there are.
    pub async fn count_buckets(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM buckets").fetch_one(self.connection()).await?)
    }

    /// Adds a bucket; `created` in milliseconds since the Unix epoch.
    pub async fn insert_bucket(&mut self, name: &str, region: &str, owner: &str, created: i64) -> Result<()> {
        sqlx::query("INSERT INTO buckets (name, region, owner, created) VALUES (?1, ?2, ?3, ?4)")
            .bind(name)
            .bind(region)
            .bind(owner)
            .bind(created)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Whether a bucket holds any object.
    pub async fn has_objects(&mut self, bucket: i64) -> Result<bool> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM objects WHERE bucket = ?1 LIMIT 1")
            .bind(bucket)
            .fetch_optional(self.connection())
            .await?;
        Ok(found.is_some())
    }

    /// Removes a bucket that holds nothing.
    pub async fn delete_bucket(&mut self, bucket: i64) -> Result<()> {
        let deleted = sqlx::query("DELETE FROM buckets WHERE id = ?1").bind(bucket);
        deleted.execute(self.connection()).await?;
        Ok(())
    }
}
