//! The tables, and the steps from one format to the next. The format's number is SQLite's
//! `user_version`.

use sqlx::{AssertSqlSafe, SqlitePool};

use crate::{Error, Result};

/// Step `n` leads from format `n` to format `n + 1`. Steps are never edited, only added.
const STEPS: &[&str] = &[FIRST, INLINE];

/// Keys are blobs so that SQLite orders them as S3 does: by their UTF-8 bytes.
const FIRST: &str = "
CREATE TABLE buckets (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    owner TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT;

-- An object in one piece lies in the blob of its generation's name; one put together from parts
-- has a part_count and its blobs in segments.
CREATE TABLE objects (
    bucket INTEGER NOT NULL REFERENCES buckets (id),
    key BLOB NOT NULL,
    generation TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    checksum_algorithm TEXT NOT NULL,
    checksum_value TEXT NOT NULL,
    checksum_composite INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    tags TEXT,
    part_count INTEGER,
    upload TEXT,
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX objects_by_generation ON objects (generation);

CREATE TABLE segments (
    generation TEXT NOT NULL,
    number INTEGER NOT NULL,
    blob TEXT NOT NULL,
    size INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (generation, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX segments_by_blob ON segments (blob);

CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    bucket INTEGER NOT NULL REFERENCES buckets (id),
    key BLOB NOT NULL,
    initiated INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    tags TEXT,
    checksum_algorithm TEXT NOT NULL,
    checksum_composite INTEGER NOT NULL,
    checksum_chosen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_by_key ON uploads (bucket, key, id);

CREATE TABLE parts (
    upload TEXT NOT NULL REFERENCES uploads (id),
    number INTEGER NOT NULL,
    blob TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX parts_by_blob ON parts (blob);
";

/// Small objects lie in the index; `inline` says which.
const INLINE: &str = "
ALTER TABLE objects ADD COLUMN inline INTEGER NOT NULL DEFAULT 0;
CREATE TABLE contents (generation TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
";

/// Brings the index to the current format, each step in its own transaction.
pub(super) async fn migrate(pool: &SqlitePool) -> Result<()> {
    let known = STEPS.len() as i64;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(pool).await?;
    let Some(steps) = usize::try_from(found).ok().and_then(|done| STEPS.get(done..)) else {
        return Err(Error::NewerFormat { found, known });
    };
    for (step, format) in steps.iter().zip(found + 1..) {
        let mut change = pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(*step).execute(&mut *change).await?;
        // PRAGMA takes no parameters; the number is ours.
        let stamp = AssertSqlSafe(format!("PRAGMA user_version = {format}"));
        sqlx::raw_sql(stamp).execute(&mut *change).await?;
        change.commit().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Index;

    #[tokio::test]
    async fn a_later_format_is_refused() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("index.sqlite");
        let index = Index::open(&path).await?;
        sqlx::raw_sql("PRAGMA user_version = 99").execute(&index.writer).await?;
        drop(index);
        let refused = Index::open(&path).await;
        assert!(matches!(refused, Err(Error::NewerFormat { found: 99, known: 2 })));
        Ok(())
    }
}
