//! Uploading and copying parts.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures::Stream;

use super::{PartSummary, part_summary};
use crate::index::PartRow;
use crate::ingest::{Content, Placement};
use crate::{ChecksumRequest, Error, Expectations, ObjectStore, Result, limits, to_the_end};

impl ObjectStore {
    /// Stores a part, in the place of an earlier one of that number.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], [`Error::NoSuchUpload`]; [`Error::InvalidArgument`] for a number
    /// outside 1 to 10,000; [`Error::InvalidRequest`] for a checksum of another algorithm than the
    /// upload's; those of the body, see [`ObjectStore::put_object`].
    pub async fn put_part<S>(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        number: u32,
        expectations: Expectations,
        body: S,
    ) -> Result<PartSummary>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + Unpin,
    {
        if number == 0 || number > limits::PARTS {
            let reason = format!("part numbers lie between 1 and {}", limits::PARTS);
            return Err(Error::InvalidArgument(reason));
        }
        let bucket_id = self.index().bucket_id(bucket).await?;
        let found = self.index().upload(bucket_id, key, upload).await?;
        let given = expectations.checksum.algorithm();
        let named = !matches!(expectations.checksum, ChecksumRequest::Default);
        if named && found.chosen && given != found.algorithm {
            let (wanted, given) = (found.algorithm.name(), given.name());
            let reason = format!("the upload's checksums are {wanted}, the part's is {given}");
            return Err(Error::InvalidRequest(reason));
        }
        let ingested = self.ingest(body, expectations, Some(found.algorithm), Placement::File).await?;
        let Content::File(blob) = ingested.content else {
            return Err(Error::Interrupted);
        };
        let row = PartRow {
            number,
            blob: blob.name.clone(),
            size: ingested.size,
            etag: ingested.digests.etag(),
            modified: self.now(),
            checksum: ingested.digests.value(found.algorithm),
        };
        let store = self.clone();
        let (bucket, key, upload) = (bucket.to_owned(), key.to_owned(), upload.to_owned());
        to_the_end(async move {
            let mut change = store.index().begin().await?;
            let bucket_id = change.bucket_id(&bucket).await?;
            // The upload may have been completed or aborted while the body came in.
            if change.upload(bucket_id, &key, &upload).await?.is_none() {
                return Err(Error::NoSuchUpload);
            }
            let replaced = change.put_part(&upload, &row).await?;
            blob.keep();
            change.commit().await?;
            store.blobs().discard(replaced.into_iter().collect()).await?;
            Ok(part_summary(row, found.algorithm))
        })
        .await
    }

    /// Stores a part with bytes of an object: all of it, or those of `range`, which must lie
    /// within it.
    ///
    /// # Errors
    /// Those of [`ObjectStore::put_part`] and [`ObjectStore::get_object`];
    /// [`Error::InvalidRange`]; [`Error::PreconditionFailed`] when the source's entity tag is not
    /// `source_etag`.
    pub async fn copy_part(
        &self,
        source: (&str, &str),
        range: Option<Range<u64>>,
        source_etag: Option<&str>,
        target: (&str, &str),
        upload: &str,
        number: u32,
    ) -> Result<PartSummary> {
        let (info, reader) = self.get_object(source.0, source.1).await?;
        if source_etag.is_some_and(|etag| etag != info.etag) {
            return Err(Error::PreconditionFailed("x-amz-copy-source-if-match"));
        }
        let range = range.unwrap_or(0..info.size);
        if range.start > range.end || range.end > info.size {
            return Err(Error::InvalidRange(info.size));
        }
        let expectations = Expectations { length: Some(range.end - range.start), ..Expectations::default() };
        let body = reader.stream(range);
        self.put_part(target.0, target.1, upload, number, expectations, body).await
    }
}
