//! Images: manifests, the tags that name them, and what they are made of.

use bytes::Bytes;

use crate::index::{NewImage, PageOfImages};
use crate::manifest::Manifest;
use crate::names::check_tag;
use crate::{Digest, Error, Mutability, Reference, Registry, RepositoryName, Result, limits};

/// An image of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Media type of its manifest.
    pub media_type: String,
    /// Media type of what the manifest describes, when it says.
    pub artifact_type: Option<String>,
    /// Bytes of configuration and layers; of an index, those of its largest image.
    pub size: u64,
    /// Milliseconds since 1970 when it was first pushed.
    pub pushed: i64,
    /// Its tags in their order.
    pub tags: Vec<String>,
}

/// A manifest as it was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Which image a tag or digest means, for whoever runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Media type of the manifest: an index has images for several platforms.
    pub media_type: String,
    /// Digest of the configuration, which [`Registry::open_blob`] opens; an index has none.
    pub config: Option<Digest>,
    /// Bytes of configuration and layers.
    pub size: u64,
}

/// Which images are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagStatus {
    /// All.
    Any,
    /// Those with a tag.
    Tagged,
    /// Those without.
    Untagged,
}

/// A page of a listing of images.
#[derive(Debug, Clone, Copy)]
pub struct ImagePage<'a> {
    /// Which images.
    pub status: TagStatus,
    /// Digest and tag that the page begins after; both empty for the first one.
    pub after: (&'a str, &'a str),
    /// Entries at most; never more than [`limits::PAGE`] and one.
    pub limit: usize,
}

impl Registry {
    /// Stores an image, under a tag or under its own digest, when everything it needs is in the repository.
    /// Answers it and whether anything changed. `content_type` is what the manifest was sent as.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`], [`Error::ManifestInvalid`], [`Error::TooLarge`], [`Error::BlobsMissing`],
    /// [`Error::ImagesMissing`], [`Error::TagImmutable`]; [`Error::DigestMismatch`] when it was put under
    /// another digest than its own; [`Error::TooMany`] at the ceilings.
    pub async fn put_image(
        &self,
        repository: RepositoryName<'_>,
        reference: &Reference,
        content_type: Option<&str>,
        bytes: Bytes,
    ) -> Result<(StoredManifest, bool)> {
        let manifest = Manifest::read(&bytes, content_type)?;
        let digest = Digest::of(&bytes);
        if let Reference::Digest(announced) = reference
            && *announced != digest
        {
            return Err(Error::DigestMismatch {
                announced: announced.to_string(),
                received: digest.to_string(),
            });
        }
        let _kept = self.shared.layers.read().await;
        let mut change = self.index().begin().await?;
        let id = change.repository_id(repository).await?;
        self.is_pushed_to(id);
        let mut changed = false;
        if change.image_size(id, &digest).await?.is_none() {
            let size = self.size_of(&mut change, id, &manifest).await?;
            if change.count_images(id).await? >= limits::IMAGES {
                return Err(Error::TooMany(format!(
                    "the repository '{}' has {} images already; delete some first",
                    repository.name,
                    limits::IMAGES
                )));
            }
            let pushed = self.now();
            let new = NewImage {
                repository: id,
                digest: &digest,
                manifest: &manifest,
                bytes: &bytes,
                size,
                pushed,
            };
            change.insert_image(&new).await?;
            changed = true;
        }
        if let Reference::Tag(tag) = reference {
            changed |= set_tag(&mut change, repository, id, tag, &digest).await?;
        }
        if changed {
            change.commit().await?;
        }
        Ok((StoredManifest { digest, media_type: manifest.media_type, bytes }, changed))
    }

    /// Checks that everything a manifest needs is there, with the size that it says, and answers how large
    /// it all is.
    async fn size_of(
        &self,
        change: &mut crate::index::Write,
        repository: i64,
        manifest: &Manifest,
    ) -> Result<u64> {
        let (mut missing, mut largest) = (Vec::new(), 0);
        for part in &manifest.images {
            match change.image_size(repository, &part.digest).await? {
                Some(size) => largest = largest.max(size),
                None => missing.push(part.digest.to_string()),
            }
        }
        if !missing.is_empty() {
            return Err(Error::ImagesMissing(missing));
        }
        for part in &manifest.blobs {
            match change.blob_size(repository, &part.digest).await? {
                Some(size) if size == part.size => {}
                Some(size) => {
                    return Err(Error::ManifestInvalid(format!(
                        "{} has {size} bytes, not {} as the manifest says",
                        part.digest, part.size
                    )));
                }
                None => missing.push(part.digest.to_string()),
            }
        }
        if !missing.is_empty() {
            missing.dedup();
            return Err(Error::BlobsMissing(missing));
        }
        Ok(largest.max(manifest.size()))
    }

    /// The manifest of an image.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`], [`Error::NoSuchImage`].
    pub async fn manifest(
        &self,
        repository: RepositoryName<'_>,
        reference: &Reference,
    ) -> Result<StoredManifest> {
        let (id, digest) = self.find(repository, reference).await?;
        let row = self.index().manifest(id, &digest).await?;
        let row = row.ok_or_else(|| missing(repository, reference.as_str()))?;
        Ok(StoredManifest { digest, media_type: row.media_type, bytes: row.manifest.into() })
    }

    /// Which image a tag or digest means, and what it is made of.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`], [`Error::NoSuchImage`].
    pub async fn resolve(&self, repository: RepositoryName<'_>, reference: &Reference) -> Result<Resolved> {
        let (id, digest) = self.find(repository, reference).await?;
        let row = self.index().manifest(id, &digest).await?;
        let row = row.ok_or_else(|| missing(repository, reference.as_str()))?;
        let config = row.config.as_deref().map(Digest::parse).transpose()?;
        Ok(Resolved { digest, media_type: row.media_type, config, size: row.size })
    }

    /// An image with its tags.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`], [`Error::NoSuchImage`].
    pub async fn image(&self, repository: RepositoryName<'_>, reference: &Reference) -> Result<Image> {
        let (id, digest) = self.find(repository, reference).await?;
        let found = self.index().image(id, &digest).await?;
        found.ok_or_else(|| missing(repository, reference.as_str()))
    }

    async fn find(&self, repository: RepositoryName<'_>, reference: &Reference) -> Result<(i64, Digest)> {
        let id = self.index().repository_id(repository).await?;
        let found = self.index().find_image(id, reference).await?;
        Ok((id, found.ok_or_else(|| missing(repository, reference.as_str()))?))
    }

    /// Images in the order of their digests.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`].
    pub async fn images(&self, repository: RepositoryName<'_>, page: ImagePage<'_>) -> Result<Vec<Image>> {
        let id = self.index().repository_id(repository).await?;
        self.index().images(of(page, id)).await
    }

    /// Digests with each of their tags, and those that have none, in the order of digest and tag.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`].
    pub async fn identifiers(
        &self,
        repository: RepositoryName<'_>,
        page: ImagePage<'_>,
    ) -> Result<Vec<(String, Option<String>)>> {
        let id = self.index().repository_id(repository).await?;
        self.index().identifiers(of(page, id)).await
    }

    /// At most `limit` tags of a repository in their order, those after `after`.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`].
    pub async fn tags(
        &self,
        repository: RepositoryName<'_>,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>> {
        let id = self.index().repository_id(repository).await?;
        self.index().tags(id, after, limit.min(limits::PAGE)).await
    }

    /// Removes an image with all its tags, or a tag and with the last one its image. Answers the digest and
    /// the tags that went. [`Registry::collect`] removes what nobody needs any more.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`], [`Error::NoSuchImage`]; [`Error::ImageReferenced`] when an index lists it.
    pub async fn delete_image(
        &self,
        repository: RepositoryName<'_>,
        reference: &Reference,
    ) -> Result<(Digest, Vec<String>)> {
        let mut change = self.index().begin().await?;
        let id = change.repository_id(repository).await?;
        let digest = change.find_image(id, reference).await?;
        let digest = digest.ok_or_else(|| missing(repository, reference.as_str()))?;
        let tags = change.tags_of(id, &digest).await?;
        let is_part = change.needs_image(id, &digest).await?;
        let gone = match reference {
            Reference::Tag(tag) if tags.len() > 1 || is_part => {
                change.delete_tag(id, tag).await?;
                vec![tag.clone()]
            }
            _ if is_part => return Err(Error::ImageReferenced(digest.to_string())),
            _ => {
                change.delete_image(id, &digest).await?;
                tags
            }
        };
        change.commit().await?;
        Ok((digest, gone))
    }
}

fn of(page: ImagePage<'_>, repository: i64) -> PageOfImages<'_> {
    let limit = page.limit.min(limits::PAGE + 1);
    PageOfImages { repository, status: page.status, after: page.after, limit }
}

fn missing(repository: RepositoryName<'_>, reference: &str) -> Error {
    Error::NoSuchImage { repository: repository.name.to_owned(), reference: reference.to_owned() }
}

/// Lets a tag name an image; `false` when it does already.
async fn set_tag(
    change: &mut crate::index::Write,
    repository: RepositoryName<'_>,
    id: i64,
    tag: &str,
    digest: &Digest,
) -> Result<bool> {
    check_tag(tag)?;
    let named = change.find_image(id, &Reference::Tag(tag.to_owned())).await?;
    if named.as_ref() == Some(digest) {
        return Ok(false);
    }
    if named.is_some() && change.repository(repository).await?.mutability == Mutability::Immutable {
        return Err(Error::TagImmutable { repository: repository.name.to_owned(), tag: tag.to_owned() });
    }
    if change.count_tags(id, digest).await? >= limits::TAGS_PER_IMAGE {
        return Err(Error::TooMany(format!(
            "the image {digest} has {} tags already; delete some first",
            limits::TAGS_PER_IMAGE
        )));
    }
    change.set_tag(id, tag, digest).await?;
    Ok(true)
}
