//! Uploads of layers: bytes are digested and written as they arrive, in one piece or in many.
//!
//! An upload is an entry of the index and a file under `uploads/`. How far it has come is the file's
//! length; the digest of what is there is computed anew when another process began the file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use uuid::Uuid;

use crate::limits::{BODY_IDLE, FLUSH_BYTES, INGEST_BATCH, INGEST_QUEUE, LAYER_BYTES, READ_CHUNK, UPLOADS};
use crate::{Digest, Error, Registry, RepositoryName, Result, blocking, to_the_end};

/// How far an upload has come; `None` until its file has been looked at. Who holds the lock writes.
pub(crate) type Session = Arc<Mutex<Option<Progress>>>;

/// What was received and written.
#[derive(Debug)]
pub(crate) struct Progress {
    digest: Sha256,
    received: u64,
}

type Batch = Vec<Bytes>;

impl Registry {
    /// Begins an upload and answers its id.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`]; [`Error::TooMany`] at the ceiling.
    pub async fn begin_upload(&self, repository: RepositoryName<'_>) -> Result<String> {
        let id = Uuid::new_v4().to_string();
        let mut change = self.index().begin().await?;
        let number = change.repository_id(repository).await?;
        if change.count_uploads().await? >= UPLOADS {
            return Err(Error::TooMany(format!(
                "{UPLOADS} uploads are open; wait for them, or cancel those that are not needed"
            )));
        }
        change.insert_upload(&id, number, self.now()).await?;
        change.commit().await?;
        self.is_pushed_to(number);
        Ok(id)
    }

    /// Bytes that an upload has received.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`], [`Error::NoSuchUpload`].
    pub async fn upload_status(&self, repository: RepositoryName<'_>, id: &str) -> Result<u64> {
        let number = self.index().repository_id(repository).await?;
        let guard = self.locked(number, id).await?;
        Ok(guard.as_ref().map_or(0, |progress| progress.received))
    }

    /// Adds a piece, which begins at byte `start` when the client says so, and answers how many bytes there
    /// are now: they are on disk. When the body breaks, what came of it is kept.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`], [`Error::NoSuchUpload`], [`Error::OutOfOrder`], [`Error::TooLarge`];
    /// [`Error::Body`] and [`Error::BodyTimeout`] when the body breaks.
    pub async fn append<S>(
        &self,
        repository: RepositoryName<'_>,
        id: &str,
        start: Option<u64>,
        body: S,
    ) -> Result<u64>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
    {
        let number = self.index().repository_id(repository).await?;
        let (registry, id) = (self.clone(), id.to_owned());
        to_the_end(async move {
            let guard = registry.locked(number, &id).await?;
            let (guard, outcome) = registry.receive(number, &id, start, body, guard).await?;
            registry.index().touch_upload(&id, registry.now()).await?;
            outcome?;
            Ok(guard.as_ref().map_or(0, |progress| progress.received))
        })
        .await
    }

    /// Adds the last piece, which may be empty, and makes the upload a layer of the repository when its
    /// bytes have the digest that was announced. Answers its size.
    ///
    /// # Errors
    /// Those of [`Registry::append`]; [`Error::DigestMismatch`], after which the upload is no more.
    pub async fn finish_upload<S>(
        &self,
        repository: RepositoryName<'_>,
        id: &str,
        start: Option<u64>,
        body: S,
        announced: &Digest,
    ) -> Result<u64>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
    {
        let number = self.index().repository_id(repository).await?;
        let (registry, id, announced) = (self.clone(), id.to_owned(), announced.clone());
        to_the_end(async move {
            let guard = registry.locked(number, &id).await?;
            let (mut guard, outcome) = registry.receive(number, &id, start, body, guard).await?;
            outcome?;
            let Progress { digest, received } = guard.take().ok_or(Error::NoSuchUpload)?;
            let digest = Digest::finished(digest);
            if digest != announced {
                registry.drop_upload(number, &id).await?;
                return Err(Error::DigestMismatch {
                    announced: announced.to_string(),
                    received: digest.to_string(),
                });
            }
            registry.publish(number, &id, &digest, received).await?;
            registry.sessions().remove(&id);
            Ok(received)
        })
        .await
    }

    /// Gives up an upload.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`], [`Error::NoSuchUpload`].
    pub async fn cancel_upload(&self, repository: RepositoryName<'_>, id: &str) -> Result<()> {
        let number = self.index().repository_id(repository).await?;
        let mut guard = self.locked(number, id).await?;
        *guard = None;
        self.drop_upload(number, id).await
    }

    /// Gives a layer of the repository `from` to another one, without its bytes being sent again. Answers
    /// its size, or `None` when `from` does not have it.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`] for the repository that shall have it.
    pub async fn mount(
        &self,
        repository: RepositoryName<'_>,
        from: RepositoryName<'_>,
        digest: &Digest,
    ) -> Result<Option<u64>> {
        let _kept = self.shared.layers.read().await;
        let mut change = self.index().begin().await?;
        let number = change.repository_id(repository).await?;
        let source = match change.repository_id(from).await {
            Err(Error::NoSuchRepository(_)) => return Ok(None),
            other => other?,
        };
        let Some(size) = change.blob_size(source, digest).await? else { return Ok(None) };
        change.link(number, digest, self.now()).await?;
        change.commit().await?;
        self.is_pushed_to(number);
        Ok(Some(size))
    }

    pub(crate) fn upload_path(&self, id: &str) -> PathBuf {
        self.shared.uploads.join(id)
    }

    /// The progress of an open upload, for this caller alone.
    async fn locked(&self, repository: i64, id: &str) -> Result<OwnedMutexGuard<Option<Progress>>> {
        self.index().check_upload(repository, id).await?;
        let session = Arc::clone(self.sessions().entry(id.to_owned()).or_default());
        let mut guard = session.lock_owned().await;
        // Whoever held the lock may have finished it.
        if let Err(error) = self.index().check_upload(repository, id).await {
            self.sessions().remove(id);
            return Err(error);
        }
        if guard.is_none() {
            let path = self.upload_path(id);
            *guard = Some(blocking(move || Ok(look_at(&path)?)).await?);
        }
        Ok(guard)
    }

    /// Takes a body to its end, or to where it breaks. The outer error says that nothing can be known, the
    /// inner one that the body broke; what came before is written and counted.
    async fn receive<S>(
        &self,
        repository: i64,
        id: &str,
        start: Option<u64>,
        body: S,
        mut guard: OwnedMutexGuard<Option<Progress>>,
    ) -> Result<(OwnedMutexGuard<Option<Progress>>, Result<()>)>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
    {
        let received = guard.as_ref().map_or(0, |progress| progress.received);
        if start.is_some_and(|start| start != received) {
            return Err(Error::OutOfOrder { received });
        }
        let writers = Arc::clone(&self.shared.writers);
        let _place = writers.acquire_owned().await.map_err(|_| Error::Interrupted)?;
        let path = self.upload_path(id);
        let (batches, taken) = mpsc::channel(INGEST_QUEUE);
        let worker = tokio::task::spawn_blocking(move || {
            let written = guard.as_mut().map_or(Ok(()), |progress| progress.write_all(&path, taken));
            (guard, written)
        });
        let fed = self.feed(repository, body, received, batches).await;
        let (guard, written) = worker.await.map_err(|_| Error::Interrupted)?;
        written?;
        Ok((guard, fed))
    }

    /// Hands a body on in batches.
    async fn feed<S>(
        &self,
        repository: i64,
        mut body: S,
        mut received: u64,
        batches: mpsc::Sender<Batch>,
    ) -> Result<()>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin,
    {
        let (mut batch, mut size, mut outcome) = (Batch::new(), 0, Ok(()));
        loop {
            let next = match tokio::time::timeout(BODY_IDLE, body.next()).await {
                Ok(None) => break,
                Ok(Some(Ok(bytes))) => bytes,
                Ok(Some(Err(error))) => {
                    outcome = Err(Error::Body(error));
                    break;
                }
                Err(_) => {
                    outcome = Err(Error::BodyTimeout(BODY_IDLE.as_secs()));
                    break;
                }
            };
            received += next.len() as u64;
            if received > LAYER_BYTES {
                return Err(Error::TooLarge(LAYER_BYTES));
            }
            size += next.len();
            batch.push(next);
            if size >= INGEST_BATCH {
                self.is_pushed_to(repository);
                // The worker ends early only when the file failed, which it tells itself.
                batches.send(std::mem::take(&mut batch)).await.map_err(|_| Error::Interrupted)?;
                size = 0;
            }
        }
        self.is_pushed_to(repository);
        batches.send(batch).await.map_err(|_| Error::Interrupted)?;
        outcome
    }

    /// The file becomes a layer, and the entry says so.
    async fn publish(&self, repository: i64, id: &str, digest: &Digest, size: u64) -> Result<()> {
        let _kept = self.shared.layers.read().await;
        let mut change = self.index().begin().await?;
        if !change.delete_upload(repository, id).await? {
            return Err(Error::NoSuchUpload);
        }
        change.insert_blob(digest, size).await?;
        change.link(repository, digest, self.now()).await?;
        let (folder, path, named) = (self.shared.blobs.clone(), self.upload_path(id), digest.clone());
        blocking(move || {
            File::open(&path)?.sync_all()?;
            Ok(folder.publish(&path, &named)?)
        })
        .await?;
        change.commit().await
    }

    async fn drop_upload(&self, repository: i64, id: &str) -> Result<()> {
        let mut change = self.index().begin().await?;
        if !change.delete_upload(repository, id).await? {
            return Err(Error::NoSuchUpload);
        }
        change.commit().await?;
        self.sessions().remove(id);
        self.remove_files(vec![self.upload_path(id)]).await
    }
}

/// What is in an upload's file.
fn look_at(path: &Path) -> io::Result<Progress> {
    let mut progress = Progress { digest: Sha256::new(), received: 0 };
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(progress),
        other => other?,
    };
    let mut buffer = vec![0; READ_CHUNK];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(progress),
            length => {
                progress.digest.update(&buffer[..length]);
                progress.received += length as u64;
            }
        }
    }
}

impl Progress {
    /// Writes every batch behind what is there, and makes it durable.
    fn write_all(&mut self, path: &Path, mut batches: mpsc::Receiver<Batch>) -> Result<()> {
        let mut file = File::options().create(true).append(true).open(path)?;
        let mut unflushed = 0;
        while let Some(batch) = batches.blocking_recv() {
            for bytes in &batch {
                if let Err(error) = file.write_all(bytes) {
                    // Part of it may be there; what counts is what was digested.
                    file.set_len(self.received)?;
                    return Err(error.into());
                }
                self.digest.update(bytes);
                self.received += bytes.len() as u64;
                unflushed += bytes.len() as u64;
            }
            if unflushed >= FLUSH_BYTES {
                file.sync_data()?;
                unflushed = 0;
            }
        }
        Ok(file.sync_data()?)
    }
}

/// The ids of the files in the folder of uploads.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
