//! Listing open uploads and their parts.

use super::{PartSummary, UploadSummary, part_summary};
use crate::index::successor;
use crate::{ObjectStore, Result, limits};

/// One page of parts.
#[derive(Debug, Clone)]
pub struct PartsPage {
    /// The upload.
    pub upload: UploadSummary,
    /// Parts in ascending order.
    pub parts: Vec<PartSummary>,
    /// When there is more: the last number of the page.
    pub next: Option<u32>,
}

/// One page of uploads.
#[derive(Debug, Clone)]
pub struct UploadsPage {
    /// Uploads by key, then by time of creation.
    pub uploads: Vec<UploadSummary>,
    /// When there is more: key and identifier of the last upload of the page.
    pub next: Option<(String, String)>,
}

impl ObjectStore {
    /// Parts with a number above `after`, at most `max` of them (cut to [`limits::PAGE`]).
    ///
    /// # Errors
    /// [`crate::Error::NoSuchBucket`], [`crate::Error::NoSuchUpload`].
    pub async fn list_parts(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        after: u32,
        max: usize,
    ) -> Result<PartsPage> {
        let bucket = self.index().bucket_id(bucket).await?;
        let found = self.index().upload(bucket, key, upload).await?;
        let max = max.min(limits::PAGE);
        let mut rows = self.index().parts(upload, after, max + 1).await?;
        let more = rows.len() > max;
        rows.truncate(max);
        let next = rows.last().filter(|_| more).map(|part| part.number);
        let algorithm = found.algorithm;
        let parts = rows.into_iter().map(|row| part_summary(row, algorithm)).collect();
        Ok(PartsPage { upload: found.into(), parts, next })
    }

    /// Open uploads of keys that begin with `prefix`, after the upload `after.1` of the key
    /// `after.0` (an empty identifier is after all uploads of that key), at most `max` of them
    /// (cut to [`limits::PAGE`]).
    ///
    /// # Errors
    /// [`crate::Error::NoSuchBucket`].
    pub async fn list_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        after: (&str, &str),
        max: usize,
    ) -> Result<UploadsPage> {
        let bucket = self.index().bucket_id(bucket).await?;
        let until = successor(prefix.as_bytes());
        // Identifiers are hexadecimal, so "~" is after them all.
        let after_id = if after.1.is_empty() { "~" } else { after.1 };
        let after = (after.0.as_bytes(), after_id);
        let max = max.min(limits::PAGE);
        let (prefix, until) = (prefix.as_bytes(), until.as_deref());
        let mut rows = self.index().scan_uploads(bucket, prefix, until, after, max + 1).await?;
        let more = rows.len() > max;
        rows.truncate(max);
        let next = rows.last().filter(|_| more).map(|last| (last.key.clone(), last.id.clone()));
        Ok(UploadsPage { uploads: rows.into_iter().map(UploadSummary::from).collect(), next })
    }
}
