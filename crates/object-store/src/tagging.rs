//! The tags of objects.

use crate::{Error, ObjectStore, Result, Tags, names, to_the_end};

impl ObjectStore {
    /// The tags of an object.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], [`Error::NoSuchKey`].
    pub async fn object_tags(&self, bucket: &str, key: &str) -> Result<Tags> {
        let bucket = self.index().bucket_id(bucket).await?;
        self.index().tags(bucket, key).await
    }

    /// Replaces the tags of an object; empty tags delete them.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], [`Error::NoSuchKey`], [`Error::InvalidTag`].
    pub async fn set_object_tags(&self, bucket: &str, key: &str, tags: Tags) -> Result<()> {
        names::check_tags(&tags)?;
        let store = self.clone();
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        to_the_end(async move {
            let mut change = store.index().begin().await?;
            let bucket_id = change.bucket_id(&bucket).await?;
            if !change.set_tags(bucket_id, &key, &tags).await? {
                return Err(Error::NoSuchKey(key));
            }
            change.commit().await
        })
        .await
    }
}
