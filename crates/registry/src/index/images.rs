//! SQL over images, their parts and their tags.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Index, Write, signed, stored_digest, unsigned};
use crate::manifest::Manifest;
use crate::{Digest, Error, Image, Reference, Result, TagStatus};

/// An image that shall be stored.
#[derive(Debug)]
pub(crate) struct NewImage<'a> {
    pub repository: i64,
    pub digest: &'a Digest,
    pub manifest: &'a Manifest,
    pub bytes: &'a [u8],
    /// Bytes of what it is made of.
    pub size: u64,
    /// Milliseconds since 1970.
    pub pushed: i64,
}

/// A manifest and what kind it is.
#[derive(Debug)]
pub(crate) struct ImageRow {
    pub media_type: String,
    pub config: Option<String>,
    pub size: u64,
    pub manifest: Vec<u8>,
}

/// Which images of a repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageOfImages<'a> {
    pub repository: i64,
    pub status: TagStatus,
    /// Digest, and tag, after which the page begins.
    pub after: (&'a str, &'a str),
    pub limit: usize,
}

const FIND_TAG: &str = "SELECT digest FROM tags WHERE repository = ?1 AND tag = ?2";
const FIND_IMAGE: &str = "SELECT digest FROM images WHERE repository = ?1 AND digest = ?2";

/// What is read of an image, with its tags as a JSON list.
const DESCRIBE: &str = "SELECT digest, media_type, artifact_type, size, pushed, (
        SELECT json_group_array(tag) FROM (
            SELECT tag FROM tags t WHERE t.repository = i.repository AND t.digest = i.digest ORDER BY tag)
    ) AS tags FROM images i WHERE repository = ?1 AND digest = ?2";
const LIST: &str = "SELECT digest, media_type, artifact_type, size, pushed, (
        SELECT json_group_array(tag) FROM (
            SELECT tag FROM tags t WHERE t.repository = i.repository AND t.digest = i.digest ORDER BY tag)
    ) AS tags FROM images i WHERE repository = ?1 AND digest > ?2 AND (?3 IS NULL OR ?3 = EXISTS (
        SELECT 1 FROM tags t WHERE t.repository = i.repository AND t.digest = i.digest)
    ) ORDER BY digest LIMIT ?4";

const fn wanted(status: TagStatus) -> Option<bool> {
    match status {
        TagStatus::Any => None,
        TagStatus::Tagged => Some(true),
        TagStatus::Untagged => Some(false),
    }
}

fn image(row: &SqliteRow) -> Result<Image> {
    let digest: String = row.try_get("digest")?;
    let tags: String = row.try_get("tags")?;
    Ok(Image {
        digest: stored_digest(&digest)?,
        media_type: row.try_get("media_type")?,
        artifact_type: row.try_get("artifact_type")?,
        size: unsigned(row.try_get("size")?),
        pushed: row.try_get("pushed")?,
        tags: serde_json::from_str(&tags)
            .map_err(|error| Error::Damaged(format!("the tags of an image cannot be read: {error}")))?,
    })
}

impl Index {
    /// The digest of an image, when the repository has it.
    pub async fn find_image(&self, repository: i64, reference: &Reference) -> Result<Option<Digest>> {
        let sql = if matches!(reference, Reference::Tag(_)) { FIND_TAG } else { FIND_IMAGE };
        let found = sqlx::query_scalar(sql).bind(repository).bind(reference.as_str());
        let found: Option<String> = found.fetch_optional(&self.readers).await?;
        found.map(|digest| stored_digest(&digest)).transpose()
    }

    /// The manifest of an image.
    pub async fn manifest(&self, repository: i64, digest: &Digest) -> Result<Option<ImageRow>> {
        let row = sqlx::query(
            "SELECT media_type, config, size, manifest FROM images WHERE repository = ?1 AND digest = ?2",
        )
        .bind(repository)
        .bind(digest.as_str())
        .fetch_optional(&self.readers)
        .await?;
        let read = |row: SqliteRow| {
            Ok(ImageRow {
                media_type: row.try_get("media_type")?,
                config: row.try_get("config")?,
                size: unsigned(row.try_get("size")?),
                manifest: row.try_get("manifest")?,
            })
        };
        row.map(read).transpose()
    }

    /// An image without its manifest.
    pub async fn image(&self, repository: i64, digest: &Digest) -> Result<Option<Image>> {
        let row = sqlx::query(DESCRIBE).bind(repository).bind(digest.as_str());
        row.fetch_optional(&self.readers).await?.as_ref().map(image).transpose()
    }

    /// Images in the order of their digests.
    pub async fn images(&self, page: PageOfImages<'_>) -> Result<Vec<Image>> {
        let rows = sqlx::query(LIST)
            .bind(page.repository)
            .bind(page.after.0)
            .bind(wanted(page.status))
            .bind(page.limit as i64);
        rows.fetch_all(&self.readers).await?.iter().map(image).collect()
    }

    /// Digests with each of their tags, and those without one, in the order of digest and tag.
    pub async fn identifiers(&self, page: PageOfImages<'_>) -> Result<Vec<(String, Option<String>)>> {
        let rows = sqlx::query_as(
            "SELECT i.digest, t.tag FROM images i
             LEFT JOIN tags t ON t.repository = i.repository AND t.digest = i.digest
             WHERE i.repository = ?1 AND (i.digest, coalesce(t.tag, '')) > (?2, ?3)
               AND (?4 IS NULL OR ?4 = (t.tag IS NOT NULL))
             ORDER BY i.digest, t.tag LIMIT ?5",
        )
        .bind(page.repository)
        .bind(page.after.0)
        .bind(page.after.1)
        .bind(wanted(page.status))
        .bind(page.limit as i64);
        Ok(rows.fetch_all(&self.readers).await?)
    }

    /// Tags in their order.
    pub async fn tags(&self, repository: i64, after: &str, limit: usize) -> Result<Vec<String>> {
        let tags = sqlx::query_scalar(
            "SELECT tag FROM tags WHERE repository = ?1 AND tag > ?2 ORDER BY tag LIMIT ?3",
        )
        .bind(repository)
        .bind(after)
        .bind(limit as i64);
        Ok(tags.fetch_all(&self.readers).await?)
    }
}

impl Write {
    /// The digest of an image, when the repository has it.
    pub async fn find_image(&mut self, repository: i64, reference: &Reference) -> Result<Option<Digest>> {
        let sql = if matches!(reference, Reference::Tag(_)) { FIND_TAG } else { FIND_IMAGE };
        let found = sqlx::query_scalar(sql).bind(repository).bind(reference.as_str());
        let found: Option<String> = found.fetch_optional(self.connection()).await?;
        found.map(|digest| stored_digest(&digest)).transpose()
    }

    /// Bytes of what an image of the repository is made of, when it has the image.
    pub async fn image_size(&mut self, repository: i64, digest: &Digest) -> Result<Option<u64>> {
        let size = sqlx::query_scalar("SELECT size FROM images WHERE repository = ?1 AND digest = ?2")
            .bind(repository)
            .bind(digest.as_str());
        let size: Option<i64> = size.fetch_optional(self.connection()).await?;
        Ok(size.map(unsigned))
    }

    /// How many images a repository has.
    pub async fn count_images(&mut self, repository: i64) -> Result<i64> {
        let count = sqlx::query_scalar("SELECT count(*) FROM images WHERE repository = ?1").bind(repository);
        Ok(count.fetch_one(self.connection()).await?)
    }

    /// How many tags an image has.
    pub async fn count_tags(&mut self, repository: i64, digest: &Digest) -> Result<i64> {
        let count = sqlx::query_scalar("SELECT count(*) FROM tags WHERE repository = ?1 AND digest = ?2");
        Ok(count.bind(repository).bind(digest.as_str()).fetch_one(self.connection()).await?)
    }

    /// Adds an image that is not there yet, with its parts.
    pub async fn insert_image(&mut self, new: &NewImage<'_>) -> Result<()> {
        sqlx::query(
            "INSERT INTO images (repository, digest, media_type, artifact_type, config, size, pushed, manifest)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(new.repository)
        .bind(new.digest.as_str())
        .bind(&new.manifest.media_type)
        .bind(&new.manifest.artifact_type)
        .bind(new.manifest.config.as_ref().map(Digest::as_str))
        .bind(signed(new.size))
        .bind(new.pushed)
        .bind(new.bytes)
        .execute(self.connection())
        .await?;
        let blobs = new.manifest.blobs.iter().map(|part| (part, false));
        for (part, is_image) in blobs.chain(new.manifest.images.iter().map(|part| (part, true))) {
            sqlx::query(
                "INSERT INTO parts (repository, image, digest, is_image) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
            )
            .bind(new.repository)
            .bind(new.digest.as_str())
            .bind(part.digest.as_str())
            .bind(is_image)
            .execute(self.connection())
            .await?;
        }
        Ok(())
    }

    /// Lets a tag name an image.
    pub async fn set_tag(&mut self, repository: i64, tag: &str, digest: &Digest) -> Result<()> {
        sqlx::query(
            "INSERT INTO tags (repository, tag, digest) VALUES (?1, ?2, ?3)
             ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest",
        )
        .bind(repository)
        .bind(tag)
        .bind(digest.as_str())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Removes a tag.
    pub async fn delete_tag(&mut self, repository: i64, tag: &str) -> Result<()> {
        let done =
            sqlx::query("DELETE FROM tags WHERE repository = ?1 AND tag = ?2").bind(repository).bind(tag);
        done.execute(self.connection()).await?;
        Ok(())
    }

    /// The tags of an image.
    pub async fn tags_of(&mut self, repository: i64, digest: &Digest) -> Result<Vec<String>> {
        let tags =
            sqlx::query_scalar("SELECT tag FROM tags WHERE repository = ?1 AND digest = ?2 ORDER BY tag")
                .bind(repository)
                .bind(digest.as_str());
        Ok(tags.fetch_all(self.connection()).await?)
    }

    /// Whether another image of the repository is made of this one.
    pub async fn needs_image(&mut self, repository: i64, digest: &Digest) -> Result<bool> {
        self.is_part(repository, digest, true).await
    }

    pub(super) async fn is_part(&mut self, repository: i64, digest: &Digest, is_image: bool) -> Result<bool> {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT 1 FROM parts WHERE repository = ?1 AND digest = ?2 AND is_image = ?3 LIMIT 1",
        )
        .bind(repository)
        .bind(digest.as_str())
        .bind(is_image)
        .fetch_optional(self.connection())
        .await?;
        Ok(found.is_some())
    }

    /// Removes an image with its tags and the list of its parts.
    pub async fn delete_image(&mut self, repository: i64, digest: &Digest) -> Result<()> {
        sqlx::query("DELETE FROM images WHERE repository = ?1 AND digest = ?2")
            .bind(repository)
            .bind(digest.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
