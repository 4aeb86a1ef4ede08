//! SQL over repositories.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Index, Write};
use crate::{Error, Mutability, Repository, RepositoryName, Result, Tags};

const FIND: &str = "SELECT id FROM repositories WHERE region = ?1 AND name = ?2";
const READ: &str =
    "SELECT region, name, created, immutable, tags FROM repositories WHERE region = ?1 AND name = ?2";
const LIST: &str = "SELECT region, name, created, immutable, tags FROM repositories
                    WHERE region = ?1 AND name > ?2 ORDER BY name LIMIT ?3";

fn repository(row: &SqliteRow) -> Result<Repository> {
    let tags: String = row.try_get("tags")?;
    let tags = serde_json::from_str(&tags)
        .map_err(|error| Error::Damaged(format!("the tags of a repository cannot be read: {error}")))?;
    let immutable: bool = row.try_get("immutable")?;
    Ok(Repository {
        region: row.try_get("region")?,
        name: row.try_get("name")?,
        created: row.try_get("created")?,
        mutability: if immutable { Mutability::Immutable } else { Mutability::Mutable },
        tags: Tags(tags),
    })
}

fn missing(name: RepositoryName<'_>) -> Error {
    Error::NoSuchRepository(name.name.to_owned())
}

impl Index {
    /// The number of a repository.
    pub async fn repository_id(&self, name: RepositoryName<'_>) -> Result<i64> {
        let found = sqlx::query_scalar(FIND).bind(name.region).bind(name.name);
        found.fetch_optional(&self.readers).await?.ok_or_else(|| missing(name))
    }

    /// A repository.
    pub async fn repository(&self, name: RepositoryName<'_>) -> Result<Repository> {
        let row = sqlx::query(READ).bind(name.region).bind(name.name).fetch_optional(&self.readers).await?;
        row.as_ref().map_or_else(|| Err(missing(name)), repository)
    }

    /// At most `limit` repositories of a region in the order of their names, those after `after`.
    pub async fn repositories(&self, region: &str, after: &str, limit: usize) -> Result<Vec<Repository>> {
        let rows = sqlx::query(LIST).bind(region).bind(after).bind(limit as i64);
        rows.fetch_all(&self.readers).await?.iter().map(repository).collect()
    }
}

impl Write {
    /// The number of a repository, which stays valid until this change ends.
    pub async fn repository_id(&mut self, name: RepositoryName<'_>) -> Result<i64> {
        let found = sqlx::query_scalar(FIND).bind(name.region).bind(name.name);
        found.fetch_optional(self.connection()).await?.ok_or_else(|| missing(name))
    }

    /// A repository as this change sees it.
    pub async fn repository(&mut self, name: RepositoryName<'_>) -> Result<Repository> {
        let row = sqlx::query(READ).bind(name.region).bind(name.name);
        let row = row.fetch_optional(self.connection()).await?;
        row.as_ref().map_or_else(|| Err(missing(name)), repository)
    }

    /// How many repositories a region has.
    pub async fn count_repositories(&mut self, region: &str) -> Result<i64> {
        let count = sqlx::query_scalar("SELECT count(*) FROM repositories WHERE region = ?1").bind(region);
        Ok(count.fetch_one(self.connection()).await?)
    }

    /// Adds a repository that is not there yet.
    pub async fn insert_repository(&mut self, new: &Repository) -> Result<()> {
        sqlx::query(
            "INSERT INTO repositories (region, name, created, immutable, tags) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(&new.region)
        .bind(&new.name)
        .bind(new.created)
        .bind(new.mutability == Mutability::Immutable)
        .bind(new.tags.document())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Writes what of a repository can change.
    pub async fn update_repository(&mut self, id: i64, mutability: Mutability, tags: &Tags) -> Result<()> {
        sqlx::query("UPDATE repositories SET immutable = ?2, tags = ?3 WHERE id = ?1")
            .bind(id)
            .bind(mutability == Mutability::Immutable)
            .bind(tags.document())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Whether a repository has an image.
    pub async fn has_images(&mut self, id: i64) -> Result<bool> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM images WHERE repository = ?1 LIMIT 1")
            .bind(id)
            .fetch_optional(self.connection())
            .await?;
        Ok(found.is_some())
    }

    /// Removes a repository with its images, tags, links and uploads.
    pub async fn delete_repository(&mut self, id: i64) -> Result<()> {
        sqlx::query("DELETE FROM repositories WHERE id = ?1").bind(id).execute(self.connection()).await?;
        Ok(())
    }
}
