//! SQL over multipart uploads and their parts.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::objects::{algorithm, key, kind};
use super::{Index, Write};
use crate::digest::{Algorithm, ChecksumKind};
use crate::model::{as_stored, from_stored};
use crate::{Attributes, Error, Result, Tags};

/// An open upload.
#[derive(Debug, Clone)]
pub(crate) struct UploadRow {
    /// Orders by time of creation.
    pub id: String,
    pub key: String,
    /// Milliseconds since the Unix epoch.
    pub initiated: i64,
    pub attributes: Attributes,
    pub tags: Tags,
    pub algorithm: Algorithm,
    pub kind: ChecksumKind,
    /// Whether the caller chose the algorithm.
    pub chosen: bool,
}

/// An uploaded part.
#[derive(Debug, Clone)]
pub(crate) struct PartRow {
    pub number: u32,
    pub blob: String,
    pub size: u64,
    pub etag: String,
    /// Milliseconds since the Unix epoch.
    pub modified: i64,
    /// Base64, of the upload's algorithm.
    pub checksum: String,
}

fn upload(row: &SqliteRow) -> Result<UploadRow> {
    let attributes: String = row.try_get("attributes")?;
    let tags: Option<String> = row.try_get("tags")?;
    Ok(UploadRow {
        id: row.try_get("id")?,
        key: key(row)?,
        initiated: row.try_get("initiated")?,
        attributes: serde_json::from_str(&attributes)?,
        tags: Tags::from_stored(tags.as_deref())?,
        algorithm: algorithm(row)?,
        kind: kind(row)?,
        chosen: row.try_get("checksum_chosen")?,
    })
}

fn part(row: &SqliteRow) -> Result<PartRow> {
    Ok(PartRow {
        number: row.try_get("number")?,
        blob: row.try_get("blob")?,
        size: from_stored(row.try_get("size")?),
        etag: row.try_get("etag")?,
        modified: row.try_get("modified")?,
        checksum: row.try_get("checksum")?,
    })
}

const FIND: &str = "SELECT id, key, initiated, attributes, tags, checksum_algorithm, \
     checksum_composite, checksum_chosen FROM uploads WHERE id = ?1 AND bucket = ?2 AND key = ?3";

impl Index {
    /// An open upload of a key.
    pub async fn upload(&self, bucket: i64, key: &str, id: &str) -> Result<UploadRow> {
        let row = sqlx::query(FIND)
            .bind(id)
            .bind(bucket)
            .bind(key.as_bytes())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(upload).unwrap_or(Err(Error::NoSuchUpload))
    }

    /// Uploads of keys with `prefix <= key < until` after `(after_key, after_id)`, ordered by key
    /// and time, at most `limit`.
    pub async fn scan_uploads(
        &self,
        bucket: i64,
        prefix: &[u8],
        until: Option<&[u8]>,
        after: (&[u8], &str),
        limit: usize,
    ) -> Result<Vec<UploadRow>> {
        let rows = sqlx::query(
            "SELECT id, key, initiated, attributes, tags, checksum_algorithm, checksum_composite,
                 checksum_chosen FROM uploads
             WHERE bucket = ?1 AND key >= ?2 AND key < coalesce(?3, x'ff') AND (key, id) > (?4, ?5)
             ORDER BY key, id LIMIT ?6",
        )
        .bind(bucket)
        .bind(prefix)
        .bind(until)
        .bind(after.0)
        .bind(after.1)
        .bind(as_stored(limit as u64))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(upload).collect()
    }

    /// Parts with a number above `after`, in order, at most `limit`.
    pub async fn parts(&self, upload: &str, after: u32, limit: usize) -> Result<Vec<PartRow>> {
        let rows = sqlx::query(
            "SELECT number, blob, size, etag, modified, checksum FROM parts
             WHERE upload = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
        )
        .bind(upload)
        .bind(after)
        .bind(as_stored(limit as u64))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(part).collect()
    }
}

impl Write {
    /// Adds an upload.
    pub async fn insert_upload(&mut self, bucket: i64, upload: &UploadRow) -> Result<()> {
        sqlx::query(
            "INSERT INTO uploads (id, bucket, key, initiated, attributes, tags,
                 checksum_algorithm, checksum_composite, checksum_chosen)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )
        .bind(&upload.id)
        .bind(bucket)
        .bind(upload.key.as_bytes())
        .bind(upload.initiated)
        .bind(serde_json::to_string(&upload.attributes)?)
        .bind(upload.tags.to_stored()?)
        .bind(upload.algorithm.name())
        .bind(upload.kind == ChecksumKind::Composite)
        .bind(upload.chosen)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// An open upload of a key.
    pub async fn upload(&mut self, bucket: i64, key: &str, id: &str) -> Result<Option<UploadRow>> {
        let row = sqlx::query(FIND)
            .bind(id)
            .bind(bucket)
            .bind(key.as_bytes())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(upload).transpose()
    }

    /// All parts of an upload, in order.
    pub async fn parts(&mut self, upload: &str) -> Result<Vec<PartRow>> {
        let rows = sqlx::query(
            "SELECT number, blob, size, etag, modified, checksum FROM parts
             WHERE upload = ?1 ORDER BY number",
        )
        .bind(upload)
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(part).collect()
    }

    /// Puts a part in the place of an earlier one of its number, whose blob is returned.
    pub async fn put_part(&mut self, upload: &str, part: &PartRow) -> Result<Option<String>> {
        let replaced =
            sqlx::query_scalar("DELETE FROM parts WHERE upload = ?1 AND number = ?2 RETURNING blob")
                .bind(upload)
                .bind(part.number)
                .fetch_optional(self.connection())
                .await?;
        sqlx::query(
            "INSERT INTO parts (upload, number, blob, size, etag, modified, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .bind(upload)
        .bind(part.number)
        .bind(&part.blob)
        .bind(as_stored(part.size))
        .bind(&part.etag)
        .bind(part.modified)
        .bind(&part.checksum)
        .execute(self.connection())
        .await?;
        Ok(replaced)
    }

    /// Removes an upload and its parts, whose blobs are returned.
    pub async fn delete_upload(&mut self, upload: &str) -> Result<Vec<String>> {
        let blobs = sqlx::query_scalar("DELETE FROM parts WHERE upload = ?1 RETURNING blob");
        let blobs = blobs.bind(upload).fetch_all(self.connection()).await?;
        sqlx::query("DELETE FROM uploads WHERE id = ?1").bind(upload).execute(self.connection()).await?;
        Ok(blobs)
    }

    /// The open uploads of a bucket.
    pub async fn uploads_of(&mut self, bucket: i64) -> Result<Vec<String>> {
        let ids = sqlx::query_scalar("SELECT id FROM uploads WHERE bucket = ?1").bind(bucket);
        Ok(ids.fetch_all(self.connection()).await?)
    }
}
