//! Buckets: create, look up, list, delete.

use crate::{Bucket, Error, ObjectStore, Result, limits, names, to_the_end};

/// What creating a bucket found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The bucket is new.
    New(Bucket),
    /// The same account had it already; it is unchanged.
    Already(Bucket),
}

impl ObjectStore {
    /// Creates a bucket for the account `owner` in `region`.
    ///
    /// # Errors
    /// [`Error::InvalidBucketName`], [`Error::BucketAlreadyExists`] when another account has it,
    /// [`Error::TooManyBuckets`].
    pub async fn create_bucket(&self, name: &str, region: &str, owner: &str) -> Result<Created> {
        names::check_bucket(name)?;
        let store = self.clone();
        let (name, region, owner) = (name.to_owned(), region.to_owned(), owner.to_owned());
        to_the_end(async move {
            let mut change = store.index().begin().await?;
            if let Some(bucket) = change.find_bucket(&name).await? {
                return if bucket.owner == owner {
                    Ok(Created::Already(bucket))
                } else {
                    Err(Error::BucketAlreadyExists(name))
                };
            }
            if change.count_buckets().await? >= limits::BUCKETS {
                return Err(Error::TooManyBuckets(limits::BUCKETS));
            }
            let created = store.now();
            change.insert_bucket(&name, &region, &owner, created).await?;
            change.commit().await?;
            let created = crate::model::time_of(created);
            Ok(Created::New(Bucket { name, region, owner, created }))
        })
        .await
    }

    /// Looks a bucket up.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`].
    pub async fn head_bucket(&self, name: &str) -> Result<Bucket> {
        self.index().bucket(name).await
    }

    /// All buckets in the order of their names.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn list_buckets(&self) -> Result<Vec<Bucket>> {
        self.index().buckets().await
    }

    /// Deletes a bucket without objects; its open multipart uploads are aborted.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], [`Error::BucketNotEmpty`].
    pub async fn delete_bucket(&self, name: &str) -> Result<()> {
        let store = self.clone();
        let name = name.to_owned();
        to_the_end(async move {
            let mut change = store.index().begin().await?;
            let bucket = change.bucket_id(&name).await?;
            if change.has_objects(bucket).await? {
                return Err(Error::BucketNotEmpty(name));
            }
            let mut blobs = Vec::new();
            for upload in change.uploads_of(bucket).await? {
                blobs.extend(change.delete_upload(&upload).await?);
            }
            change.delete_bucket(bucket).await?;
            change.commit().await?;
            store.blobs().discard(blobs).await
        })
        .await
    }
}
