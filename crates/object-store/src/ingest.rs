//! From a body to a blob: bytes are digested and written as they arrive, compared with what was
//! announced, and made durable.
//!
//! A small body that may lie in the index is only digested. A short one is handled in one piece of
//! blocking work. A long one is cut into batches that go
//! to the file and to the digests at the same time, since MD5 alone takes about as long as the
//! disk.

use std::fs::File;
use std::io::{self, Write};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::blob::{BlobFolder, Published, Staged};
use crate::digest::{Algorithm, Digests, Finished};
use crate::{Error, Expectations, ObjectStore, Result, blocking, limits};

/// Where a body may end up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// In the index when it is small, else in a file.
    BySize,
    /// In a file.
    File,
}

/// The bytes of a body.
#[derive(Debug)]
pub(crate) enum Content {
    /// On disk, in a file that no index entry names yet.
    File(Published),
    /// In memory, to be stored with the index entry.
    Inline(Bytes),
}

/// A body that is what was announced.
#[derive(Debug)]
pub(crate) struct Ingested {
    pub content: Content,
    pub size: u64,
    pub digests: Finished,
}

type Batch = Vec<Bytes>;

impl ObjectStore {
    /// Takes a body to its end. `also` is computed beside the checksum that `expectations` name.
    pub(crate) async fn ingest<S>(
        &self,
        body: S,
        expectations: Expectations,
        also: Option<Algorithm>,
        placement: Placement,
    ) -> Result<Ingested>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + Unpin,
    {
        if let Some(length) = expectations.length
            && length > expectations.limit
        {
            return Err(Error::EntityTooLarge(expectations.limit));
        }
        let writers = self.shared.writers.clone();
        let _place = writers.acquire_owned().await.map_err(|_| Error::Interrupted)?;
        let mut algorithms = vec![expectations.checksum.algorithm()];
        algorithms.extend(also);
        let mut source = Source { body, received: 0, limit: expectations.limit };
        let first = source.batch().await?;
        if placement == Placement::BySize && batch_bytes(&first) <= limits::INLINE_BYTES {
            return hold(&first, &algorithms, expectations);
        }
        if batch_bytes(&first) < limits::INGEST_BATCH {
            // The body ended within the first batch.
            let (folder, size) = (self.blobs().clone(), source.received);
            return blocking(move || {
                let (staged, mut file) = folder.stage()?;
                let mut digests = Digests::new(&algorithms);
                for bytes in &first {
                    digests.update(bytes);
                    file.write_all(bytes)?;
                }
                finish(staged, &file, size, digests.finish(), expectations)
            })
            .await;
        }
        let mut long = Long::start(self.blobs(), algorithms).await?;
        let mut batch = first;
        while !batch.is_empty() {
            long.push(batch).await?;
            batch = source.batch().await?;
        }
        long.end(source.received, expectations).await
    }
}

fn batch_bytes(batch: &[Bytes]) -> usize {
    batch.iter().map(Bytes::len).sum()
}

/// The body, counted against its ceiling.
struct Source<S> {
    body: S,
    received: u64,
    limit: u64,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Source<S> {
    /// The next bytes: at least [`limits::INGEST_BATCH`] of them, fewer only at the end.
    async fn batch(&mut self) -> Result<Batch> {
        let mut batch = Vec::new();
        let mut size = 0;
        while size < limits::INGEST_BATCH {
            let next = tokio::time::timeout(limits::BODY_IDLE, self.body.next()).await;
            let next = next.map_err(|_| Error::BodyTimeout(limits::BODY_IDLE.as_secs()))?;
            let Some(bytes) = next else { break };
            let bytes = bytes.map_err(Error::Body)?;
            if bytes.is_empty() {
                continue;
            }
            size += bytes.len();
            self.received += bytes.len() as u64;
            if self.received > self.limit {
                return Err(Error::EntityTooLarge(self.limit));
            }
            batch.push(bytes);
        }
        Ok(batch)
    }
}

/// The two workers of a long body.
struct Long {
    to_file: mpsc::Sender<Batch>,
    to_digests: mpsc::Sender<Batch>,
    file: JoinHandle<Result<(Staged, File)>>,
    digests: JoinHandle<Digests>,
}

impl Long {
    async fn start(folder: &BlobFolder, algorithms: Vec<Algorithm>) -> Result<Self> {
        let folder = folder.clone();
        let (staged, file) = blocking(move || Ok(folder.stage()?)).await?;
        let (to_file, file_batches) = mpsc::channel(limits::INGEST_QUEUE);
        let (to_digests, digest_batches) = mpsc::channel(limits::INGEST_QUEUE);
        Ok(Self {
            to_file,
            to_digests,
            file: tokio::task::spawn_blocking(move || write_all(staged, file, file_batches)),
            digests: tokio::task::spawn_blocking(move || digest_all(&algorithms, digest_batches)),
        })
    }

    async fn push(&mut self, batch: Batch) -> Result<()> {
        let sent =
            self.to_digests.send(batch.clone()).await.is_ok() && self.to_file.send(batch).await.is_ok();
        if sent {
            return Ok(());
        }
        // A worker ends early only when the file failed; its result says how.
        match (&mut self.file).await.map_err(|_| Error::Interrupted)? {
            Err(error) => Err(error),
            Ok(_) => Err(Error::Interrupted),
        }
    }

    async fn end(self, size: u64, expectations: Expectations) -> Result<Ingested> {
        drop((self.to_file, self.to_digests));
        let (staged, file) = self.file.await.map_err(|_| Error::Interrupted)??;
        let digests = self.digests.await.map_err(|_| Error::Interrupted)?;
        blocking(move || finish(staged, &file, size, digests.finish(), expectations)).await
    }
}

fn write_all(staged: Staged, mut file: File, mut batches: mpsc::Receiver<Batch>) -> Result<(Staged, File)> {
    let mut unflushed = 0;
    while let Some(batch) = batches.blocking_recv() {
        for bytes in &batch {
            file.write_all(bytes)?;
            unflushed += bytes.len() as u64;
        }
        if unflushed >= limits::FLUSH_BYTES {
            file.sync_data()?;
            unflushed = 0;
        }
    }
    Ok((staged, file))
}

fn digest_all(algorithms: &[Algorithm], mut batches: mpsc::Receiver<Batch>) -> Digests {
    let mut digests = Digests::new(algorithms);
    while let Some(batch) = batches.blocking_recv() {
        batch.iter().for_each(|bytes| digests.update(bytes));
    }
    digests
}

/// Keeps a small body in memory. Digesting it takes less time than handing it to another thread.
fn hold(batch: &[Bytes], algorithms: &[Algorithm], expectations: Expectations) -> Result<Ingested> {
    let mut digests = Digests::new(algorithms);
    batch.iter().for_each(|bytes| digests.update(bytes));
    let (size, digests) = (batch_bytes(batch) as u64, digests.finish());
    check(size, &digests, expectations)?;
    let bytes = if let [whole] = batch { whole.clone() } else { batch.concat().into() };
    Ok(Ingested { content: Content::Inline(bytes), size, digests })
}

fn check(size: u64, digests: &Finished, expectations: Expectations) -> Result<()> {
    if let Some(expected) = expectations.length
        && expected != size
    {
        return Err(Error::IncompleteBody { received: size, expected });
    }
    if let Some(announced) = &expectations.content_md5 {
        digests.check_md5(announced)?;
    }
    let algorithm = expectations.checksum.algorithm();
    if let Some(announced) = expectations.checksum.announced()? {
        digests.check(algorithm, &announced)?;
    }
    Ok(())
}

fn finish(
    staged: Staged,
    file: &File,
    size: u64,
    digests: Finished,
    expectations: Expectations,
) -> Result<Ingested> {
    check(size, &digests, expectations)?;
    file.sync_all()?;
    Ok(Ingested { content: Content::File(staged.publish()?), size, digests })
}
