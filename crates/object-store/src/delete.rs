//! Deleting objects: the index first, then the files.

use crate::{Condition, Error, ObjectStore, Result, limits, to_the_end};

impl ObjectStore {
    /// Deletes an object; a key that holds none is no error.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`]; with a condition that is not [`Condition::Always`] also
    /// [`Error::PreconditionFailed`] and [`Error::NoSuchKey`].
    pub async fn delete_object(&self, bucket: &str, key: &str, condition: Condition) -> Result<()> {
        let store = self.clone();
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        to_the_end(async move {
            let mut change = store.index().begin().await?;
            let bucket_id = change.bucket_id(&bucket).await?;
            change.check_condition(bucket_id, &key, &condition).await?;
            let Some(blobs) = change.delete_object(bucket_id, &key).await? else {
                return Ok(());
            };
            change.commit().await?;
            store.blobs().discard(blobs).await
        })
        .await
    }

    /// Deletes many objects in one change; keys that hold none are no error.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`]; [`Error::InvalidArgument`] for more than
    /// [`limits::DELETE_KEYS`] keys.
    pub async fn delete_objects(&self, bucket: &str, keys: &[String]) -> Result<()> {
        if keys.len() > limits::DELETE_KEYS {
            let reason = format!("{} keys; at most {} at once", keys.len(), limits::DELETE_KEYS);
            return Err(Error::InvalidArgument(reason));
        }
        let store = self.clone();
        let (bucket, keys) = (bucket.to_owned(), keys.to_vec());
        to_the_end(async move {
            let mut change = store.index().begin().await?;
            let bucket_id = change.bucket_id(&bucket).await?;
            let mut blobs = Vec::new();
            for key in &keys {
                blobs.extend(change.delete_object(bucket_id, key).await?.unwrap_or_default());
            }
            change.commit().await?;
            store.blobs().discard(blobs).await
        })
        .await
    }
}
