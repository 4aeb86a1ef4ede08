//! Multipart uploads: parts arrive in any order, and completing puts them together without
//! copying: the object keeps the parts' blobs as its segments.

mod complete;
mod list;
mod part;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::digest::{Algorithm, ChecksumKind};
use crate::index::{PartRow, UploadRow};
use crate::model::time_of;
use crate::{Attributes, Error, ObjectStore, Result, Tags, names, to_the_end};

pub use complete::{CompleteUpload, CompletedPart};
pub use list::{PartsPage, UploadsPage};

/// The checksum of the object to be, as its writer chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChecksumPlan {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// What it covers; `None` is the algorithm's default.
    pub kind: Option<ChecksumKind>,
}

/// What goes with a new upload.
#[derive(Debug, Clone, Default)]
pub struct CreateUpload {
    /// The object's attributes.
    pub attributes: Attributes,
    /// The object's tags.
    pub tags: Tags,
    /// The object's checksum; `None` is CRC64NVME of the whole.
    pub checksum: Option<ChecksumPlan>,
}

/// An open upload.
#[derive(Debug, Clone)]
pub struct UploadSummary {
    /// Its identifier.
    pub id: String,
    /// The key it is for.
    pub key: String,
    /// When it was created, UTC.
    pub initiated: OffsetDateTime,
    /// The algorithm of the parts' checksums.
    pub algorithm: Algorithm,
    /// What the object's checksum will cover.
    pub kind: ChecksumKind,
    /// Whether the caller chose the algorithm.
    pub chosen: bool,
}

/// An uploaded part.
#[derive(Debug, Clone)]
pub struct PartSummary {
    /// Its number, 1 to 10,000.
    pub number: u32,
    /// Its size in bytes.
    pub size: u64,
    /// Its entity tag without quotes: the MD5 in hexadecimal.
    pub etag: String,
    /// When it was uploaded, UTC.
    pub modified: OffsetDateTime,
    /// The algorithm of its checksum.
    pub algorithm: Algorithm,
    /// Its checksum in base64.
    pub checksum: String,
}

impl From<UploadRow> for UploadSummary {
    fn from(row: UploadRow) -> Self {
        Self {
            id: row.id,
            key: row.key,
            initiated: time_of(row.initiated),
            algorithm: row.algorithm,
            kind: row.kind,
            chosen: row.chosen,
        }
    }
}

fn part_summary(row: PartRow, algorithm: Algorithm) -> PartSummary {
    PartSummary {
        number: row.number,
        size: row.size,
        etag: row.etag,
        modified: time_of(row.modified),
        algorithm,
        checksum: row.checksum,
    }
}

/// What the checksum covers. Source: Amazon S3 User Guide, "Checking object integrity": CRC64NVME
/// only the whole object, the SHAs only the parts, CRC32 and CRC32C either, by default the parts.
fn kind_of(plan: ChecksumPlan) -> Result<ChecksumKind> {
    let kind = match (plan.algorithm, plan.kind) {
        (Algorithm::Crc64Nvme, None) => ChecksumKind::FullObject,
        (_, None) => ChecksumKind::Composite,
        (_, Some(kind)) => kind,
    };
    let possible = match kind {
        ChecksumKind::FullObject => plan.algorithm.combines(),
        ChecksumKind::Composite => plan.algorithm != Algorithm::Crc64Nvme,
    };
    if possible {
        return Ok(kind);
    }
    let name = plan.algorithm.name();
    Err(Error::InvalidRequest(format!("{name} does not have a checksum of this type")))
}

impl ObjectStore {
    /// Opens an upload.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`]; those of the key, metadata and tags; [`Error::InvalidRequest`] for
    /// a checksum that cannot be.
    pub async fn create_upload(
        &self,
        bucket: &str,
        key: &str,
        create: CreateUpload,
    ) -> Result<UploadSummary> {
        names::check_key(key)?;
        names::check_attributes(&create.attributes)?;
        names::check_tags(&create.tags)?;
        let plan = create.checksum;
        let plan_or_default = plan.unwrap_or(ChecksumPlan { algorithm: Algorithm::Crc64Nvme, kind: None });
        let kind = kind_of(plan_or_default)?;
        let initiated = self.now();
        let upload = UploadRow {
            // The time in front makes identifiers order by creation.
            id: format!("{initiated:012x}{}", Uuid::new_v4().simple()),
            key: key.to_owned(),
            initiated,
            attributes: create.attributes,
            tags: create.tags,
            algorithm: plan_or_default.algorithm,
            kind,
            chosen: plan.is_some(),
        };
        let store = self.clone();
        let bucket = bucket.to_owned();
        to_the_end(async move {
            let mut change = store.index().begin().await?;
            let bucket_id = change.bucket_id(&bucket).await?;
            change.insert_upload(bucket_id, &upload).await?;
            change.commit().await?;
            Ok(upload.into())
        })
        .await
    }

    /// Drops an upload and its parts.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], [`Error::NoSuchUpload`].
    pub async fn abort_upload(&self, bucket: &str, key: &str, id: &str) -> Result<()> {
        let store = self.clone();
        let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
        to_the_end(async move {
            let mut change = store.index().begin().await?;
            let bucket_id = change.bucket_id(&bucket).await?;
            if change.upload(bucket_id, &key, &id).await?.is_none() {
                return Err(Error::NoSuchUpload);
            }
            let blobs = change.delete_upload(&id).await?;
            change.commit().await?;
            store.blobs().discard(blobs).await
        })
        .await
    }
}
