//! Copying objects within the store.

use crate::digest::ChecksumKind;
use crate::index::ObjectRow;
use crate::{
    Algorithm, Attributes, ChecksumRequest, Condition, Error, Expectations, ObjectInfo, ObjectStore,
    PutObject, Result, Tags, blob, blocking, limits, names,
};

/// What a copy takes from its source and what is given anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Replacement<T> {
    /// From the source.
    #[default]
    Copy,
    /// Given anew.
    Replace(T),
}

impl<T> Replacement<T> {
    fn or(self, source: T) -> T {
        match self {
            Self::Copy => source,
            Self::Replace(new) => new,
        }
    }
}

/// What goes with a copy.
#[derive(Debug, Clone, Default)]
pub struct CopyObject {
    /// The attributes.
    pub attributes: Replacement<Attributes>,
    /// The tags.
    pub tags: Replacement<Tags>,
    /// The checksum to keep; `None` keeps the source's algorithm.
    pub checksum: Option<Algorithm>,
    /// The entity tag that the source must have: that of the object the caller looked at.
    pub source_etag: Option<String>,
}

impl ObjectStore {
    /// Copies an object to a key, which may be its own when something is replaced. The copy is in
    /// one piece even when the source was put together from parts, as S3's is.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`] and [`Error::NoSuchKey`] of the source, [`Error::NoSuchBucket`] of
    /// the target; [`Error::InvalidRequest`] for sources above 5 GiB and for copies onto
    /// themselves that change nothing; [`Error::PreconditionFailed`].
    pub async fn copy_object(
        &self,
        source: (&str, &str),
        target: (&str, &str),
        copy: CopyObject,
    ) -> Result<ObjectInfo> {
        names::check_key(target.1)?;
        if let Replacement::Replace(attributes) = &copy.attributes {
            names::check_attributes(attributes)?;
        }
        if let Replacement::Replace(tags) = &copy.tags {
            names::check_tags(tags)?;
        }
        if source == target && copy.attributes == Replacement::Copy && copy.checksum.is_none() {
            return Err(Error::InvalidRequest(
                "a copy of an object onto itself must change its metadata, storage class, \
                 website redirect location or encryption"
                    .to_owned(),
            ));
        }
        self.index().bucket_id(target.0).await?;
        let source_tags = self.object_tags(source.0, source.1).await?;
        let (info, reader) = self.get_object(source.0, source.1).await?;
        if copy.source_etag.is_some_and(|etag| etag != info.etag) {
            return Err(Error::PreconditionFailed("x-amz-copy-source-if-match"));
        }
        if info.size > limits::PUT_BYTES {
            return Err(Error::InvalidRequest(
                "the source is larger than 5 GiB; copy it in parts".to_owned(),
            ));
        }
        let attributes = copy.attributes.or(info.attributes.clone());
        let tags = copy.tags.or(source_tags);
        let algorithm = copy.checksum.unwrap_or(info.checksum.algorithm);
        let same_bytes = info.part_count.is_none()
            && algorithm == info.checksum.algorithm
            && info.checksum.kind == ChecksumKind::FullObject;
        if !same_bytes {
            let expectations = Expectations {
                checksum: ChecksumRequest::Compute(algorithm),
                length: Some(info.size),
                ..Expectations::default()
            };
            let put = PutObject { attributes, tags, condition: Condition::Always, expectations };
            return self.put_object(target.0, target.1, put, reader.stream(0..info.size)).await;
        }
        let inline = reader.inline();
        let (generation, blobs) = if inline.is_some() {
            (blob::new_name(), Vec::new())
        } else {
            let (folder, generation) = (self.blobs().clone(), info.generation.clone());
            let copy = blocking(move || Ok(folder.duplicate(&generation)?)).await?;
            (copy.name.clone(), vec![copy])
        };
        drop(reader);
        let row = ObjectRow {
            generation,
            inline,
            size: info.size,
            etag: info.etag,
            modified: self.now(),
            checksum: info.checksum,
            attributes,
            tags,
            segments: None,
            upload: None,
        };
        self.commit_object(target.0, target.1, row, Condition::Always, blobs).await
    }
}
