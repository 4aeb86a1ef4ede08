//! Completing an upload.

use super::kind_of;
use crate::digest::{self, Checksum, ChecksumKind};
use crate::index::{ObjectRow, PartRow, Segment, UploadRow};
use crate::{ChecksumPlan, Condition, Error, ObjectInfo, ObjectStore, Result, blob, limits, to_the_end};

/// One part as the caller names it.
#[derive(Debug, Clone)]
pub struct CompletedPart {
    /// Its number.
    pub number: u32,
    /// Its entity tag without quotes.
    pub etag: String,
    /// Its checksum in base64, if the caller names one.
    pub checksum: Option<String>,
}

/// What the caller says the finished object is.
#[derive(Debug, Clone, Default)]
pub struct CompleteUpload {
    /// Its parts in ascending order.
    pub parts: Vec<CompletedPart>,
    /// Its checksum in base64, with or without the `-<parts>` of a composite one.
    pub checksum: Option<String>,
    /// What its checksum covers.
    pub kind: Option<ChecksumKind>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// A condition on what the key holds.
    pub condition: Condition,
}

impl ObjectStore {
    /// Makes the named parts an object and drops the others. Completing again what has just been
    /// completed answers the same object, so that a caller who missed the answer may repeat.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], [`Error::NoSuchUpload`], [`Error::InvalidPart`],
    /// [`Error::InvalidPartOrder`], [`Error::EntityTooSmall`], [`Error::EntityTooLarge`],
    /// [`Error::BadDigest`], [`Error::PreconditionFailed`]; [`Error::InvalidRequest`] when no part
    /// is named or the size differs. The upload then stays open.
    pub async fn complete_upload(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        complete: CompleteUpload,
    ) -> Result<ObjectInfo> {
        check_order(&complete)?;
        let store = self.clone();
        let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
        to_the_end(async move {
            let mut change = store.index().begin().await?;
            let bucket_id = change.bucket_id(&bucket).await?;
            let Some(upload) = change.upload(bucket_id, &key, &id).await? else {
                let made = change.object_of_upload(bucket_id, &key, &id).await?;
                return made.ok_or(Error::NoSuchUpload);
            };
            change.check_condition(bucket_id, &key, &complete.condition).await?;
            let stored = change.parts(&id).await?;
            let chosen = choose(&complete, &stored)?;
            let row = assemble(&complete, upload, &chosen, store.now())?;
            let mut unused = change.delete_upload(&id).await?;
            unused.retain(|blob| chosen.iter().all(|part| part.blob != *blob));
            unused.extend(change.put_object(bucket_id, &key, &row).await?);
            change.commit().await?;
            store.blobs().discard(unused).await?;
            Ok(row.into_info(key))
        })
        .await
    }
}

fn check_order(complete: &CompleteUpload) -> Result<()> {
    let parts = &complete.parts;
    if parts.is_empty() || parts.len() > limits::PARTS as usize {
        let reason = format!("an upload is completed with 1 to {} parts", limits::PARTS);
        return Err(Error::InvalidRequest(reason));
    }
    if parts.windows(2).any(|pair| pair[0].number >= pair[1].number) {
        return Err(Error::InvalidPartOrder);
    }
    Ok(())
}

/// The stored parts that the caller names, in order. `stored` ascends.
fn choose<'s>(complete: &CompleteUpload, stored: &'s [PartRow]) -> Result<Vec<&'s PartRow>> {
    let mut chosen = Vec::with_capacity(complete.parts.len());
    for named in &complete.parts {
        let found = stored
            .binary_search_by_key(&named.number, |part| part.number)
            .map(|index| &stored[index])
            .map_err(|_| Error::InvalidPart(named.number))?;
        let checksum_differs = named.checksum.as_ref().is_some_and(|sum| *sum != found.checksum);
        if named.etag != found.etag || checksum_differs {
            return Err(Error::InvalidPart(named.number));
        }
        chosen.push(found);
    }
    let (_, but_last) = chosen.split_last().unwrap_or((&&stored[0], &[]));
    for part in but_last {
        if part.size < limits::PART_MIN_BYTES {
            let minimum = limits::PART_MIN_BYTES;
            return Err(Error::EntityTooSmall { number: part.number, size: part.size, minimum });
        }
    }
    Ok(chosen)
}

fn assemble(
    complete: &CompleteUpload,
    upload: UploadRow,
    parts: &[&PartRow],
    modified: i64,
) -> Result<ObjectRow> {
    let size = parts.iter().map(|part| part.size).sum::<u64>();
    if size > limits::OBJECT_BYTES {
        return Err(Error::EntityTooLarge(limits::OBJECT_BYTES));
    }
    if let Some(announced) = complete.size
        && announced != size
    {
        let reason = format!("the parts have {size} bytes together, {announced} were announced");
        return Err(Error::InvalidRequest(reason));
    }
    let algorithm = upload.algorithm;
    let kind = match complete.kind {
        Some(kind) => kind_of(ChecksumPlan { algorithm, kind: Some(kind) })?,
        None => upload.kind,
    };
    let sizes: Vec<(&str, u64)> = parts.iter().map(|part| (part.checksum.as_str(), part.size)).collect();
    let checksum = digest::of_parts(algorithm, kind, &sizes)?;
    if let Some(announced) = &complete.checksum
        && !same(announced, &checksum)
    {
        return Err(Error::BadDigest(algorithm.name().to_owned()));
    }
    let segment = |part: &&PartRow| Segment {
        blob: part.blob.clone(),
        size: part.size,
        checksum: part.checksum.clone(),
    };
    Ok(ObjectRow {
        generation: blob::new_name(),
        inline: None,
        size,
        etag: digest::etag_of_parts(parts.iter().map(|part| part.etag.as_str()))?,
        modified,
        checksum,
        attributes: upload.attributes,
        tags: upload.tags,
        segments: Some(parts.iter().map(segment).collect()),
        upload: Some(upload.id),
    })
}

/// A composite checksum may be announced without its number of parts.
fn same(announced: &str, checksum: &Checksum) -> bool {
    let bare = checksum.value.split('-').next().unwrap_or_default();
    announced == checksum.value || (checksum.kind == ChecksumKind::Composite && announced == bare)
}
