//! SQL over files and which repository has them.

use std::collections::HashSet;

use super::{Index, Write, signed, stored_digest, unsigned};
use crate::{Digest, Result};

const SIZE: &str = "SELECT b.size FROM links l JOIN blobs b ON b.digest = l.digest
                    WHERE l.repository = ?1 AND l.digest = ?2";

/// A file that a repository has and no image of it needs.
#[derive(Debug)]
pub(crate) struct Unneeded {
    pub repository: i64,
    pub digest: String,
    /// Milliseconds since 1970 when it was last pushed or mounted.
    pub touched: i64,
}

impl Index {
    /// Bytes of a repository's file, when it has it.
    pub async fn blob_size(&self, repository: i64, digest: &Digest) -> Result<Option<u64>> {
        let size = sqlx::query_scalar(SIZE).bind(repository).bind(digest.as_str());
        let size: Option<i64> = size.fetch_optional(&self.readers).await?;
        Ok(size.map(unsigned))
    }

    /// The files whose digest begins with two digits.
    pub async fn blobs_with_prefix(&self, prefix: &str) -> Result<HashSet<String>> {
        let names: Vec<String> =
            sqlx::query_scalar("SELECT substr(digest, 8) FROM blobs WHERE digest >= ?1 AND digest < ?2")
                .bind(format!("sha256:{prefix}"))
                // After the hexadecimal digits.
                .bind(format!("sha256:{prefix}g"))
                .fetch_all(&self.readers)
                .await?;
        Ok(names.into_iter().collect())
    }
}

impl Write {
    /// Bytes of a repository's file, when it has it.
    pub async fn blob_size(&mut self, repository: i64, digest: &Digest) -> Result<Option<u64>> {
        let size = sqlx::query_scalar(SIZE).bind(repository).bind(digest.as_str());
        let size: Option<i64> = size.fetch_optional(self.connection()).await?;
        Ok(size.map(unsigned))
    }

    /// Adds a file that lies where it belongs.
    pub async fn insert_blob(&mut self, digest: &Digest, size: u64) -> Result<()> {
        sqlx::query("INSERT INTO blobs (digest, size) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .bind(digest.as_str())
            .bind(signed(size))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Gives a file to a repository.
    pub async fn link(&mut self, repository: i64, digest: &Digest, now: i64) -> Result<()> {
        sqlx::query(
            "INSERT INTO links (repository, digest, touched) VALUES (?1, ?2, ?3)
             ON CONFLICT (repository, digest) DO UPDATE SET touched = excluded.touched",
        )
        .bind(repository)
        .bind(digest.as_str())
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Takes a file from a repository; `false` when it did not have it.
    pub async fn unlink(&mut self, repository: i64, digest: &Digest) -> Result<bool> {
        let done = sqlx::query("DELETE FROM links WHERE repository = ?1 AND digest = ?2")
            .bind(repository)
            .bind(digest.as_str())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Whether an image of the repository needs the file.
    pub async fn needs_blob(&mut self, repository: i64, digest: &Digest) -> Result<bool> {
        self.is_part(repository, digest, false).await
    }

    /// The files that no image needs.
    pub async fn unneeded(&mut self) -> Result<Vec<Unneeded>> {
        let rows: Vec<(i64, String, i64)> = sqlx::query_as(
            "SELECT repository, digest, touched FROM links l WHERE NOT EXISTS (
                 SELECT 1 FROM parts p
                 WHERE p.repository = l.repository AND p.digest = l.digest AND p.is_image = 0)",
        )
        .fetch_all(self.connection())
        .await?;
        let unneeded = |(repository, digest, touched)| Unneeded { repository, digest, touched };
        Ok(rows.into_iter().map(unneeded).collect())
    }

    /// Forgets the files that no repository has, and says which they are.
    pub async fn forget_unlinked(&mut self) -> Result<Vec<Digest>> {
        let gone: Vec<String> = sqlx::query_scalar(
            "DELETE FROM blobs WHERE NOT EXISTS (SELECT 1 FROM links WHERE links.digest = blobs.digest)
             RETURNING digest",
        )
        .fetch_all(self.connection())
        .await?;
        gone.iter().map(|digest| stored_digest(digest)).collect()
    }
}
