//! A registry of container images on a local folder: layers as files named by their digest, everything else
//! in an index of SQLite.
//!
//! Promises: what returned `Ok` from a write is on disk; after a crash at any moment a layer is wholly there
//! or not there at all, an image has all its layers, and files that no entry names are removed at the next
//! [`Registry::open`]. An upload that was cut off, by its client or by a crash, can be continued where it
//! stopped. Layers that no image needs are removed, but never while a push may still want them. No call
//! holds a layer in memory.
//!
//! Never: HTTP, credentials, or who may do what.

mod blob;
mod collect;
mod digest;
mod error;
mod image;
mod image_uri;
mod index;
pub mod limits;
mod manifest;
mod names;
mod repository;
mod upload;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sagebrush_env::Clock;
use sagebrush_env::durable::{self, FolderLock};
use tokio::sync::{RwLock, Semaphore};

pub use blob::{Blob, BlobStream};
pub use collect::Collected;
pub use digest::Digest;
pub use error::{Error, Result};
pub use image::{Image, ImagePage, Resolved, StoredManifest, TagStatus};
pub use image_uri::ImageUri;
pub use names::{Reference, RepositoryName};
pub use repository::{Mutability, NewRepository, Repository, Tags};

use blob::BlobFolder;
use index::Index;
use upload::Session;

/// A handle on the registry. Cheap to clone; all clones share one index and one set of files.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

struct Shared {
    index: Index,
    blobs: BlobFolder,
    uploads: PathBuf,
    clock: Clock,
    writers: Arc<Semaphore>,
    sessions: Mutex<HashMap<String, Session>>,
    /// Milliseconds since 1970 of each repository's last request of a push.
    pushes: Mutex<HashMap<i64, i64>>,
    opened: i64,
    /// Held shared by whoever relies on a layer that no image needs yet, alone by whoever removes layers.
    layers: RwLock<()>,
    _lock: FolderLock,
}

impl Registry {
    /// Opens the registry in `folder`, creating it when it is not there, and removes what a crash left
    /// behind.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has the folder open; [`Error::Io`] or [`Error::Index`] when
    /// the folder or its index cannot be read; [`Error::NewerFormat`] when a later version wrote it.
    pub async fn open(folder: &Path, clock: Clock) -> Result<Self> {
        let root = folder.to_path_buf();
        let (lock, blobs) = blocking(move || {
            durable::create_folder(&root)?;
            let lock = FolderLock::take(&root.join("lock"))?
                .ok_or_else(|| Error::Locked(root.display().to_string()))?;
            durable::create_folder(&root.join("uploads"))?;
            Ok((lock, BlobFolder::open(&root)?))
        })
        .await?;
        let shared = Shared {
            index: Index::open(&folder.join("index.sqlite")).await?,
            blobs,
            uploads: folder.join("uploads"),
            opened: clock.now_milliseconds(),
            clock,
            writers: Arc::new(Semaphore::new(limits::WRITES_AT_ONCE)),
            sessions: Mutex::default(),
            pushes: Mutex::default(),
            layers: RwLock::default(),
            _lock: lock,
        };
        let registry = Self { shared: Arc::new(shared) };
        registry.remove_leftovers().await?;
        Ok(registry)
    }

    fn index(&self) -> &Index {
        &self.shared.index
    }

    fn now(&self) -> i64 {
        self.shared.clock.now_milliseconds()
    }

    /// The map is consistent after every statement, so a panic elsewhere cannot spoil it.
    fn pushes(&self) -> MutexGuard<'_, HashMap<i64, i64>> {
        self.shared.pushes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.shared.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a push of the repository goes on.
    fn is_pushed_to(&self, repository: i64) {
        let now = self.now();
        self.pushes().insert(repository, now);
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("blobs", &self.shared.blobs).finish_non_exhaustive()
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

/// Runs `work` to its end even when the caller goes away: a change of files and index must not stop between
/// the two.
async fn to_the_end<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    tokio::spawn(work).await.map_err(|_| Error::Interrupted)?
}
