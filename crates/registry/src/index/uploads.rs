//! SQL over open uploads.

use super::{Index, Write};
use crate::{Error, Result};

/// An open upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UploadRow {
    pub id: String,
    /// Milliseconds since 1970 of the last piece.
    pub touched: i64,
}

impl Index {
    /// Is this upload of this repository open?
    pub async fn check_upload(&self, repository: i64, id: &str) -> Result<()> {
        let found: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM uploads WHERE id = ?1 AND repository = ?2")
                .bind(id)
                .bind(repository)
                .fetch_optional(&self.readers)
                .await?;
        found.map(|_| ()).ok_or(Error::NoSuchUpload)
    }

    /// Notes when an upload got its last piece.
    pub async fn touch_upload(&self, id: &str, now: i64) -> Result<()> {
        let mut change = self.begin().await?;
        sqlx::query("UPDATE uploads SET touched = ?2 WHERE id = ?1")
            .bind(id)
            .bind(now)
            .execute(change.connection())
            .await?;
        change.commit().await
    }

    /// Every open upload.
    pub async fn uploads(&self) -> Result<Vec<UploadRow>> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT id, touched FROM uploads").fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(|(id, touched)| UploadRow { id, touched }).collect())
    }
}

impl Write {
    /// How many uploads are open.
    pub async fn count_uploads(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM uploads").fetch_one(self.connection()).await?)
    }

    /// Adds an upload.
    pub async fn insert_upload(&mut self, id: &str, repository: i64, now: i64) -> Result<()> {
        sqlx::query("INSERT INTO uploads (id, repository, touched) VALUES (?1, ?2, ?3)")
            .bind(id)
            .bind(repository)
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Removes an upload; `false` when it is not open.
    pub async fn delete_upload(&mut self, repository: i64, id: &str) -> Result<bool> {
        let done = sqlx::query("DELETE FROM uploads WHERE id = ?1 AND repository = ?2")
            .bind(id)
            .bind(repository)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Removes an upload of whatever repository.
    pub async fn forget_upload(&mut self, id: &str) -> Result<()> {
        sqlx::query("DELETE FROM uploads WHERE id = ?1").bind(id).execute(self.connection()).await?;
        Ok(())
    }
}
