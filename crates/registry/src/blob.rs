//! The files that hold layers and configurations, named by their digest.
//!
//! A file is written under `uploads/`, fsynced, renamed to `blobs/sha256/<2 hex>/<64 hex>`, and that folder
//! is fsynced; only then does an entry of the index name it. It never changes afterwards. Removal goes the
//! other way: the entry first, then the file. Whoever has opened a file keeps reading it, also when it is
//! removed.

use std::fs::{self, File};
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use sagebrush_env::durable;
use tokio::io::{AsyncReadExt, AsyncSeekExt, Take};
use tokio_util::io::ReaderStream;

use crate::limits::READ_CHUNK;
use crate::{Digest, Error, Registry, RepositoryName, Result, blocking};

/// The folder of layers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct BlobFolder {
    root: PathBuf,
}

impl BlobFolder {
    /// Creates the folders that are missing.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = root.join("blobs/sha256");
        durable::create_folder(&root)?;
        for prefix in Self::prefixes() {
            match fs::create_dir(root.join(prefix)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        // One fsync of the parent covers all 256 entries.
        File::open(&root)?.sync_all()?;
        Ok(Self { root })
    }

    /// The names of the subfolders: the first two digits of the digests in them.
    pub fn prefixes() -> impl Iterator<Item = String> {
        (0..=u8::MAX).map(|byte| format!("{byte:02x}"))
    }

    /// The names of the files in one subfolder.
    pub fn names(&self, prefix: &str) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.root.join(prefix))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join(hex.get(..2).unwrap_or("00")).join(hex)
    }

    /// Moves a finished and fsynced file among the layers, durably. One of the same digest is replaced by
    /// its like.
    pub fn publish(&self, from: &Path, digest: &Digest) -> io::Result<()> {
        durable::rename(from, &self.path(digest))
    }

    /// Removes files that the index no longer names. A failure leaves a file that the next start removes.
    pub fn remove(&self, paths: impl IntoIterator<Item = PathBuf>) {
        for path in paths {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "could not remove a layer's file");
            }
        }
    }

    /// A file that [`BlobFolder::names`] found.
    pub fn found(&self, prefix: &str, name: &str) -> PathBuf {
        self.root.join(prefix).join(name)
    }
}

impl Registry {
    /// Size in bytes of a layer or configuration of a repository, for a push that will rely on it: it is
    /// kept while the push goes on.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`], [`Error::NoSuchBlob`].
    pub async fn blob_size(&self, repository: RepositoryName<'_>, digest: &Digest) -> Result<u64> {
        let _kept = self.shared.layers.read().await;
        let id = self.index().repository_id(repository).await?;
        self.is_pushed_to(id);
        self.index().blob_size(id, digest).await?.ok_or_else(|| Error::NoSuchBlob(digest.to_string()))
    }

    /// Opens a layer or configuration of a repository.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`], [`Error::NoSuchBlob`]; [`Error::Damaged`] when its file is gone.
    pub async fn open_blob(&self, repository: RepositoryName<'_>, digest: &Digest) -> Result<Blob> {
        let missing = || Error::NoSuchBlob(digest.to_string());
        let id = self.index().repository_id(repository).await?;
        let size = self.index().blob_size(id, digest).await?.ok_or_else(missing)?;
        let path = self.shared.blobs.path(digest);
        match blocking(move || Ok(File::open(path)?)).await {
            Ok(file) => Ok(Blob { file, size }),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                // It may have been removed since it was looked up.
                match self.index().blob_size(id, digest).await? {
                    Some(_) => Err(Error::Damaged(format!("the file of {digest} is missing"))),
                    None => Err(missing()),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Removes a layer or configuration from a repository.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`], [`Error::NoSuchBlob`]; [`Error::BlobReferenced`] when an image needs it.
    pub async fn delete_blob(&self, repository: RepositoryName<'_>, digest: &Digest) -> Result<()> {
        let mut change = self.index().begin().await?;
        let id = change.repository_id(repository).await?;
        if change.needs_blob(id, digest).await? {
            return Err(Error::BlobReferenced(digest.to_string()));
        }
        if !change.unlink(id, digest).await? {
            return Err(Error::NoSuchBlob(digest.to_string()));
        }
        change.commit().await?;
        self.collect().await?;
        Ok(())
    }
}

/// A layer or configuration that is open for reading.
#[derive(Debug)]
pub struct Blob {
    file: File,
    size: u64,
}

impl Blob {
    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Streams the bytes of `range`, cut to the blob's size.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read.
    pub async fn stream(self, range: Range<u64>) -> Result<BlobStream> {
        let end = range.end.min(self.size);
        let start = range.start.min(end);
        let mut file = tokio::fs::File::from_std(self.file);
        file.set_max_buf_size(READ_CHUNK);
        file.seek(SeekFrom::Start(start)).await?;
        let remaining = end - start;
        let inner = ReaderStream::with_capacity(file.take(remaining), READ_CHUNK);
        Ok(BlobStream { inner, remaining })
    }
}

/// The bytes of a blob, in pieces of up to [`READ_CHUNK`].
#[derive(Debug)]
pub struct BlobStream {
    inner: ReaderStream<Take<tokio::fs::File>>,
    remaining: u64,
}

impl BlobStream {
    /// Bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }
}

impl Stream for BlobStream {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.inner).poll_next(context);
        match &polled {
            Poll::Ready(Some(Ok(bytes))) => {
                self.remaining = self.remaining.saturating_sub(bytes.len() as u64)
            }
            // A file that is shorter than its entry must not look like a whole one.
            Poll::Ready(None) if self.remaining > 0 => {
                self.remaining = 0;
                return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
            }
            _ => {}
        }
        polled
    }
}
