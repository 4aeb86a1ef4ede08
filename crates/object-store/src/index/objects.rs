//! SQL over objects and their segments.

use bytes::Bytes;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Index, Write};
use crate::digest::{Algorithm, Checksum, ChecksumKind};
use crate::model::{as_stored, from_stored, time_of};
use crate::{Attributes, Error, ObjectInfo, ObjectSummary, Result, Tags};

/// An object to be written.
#[derive(Debug, Clone)]
pub(crate) struct ObjectRow {
    /// Names the content; the blob's name for an object in a file of its own.
    pub generation: String,
    /// The bytes of an object that lies in the index.
    pub inline: Option<Bytes>,
    pub size: u64,
    pub etag: String,
    /// Milliseconds since the Unix epoch.
    pub modified: i64,
    pub checksum: Checksum,
    pub attributes: Attributes,
    pub tags: Tags,
    /// The blobs, in order, when the object is put together from parts.
    pub segments: Option<Vec<Segment>>,
    /// The upload that made it.
    pub upload: Option<String>,
}

/// One blob of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub blob: String,
    pub size: u64,
    /// Base64, of the object's algorithm; empty for an object in one piece.
    pub checksum: String,
}

const COLUMNS: &str = "key, generation, size, etag, modified, checksum_algorithm, checksum_value, \
     checksum_composite, attributes, tags, part_count, inline";

pub(super) fn key(row: &SqliteRow) -> Result<String> {
    let bytes: Vec<u8> = row.try_get("key")?;
    String::from_utf8(bytes).map_err(|_| Error::Damaged("a key is not UTF-8".to_owned()))
}

pub(super) fn algorithm(row: &SqliteRow) -> Result<Algorithm> {
    let name: String = row.try_get("checksum_algorithm")?;
    Algorithm::from_name(&name).ok_or_else(|| Error::Damaged(format!("unknown checksum algorithm '{name}'")))
}

pub(super) fn kind(row: &SqliteRow) -> Result<ChecksumKind> {
    let composite: bool = row.try_get("checksum_composite")?;
    Ok(if composite { ChecksumKind::Composite } else { ChecksumKind::FullObject })
}

fn info(row: &SqliteRow) -> Result<ObjectInfo> {
    let attributes: String = row.try_get("attributes")?;
    let tags: Option<String> = row.try_get("tags")?;
    let part_count: Option<u32> = row.try_get("part_count")?;
    Ok(ObjectInfo {
        key: key(row)?,
        size: from_stored(row.try_get("size")?),
        etag: row.try_get("etag")?,
        modified: time_of(row.try_get("modified")?),
        attributes: serde_json::from_str(&attributes)?,
        checksum: Checksum {
            algorithm: algorithm(row)?,
            value: row.try_get("checksum_value")?,
            kind: kind(row)?,
        },
        tag_count: Tags::from_stored(tags.as_deref())?.0.len(),
        part_count,
        generation: row.try_get("generation")?,
        inline: row.try_get("inline")?,
    })
}

fn find_sql() -> sqlx::AssertSqlSafe<String> {
    // The columns are a constant of this file.
    sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM objects WHERE bucket = ?1 AND key = ?2"))
}

impl Index {
    /// The object of a key.
    pub async fn object(&self, bucket: i64, key: &str) -> Result<ObjectInfo> {
        let row =
            sqlx::query(find_sql()).bind(bucket).bind(key.as_bytes()).fetch_optional(&self.readers).await?;
        row.as_ref().map(info).unwrap_or_else(|| Err(Error::NoSuchKey(key.to_owned())))
    }

    /// The bytes of an object that lies in the index; `None` when it is gone.
    pub async fn inline_bytes(&self, generation: &str) -> Result<Option<Bytes>> {
        let found: Option<Vec<u8>> = sqlx::query_scalar("SELECT bytes FROM contents WHERE generation = ?1")
            .bind(generation)
            .fetch_optional(&self.readers)
            .await?;
        Ok(found.map(Bytes::from))
    }

    /// The blobs of an object put together from parts, in order; empty when it is gone.
    pub async fn segments(&self, generation: &str) -> Result<Vec<Segment>> {
        let rows =
            sqlx::query("SELECT blob, size, checksum FROM segments WHERE generation = ?1 ORDER BY number")
                .bind(generation)
                .fetch_all(&self.readers)
                .await?;
        rows.iter()
            .map(|row| {
                Ok(Segment {
                    blob: row.try_get("blob")?,
                    size: from_stored(row.try_get("size")?),
                    checksum: row.try_get("checksum")?,
                })
            })
            .collect()
    }

    /// Whether this content is still that of some key.
    pub async fn generation_lives(&self, generation: &str) -> Result<bool> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM objects WHERE generation = ?1")
            .bind(generation)
            .fetch_optional(&self.readers)
            .await?;
        Ok(found.is_some())
    }

    /// Objects with `from <= key < until`, in order, at most `limit`.
    pub async fn scan_objects(
        &self,
        bucket: i64,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<ObjectSummary>> {
        // NULL stands for "no end"; the comparison with x'ff' holds for every UTF-8 key.
        let rows = sqlx::query(
            "SELECT key, size, etag, modified, checksum_algorithm, checksum_composite FROM objects
             WHERE bucket = ?1 AND key >= ?2 AND key < coalesce(?3, x'ff') ORDER BY key LIMIT ?4",
        )
        .bind(bucket)
        .bind(from)
        .bind(until)
        .bind(as_stored(limit as u64))
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(ObjectSummary {
                    key: key(row)?,
                    size: from_stored(row.try_get("size")?),
                    etag: row.try_get("etag")?,
                    modified: time_of(row.try_get("modified")?),
                    checksum_algorithm: algorithm(row)?,
                    checksum_kind: kind(row)?,
                })
            })
            .collect()
    }

    /// The tags of an object.
    pub async fn tags(&self, bucket: i64, key: &str) -> Result<Tags> {
        let row = sqlx::query("SELECT tags FROM objects WHERE bucket = ?1 AND key = ?2")
            .bind(bucket)
            .bind(key.as_bytes())
            .fetch_optional(&self.readers)
            .await?
            .ok_or_else(|| Error::NoSuchKey(key.to_owned()))?;
        let tags: Option<String> = row.try_get("tags")?;
        Tags::from_stored(tags.as_deref())
    }
}

impl Write {
    /// The object of a key, if there is one.
    pub async fn object(&mut self, bucket: i64, key: &str) -> Result<Option<ObjectInfo>> {
        let row = sqlx::query(find_sql())
            .bind(bucket)
            .bind(key.as_bytes())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(info).transpose()
    }

    /// The object that an upload made, if its key still holds it.
    pub async fn object_of_upload(
        &mut self,
        bucket: i64,
        key: &str,
        upload: &str,
    ) -> Result<Option<ObjectInfo>> {
        let made: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM objects WHERE bucket = ?1 AND key = ?2 AND upload = ?3")
                .bind(bucket)
                .bind(key.as_bytes())
                .bind(upload)
                .fetch_optional(self.connection())
                .await?;
        if made.is_none() { Ok(None) } else { self.object(bucket, key).await }
    }

    /// Removes the object of a key, if there is one, and returns the blobs that nothing names any
    /// more.
    pub async fn delete_object(&mut self, bucket: i64, key: &str) -> Result<Option<Vec<String>>> {
        let row = sqlx::query(
            "DELETE FROM objects WHERE bucket = ?1 AND key = ?2 RETURNING generation, part_count, inline",
        )
        .bind(bucket)
        .bind(key.as_bytes())
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let generation: String = row.try_get("generation")?;
        if row.try_get("inline")? {
            let content = sqlx::query("DELETE FROM contents WHERE generation = ?1");
            content.bind(generation).execute(self.connection()).await?;
            return Ok(Some(Vec::new()));
        }
        let part_count: Option<u32> = row.try_get("part_count")?;
        if part_count.is_none() {
            return Ok(Some(vec![generation]));
        }
        let blobs = sqlx::query_scalar("DELETE FROM segments WHERE generation = ?1 RETURNING blob");
        Ok(Some(blobs.bind(generation).fetch_all(self.connection()).await?))
    }

    /// Puts an object in the place of whatever the key held, and returns the blobs that nothing
    /// names any more.
    pub async fn put_object(&mut self, bucket: i64, key: &str, object: &ObjectRow) -> Result<Vec<String>> {
        let replaced = self.delete_object(bucket, key).await?.unwrap_or_default();
        sqlx::query(
            "INSERT INTO objects (bucket, key, generation, size, etag, modified,
                 checksum_algorithm, checksum_value, checksum_composite, attributes, tags,
                 part_count, upload, inline)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )
        .bind(bucket)
        .bind(key.as_bytes())
        .bind(&object.generation)
        .bind(as_stored(object.size))
        .bind(&object.etag)
        .bind(object.modified)
        .bind(object.checksum.algorithm.name())
        .bind(&object.checksum.value)
        .bind(object.checksum.kind == ChecksumKind::Composite)
        .bind(serde_json::to_string(&object.attributes)?)
        .bind(object.tags.to_stored()?)
        .bind(object.segments.as_ref().map(|segments| as_stored(segments.len() as u64)))
        .bind(&object.upload)
        .bind(object.inline.is_some())
        .execute(self.connection())
        .await?;
        if let Some(bytes) = &object.inline {
            let content = sqlx::query("INSERT INTO contents (generation, bytes) VALUES (?1, ?2)");
            content.bind(&object.generation).bind(&bytes[..]).execute(self.connection()).await?;
        }
        for (segment, number) in object.segments.iter().flatten().zip(1i64..) {
            sqlx::query(
                "INSERT INTO segments (generation, number, blob, size, checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .bind(&object.generation)
            .bind(number)
            .bind(&segment.blob)
            .bind(as_stored(segment.size))
            .bind(&segment.checksum)
            .execute(self.connection())
            .await?;
        }
        Ok(replaced)
    }

    /// Replaces the tags of an object; false when there is none of that key.
    pub async fn set_tags(&mut self, bucket: i64, key: &str, tags: &Tags) -> Result<bool> {
        let changed = sqlx::query("UPDATE objects SET tags = ?3 WHERE bucket = ?1 AND key = ?2")
            .bind(bucket)
            .bind(key.as_bytes())
            .bind(tags.to_stored()?)
            .execute(self.connection())
            .await?;
        Ok(changed.rows_affected() > 0)
    }
}
