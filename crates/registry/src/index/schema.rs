//! The tables, and the steps from one format to the next. The format's number is SQLite's `user_version`.

use sqlx::{AssertSqlSafe, SqlitePool};

use crate::{Error, Result};

/// Step `n` leads from format `n` to format `n + 1`. Steps are never edited, only added.
const STEPS: &[&str] = &[FIRST];

/// Times are milliseconds since 1970. Numbers of repositories are never used again, so that nobody who
/// knows an old one meets a new repository.
const FIRST: &str = "
CREATE TABLE repositories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    immutable INTEGER NOT NULL,
    tags TEXT NOT NULL,
    UNIQUE (region, name)
) STRICT;

-- Files, each named by its digest.
CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Which repository has which file.
CREATE TABLE links (
    repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    digest TEXT NOT NULL REFERENCES blobs (digest),
    touched INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_by_digest ON links (digest);

CREATE TABLE images (
    repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    artifact_type TEXT,
    config TEXT,
    size INTEGER NOT NULL,
    pushed INTEGER NOT NULL,
    manifest BLOB NOT NULL,
    PRIMARY KEY (repository, digest)
) STRICT;

-- What an image needs: files, or other images of the repository.
CREATE TABLE parts (
    repository INTEGER NOT NULL,
    image TEXT NOT NULL,
    digest TEXT NOT NULL,
    is_image INTEGER NOT NULL,
    PRIMARY KEY (repository, image, digest),
    FOREIGN KEY (repository, image) REFERENCES images (repository, digest) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX parts_by_digest ON parts (repository, digest);

CREATE TABLE tags (
    repository INTEGER NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (repository, tag),
    FOREIGN KEY (repository, digest) REFERENCES images (repository, digest) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_image ON tags (repository, digest);

CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    touched INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_by_repository ON uploads (repository);
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
