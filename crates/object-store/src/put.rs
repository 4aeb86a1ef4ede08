//! Writing an object in one piece.

use std::io;

use bytes::Bytes;
use futures::Stream;

use crate::blob::{self, Published};
use crate::digest::{Checksum, ChecksumKind};
use crate::index::{ObjectRow, Write};
use crate::ingest::{Content, Placement};
use crate::{
    Attributes, Condition, Error, Expectations, ObjectInfo, ObjectStore, Result, Tags, names, to_the_end,
};

/// What goes with the bytes of an object.
#[derive(Debug, Default)]
pub struct PutObject {
    /// Its attributes.
    pub attributes: Attributes,
    /// Its tags.
    pub tags: Tags,
    /// A condition on what the key holds.
    pub condition: Condition,
    /// What the body must be.
    pub expectations: Expectations,
}

impl ObjectStore {
    /// Writes an object. When this returns `Ok` it is on disk and readers see it whole.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`]; those of the key, metadata and tags; [`Error::PreconditionFailed`];
    /// those of the body: [`Error::BadDigest`], [`Error::InvalidDigest`],
    /// [`Error::IncompleteBody`], [`Error::EntityTooLarge`], [`Error::Body`],
    /// [`Error::BodyTimeout`]. The key then holds what it held before.
    pub async fn put_object<S>(&self, bucket: &str, key: &str, put: PutObject, body: S) -> Result<ObjectInfo>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + Unpin,
    {
        names::check_key(key)?;
        names::check_attributes(&put.attributes)?;
        names::check_tags(&put.tags)?;
        // Refuses early what the commit would refuse, before the body is taken.
        let bucket_id = self.index().bucket_id(bucket).await?;
        if put.condition != Condition::Always {
            let held = match self.index().object(bucket_id, key).await {
                Ok(held) => Some(held),
                Err(Error::NoSuchKey(_)) => None,
                Err(error) => return Err(error),
            };
            check_condition(&put.condition, key, held.as_ref())?;
        }
        let algorithm = put.expectations.checksum.algorithm();
        let ingested = self.ingest(body, put.expectations, None, Placement::BySize).await?;
        let (generation, inline, blobs) = match ingested.content {
            Content::File(blob) => (blob.name.clone(), None, vec![blob]),
            Content::Inline(bytes) => (blob::new_name(), Some(bytes), Vec::new()),
        };
        let row = ObjectRow {
            generation,
            inline,
            size: ingested.size,
            etag: ingested.digests.etag(),
            modified: self.now(),
            checksum: Checksum {
                algorithm,
                value: ingested.digests.value(algorithm),
                kind: ChecksumKind::FullObject,
            },
            attributes: put.attributes,
            tags: put.tags,
            segments: None,
            upload: None,
        };
        self.commit_object(bucket, key, row, put.condition, blobs).await
    }

    /// Makes `row` the object of the key, keeps its `blobs` and removes those it replaces.
    pub(crate) async fn commit_object(
        &self,
        bucket: &str,
        key: &str,
        row: ObjectRow,
        condition: Condition,
        blobs: Vec<Published>,
    ) -> Result<ObjectInfo> {
        let store = self.clone();
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        to_the_end(async move {
            let mut change = store.index().begin().await?;
            let bucket_id = change.bucket_id(&bucket).await?;
            change.check_condition(bucket_id, &key, &condition).await?;
            let replaced = change.put_object(bucket_id, &key, &row).await?;
            // From here on the entry may be on disk, whatever the commit answers.
            blobs.into_iter().for_each(Published::keep);
            change.commit().await?;
            store.blobs().discard(replaced).await?;
            Ok(row.into_info(key))
        })
        .await
    }
}

impl Write {
    /// Checks a condition on what the key holds.
    pub async fn check_condition(&mut self, bucket: i64, key: &str, condition: &Condition) -> Result<()> {
        if *condition == Condition::Always {
            return Ok(());
        }
        let held = self.object(bucket, key).await?;
        check_condition(condition, key, held.as_ref())
    }
}

fn check_condition(condition: &Condition, key: &str, held: Option<&ObjectInfo>) -> Result<()> {
    match (condition, held) {
        (Condition::Always, _) | (Condition::Absent, None) => Ok(()),
        (Condition::Absent, Some(_)) => Err(Error::PreconditionFailed("If-None-Match")),
        (Condition::Matches(_), None) => Err(Error::NoSuchKey(key.to_owned())),
        (Condition::Matches(etag), Some(held)) if etag == "*" || *etag == held.etag => Ok(()),
        (Condition::Matches(_), Some(_)) => Err(Error::PreconditionFailed("If-Match")),
    }
}

impl ObjectRow {
    /// What a reader of the key sees.
    pub fn into_info(self, key: String) -> ObjectInfo {
        ObjectInfo {
            key,
            size: self.size,
            etag: self.etag,
            modified: crate::model::time_of(self.modified),
            attributes: self.attributes,
            checksum: self.checksum,
            tag_count: self.tags.0.len(),
            part_count: self.segments.map(|segments| segments.len() as u32),
            generation: self.generation,
            inline: self.inline.is_some(),
        }
    }
}
