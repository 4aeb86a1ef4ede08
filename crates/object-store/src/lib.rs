//! Buckets and objects on a local folder: one file per blob, and an index of them in SQLite.
//!
//! Promises: a write that returned `Ok` is on disk; after a crash at any moment an object is either
//! wholly there or not there at all, and files that no index entry names are removed at the next
//! [`ObjectStore::open`]. A reader that has begun keeps reading the object it opened, even when
//! that object is replaced or deleted meanwhile. No call holds a whole object in memory.
//!
//! Never: HTTP, XML, signatures, or who may do what.

mod blob;
mod bucket;
mod copy;
mod delete;
mod digest;
mod error;
mod index;
mod ingest;
pub mod limits;
mod list;
mod model;
mod multipart;
mod names;
mod put;
mod read;
mod tagging;
mod transfer;

use std::path::Path;
use std::sync::Arc;

use sagebrush_env::Clock;
use sagebrush_env::durable::{self, FolderLock};
use tokio::sync::Semaphore;

pub use bucket::Created;
pub use copy::{CopyObject, Replacement};
pub use digest::{Algorithm, Checksum, ChecksumKind};
pub use error::{Error, Result};
pub use list::{ListQuery, Listing};
pub use model::{
    Attributes, Bucket, ChecksumRequest, Condition, Expectations, ObjectInfo, ObjectSummary, PartInfo, Tags,
};
pub use multipart::{
    ChecksumPlan, CompleteUpload, CompletedPart, CreateUpload, PartSummary, PartsPage, UploadSummary,
    UploadsPage,
};
pub use put::PutObject;
pub use read::{ObjectReader, ObjectStream};

use blob::BlobFolder;
use index::Index;

/// A handle on the store. Cheap to clone; all clones share one index and one set of files.
#[derive(Clone)]
pub struct ObjectStore {
    shared: Arc<Shared>,
}

struct Shared {
    index: Index,
    blobs: BlobFolder,
    clock: Clock,
    writers: Arc<Semaphore>,
    _lock: FolderLock,
}

impl ObjectStore {
    /// Opens the store in `folder`, creating it when it is not there, and removes what a crash
    /// left behind.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has the folder open; [`Error::Io`] or
    /// [`Error::Index`] when the folder or its index cannot be read; [`Error::NewerFormat`] when
    /// a later version of the program wrote it.
    pub async fn open(folder: &Path) -> Result<Self> {
        Self::open_with_clock(folder, Clock::system()).await
    }

    /// As [`ObjectStore::open`], with the clock that dates objects.
    ///
    /// # Errors
    /// As [`ObjectStore::open`].
    pub async fn open_with_clock(folder: &Path, clock: Clock) -> Result<Self> {
        let root = folder.to_path_buf();
        let (lock, blobs) = blocking(move || {
            durable::create_folder(&root)?;
            let lock = FolderLock::take(&root.join("lock"))?
                .ok_or_else(|| Error::Locked(root.display().to_string()))?;
            Ok((lock, BlobFolder::open(&root)?))
        })
        .await?;
        let index = Index::open(&folder.join("index.sqlite")).await?;
        // The lock keeps other processes out and no handle exists yet, so nothing is being
        // written while the sweep looks.
        let swept = index::sweep(&index, &blobs).await?;
        if swept > 0 {
            tracing::info!(files = swept, "removed object files that an interrupted write left");
        }
        Ok(Self {
            shared: Arc::new(Shared {
                index,
                blobs,
                clock,
                writers: Arc::new(Semaphore::new(limits::WRITES_AT_ONCE)),
                _lock: lock,
            }),
        })
    }

    fn index(&self) -> &Index {
        &self.shared.index
    }

    fn blobs(&self) -> &BlobFolder {
        &self.shared.blobs
    }

    fn now(&self) -> i64 {
        self.shared.clock.now_milliseconds()
    }
}

impl std::fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectStore").field("blobs", &self.shared.blobs).finish_non_exhaustive()
    }
}

/// Runs file work on the blocking pool.
async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Interrupted)?
}

/// Runs `work` to its end even when the caller goes away: a change of files and index must not
/// stop between the two.
async fn to_the_end<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    tokio::spawn(work).await.map_err(|_| Error::Interrupted)?
}
