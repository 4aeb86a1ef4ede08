//! Whole files in and out, for those who stage work on this machine.

use std::fs::File;
use std::io::{SeekFrom, Write};
use std::path::Path;

use futures::TryStreamExt;
use tokio::io::{AsyncReadExt, AsyncSeekExt, Take};
use tokio_util::io::ReaderStream;

use crate::{
    Attributes, CompleteUpload, CompletedPart, CreateUpload, Error, Expectations, ObjectInfo, ObjectStore,
    PutObject, Result, blocking, limits,
};

impl ObjectStore {
    /// Copies an object to the new file `path`, whose folder exists. The file is not made durable:
    /// it can be fetched again.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], [`Error::NoSuchKey`]; [`Error::Io`] when the file cannot be
    /// written; what was written of it stays.
    pub async fn fetch_object_to(&self, bucket: &str, key: &str, path: &Path) -> Result<ObjectInfo> {
        let (info, reader) = self.get_object(bucket, key).await?;
        let target = path.to_path_buf();
        let mut file = blocking(move || Ok(File::create(target)?)).await?;
        let mut stream = reader.stream(0..info.size);
        while let Some(bytes) = stream.try_next().await? {
            file = blocking(move || {
                file.write_all(&bytes)?;
                Ok(file)
            })
            .await?;
        }
        Ok(info)
    }

    /// Stores the file `path` as an object. Files above 5 GiB are stored in parts.
    ///
    /// # Errors
    /// Those of [`ObjectStore::put_object`]; [`Error::Io`] when the file cannot be read.
    pub async fn store_file(
        &self,
        bucket: &str,
        key: &str,
        path: &Path,
        content_type: &str,
    ) -> Result<ObjectInfo> {
        let attributes = Attributes { content_type: Some(content_type.to_owned()), ..Attributes::default() };
        let size = tokio::fs::metadata(path).await?.len();
        if size > limits::PUT_BYTES {
            return self.store_in_parts(bucket, key, path, attributes, limits::PUT_BYTES).await;
        }
        let expectations = Expectations { length: Some(size), ..Expectations::default() };
        let put = PutObject { attributes, expectations, ..PutObject::default() };
        let body = file_from(path, 0, size).await?;
        self.put_object(bucket, key, put, body).await.map_err(of_a_file)
    }

    /// Stores bytes as an object.
    ///
    /// # Errors
    /// Those of [`ObjectStore::put_object`].
    pub async fn store_bytes(
        &self,
        bucket: &str,
        key: &str,
        bytes: Vec<u8>,
        content_type: &str,
    ) -> Result<ObjectInfo> {
        let attributes = Attributes { content_type: Some(content_type.to_owned()), ..Attributes::default() };
        let put = PutObject { attributes, ..PutObject::default() };
        let body = futures::stream::iter([Ok(bytes::Bytes::from(bytes))]);
        self.put_object(bucket, key, put, body).await
    }

    async fn store_in_parts(
        &self,
        bucket: &str,
        key: &str,
        path: &Path,
        attributes: Attributes,
        part_size: u64,
    ) -> Result<ObjectInfo> {
        let create = CreateUpload { attributes, ..CreateUpload::default() };
        let upload = self.create_upload(bucket, key, create).await?.id;
        let stored = self.store_parts((bucket, key), &upload, path, part_size).await;
        if stored.is_err() {
            self.abort_upload(bucket, key, &upload).await?;
        }
        stored
    }

    async fn store_parts(
        &self,
        (bucket, key): (&str, &str),
        upload: &str,
        path: &Path,
        part_size: u64,
    ) -> Result<ObjectInfo> {
        let size = tokio::fs::metadata(path).await?.len();
        let mut parts = Vec::new();
        for (number, offset) in (1u32..).zip((0..size).step_by(part_size as usize)) {
            let body = file_from(path, offset, part_size).await?;
            let expectations =
                Expectations { length: Some(part_size.min(size - offset)), ..Expectations::default() };
            let part = self.put_part(bucket, key, upload, number, expectations, body).await;
            let etag = part.map_err(of_a_file)?.etag;
            parts.push(CompletedPart { number, etag, checksum: None });
        }
        let complete = CompleteUpload { parts, ..CompleteUpload::default() };
        self.complete_upload(bucket, key, upload, complete).await
    }
}

/// The bytes of a file from `offset`, at most `length` of them.
async fn file_from(path: &Path, offset: u64, length: u64) -> Result<ReaderStream<Take<tokio::fs::File>>> {
    let mut file = tokio::fs::File::open(path).await?;
    file.seek(SeekFrom::Start(offset)).await?;
    Ok(ReaderStream::with_capacity(file.take(length), limits::INGEST_BATCH))
}

/// A body that is a file fails as files do.
fn of_a_file(error: Error) -> Error {
    match error {
        Error::Body(error) => Error::Io(error),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_goes_in_and_comes_out_whole_or_in_parts() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let store = ObjectStore::open(&folder.path().join("store")).await?;
        store.create_bucket("bucket", "us-east-1", "123456789012").await?;
        let content: Vec<u8> = (0..(11u32 << 20) + 5).map(|i| (i % 251) as u8).collect();
        let (source, target) = (folder.path().join("source"), folder.path().join("target"));
        std::fs::write(&source, &content)?;
        let whole = store.store_file("bucket", "whole", &source, "text/csv").await?;
        assert_eq!(whole.attributes.content_type.as_deref(), Some("text/csv"));
        let attributes = Attributes::default();
        let size = limits::PART_MIN_BYTES;
        let parts = store.store_in_parts("bucket", "parts", &source, attributes, size).await?;
        assert_eq!((parts.part_count, parts.size), (Some(3), whole.size));
        assert_eq!(parts.checksum, whole.checksum);
        for key in ["whole", "parts"] {
            store.fetch_object_to("bucket", key, &target).await?;
            assert!(std::fs::read(&target)? == content);
        }
        Ok(())
    }
}
