//! Garbage: layers that no image needs, and uploads that nobody continues.
//!
//! A push sends layers first and the image that needs them last, and it does not send what the repository
//! says that it has. So a layer without an image is garbage only when no push of its repository goes on:
//! when the repository was idle for [`PUSH_IDLE`], or when nobody has sent or asked for the layer's like
//! for [`UNUSED_AGE`].

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::blob::BlobFolder;
use crate::limits::{COLLECT_EVERY, PUSH_IDLE, UNUSED_AGE, UPLOAD_LIFETIME};
use crate::{Digest, Registry, Result, blocking, to_the_end, upload};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Layers and configurations that a repository had and no image of it needed.
    pub unneeded: usize,
    /// Their files, where no other repository had them.
    pub files: usize,
    /// Uploads that nobody continued.
    pub uploads: usize,
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Registry {
    /// Looks for garbage from time to time, as long as the registry is open.
    pub fn collect_regularly(&self) {
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(COLLECT_EVERY).await;
                let Some(shared) = shared.upgrade() else { return };
                match (Self { shared }).collect().await {
                    Ok(collected) if collected != Collected::default() => {
                        tracing::info!(?collected, "removed what no image needs");
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "the registry could not be searched for garbage"),
                }
            }
        });
    }

    /// Removes garbage.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn collect(&self) -> Result<Collected> {
        let registry = self.clone();
        // A file whose entry is gone must go with it.
        to_the_end(async move { registry.mark_and_sweep().await }).await
    }

    async fn mark_and_sweep(&self) -> Result<Collected> {
        let uploads = self.collect_uploads().await?;
        let alone = self.shared.layers.write().await;
        let now = self.now();
        let mut change = self.index().begin().await?;
        let mut unneeded = 0;
        for link in change.unneeded().await? {
            if self.is_idle(link.repository, now) || now - link.touched >= milliseconds(UNUSED_AGE) {
                let digest = Digest::parse(&link.digest)?;
                change.unlink(link.repository, &digest).await?;
                unneeded += 1;
            }
        }
        let gone = change.forget_unlinked().await?;
        change.commit().await?;
        let files = gone.len();
        self.remove_files(gone.iter().map(|digest| self.shared.blobs.path(digest)).collect()).await?;
        drop(alone);
        self.pushes().retain(|_, last| now - *last < milliseconds(PUSH_IDLE));
        Ok(Collected { unneeded, files, uploads })
    }

    /// Has no push asked the repository for anything lately? Nobody knows what was before this start.
    fn is_idle(&self, repository: i64, now: i64) -> bool {
        let last = self.pushes().get(&repository).copied().unwrap_or(self.shared.opened);
        now - last >= milliseconds(PUSH_IDLE)
    }

    async fn collect_uploads(&self) -> Result<usize> {
        let before = self.now() - milliseconds(UPLOAD_LIFETIME);
        let mut removed = 0;
        for row in self.index().uploads().await?.into_iter().filter(|row| row.touched < before) {
            let session = self.sessions().get(&row.id).cloned();
            // One that is being written to is not old, however long its body takes.
            let Ok(_idle) = session.as_ref().map(|session| session.try_lock()).transpose() else { continue };
            let mut change = self.index().begin().await?;
            change.forget_upload(&row.id).await?;
            change.commit().await?;
            self.sessions().remove(&row.id);
            self.remove_files(vec![self.upload_path(&row.id)]).await?;
            removed += 1;
        }
        self.forget_sessions().await?;
        // Files of repositories that are gone. An entry is there before its file, so one that has none in
        // a look after this one is nobody's.
        let folder = self.shared.uploads.clone();
        let found = blocking(move || Ok(upload::files(&folder)?)).await?;
        if !found.is_empty() {
            let open = self.open_uploads().await?;
            let orphans = found.into_iter().filter(|id| !open.contains(id));
            self.remove_files(orphans.map(|id| self.upload_path(&id)).collect()).await?;
        }
        Ok(removed)
    }

    /// Forgets the progress of uploads that are no longer open. A session is made after its entry, so one
    /// without an entry in a later look has lost it.
    async fn forget_sessions(&self) -> Result<()> {
        let known: Vec<String> = self.sessions().keys().cloned().collect();
        if !known.is_empty() {
            let open = self.open_uploads().await?;
            known.iter().filter(|id| !open.contains(*id)).for_each(|id| drop(self.sessions().remove(id)));
        }
        Ok(())
    }

    async fn open_uploads(&self) -> Result<HashSet<String>> {
        Ok(self.index().uploads().await?.into_iter().map(|row| row.id).collect())
    }

    /// Removes the files that a crash left: nothing else uses the registry yet.
    pub(crate) async fn remove_leftovers(&self) -> Result<()> {
        self.collect_uploads().await?;
        let mut orphans = Vec::new();
        for prefix in BlobFolder::prefixes() {
            let (folder, listed) = (self.shared.blobs.clone(), prefix.clone());
            let names = blocking(move || Ok(folder.names(&listed)?)).await?;
            if names.is_empty() {
                continue;
            }
            let known = self.index().blobs_with_prefix(&prefix).await?;
            let unknown = names.into_iter().filter(|name| !known.contains(name));
            orphans.extend(unknown.map(|name| self.shared.blobs.found(&prefix, &name)));
        }
        if !orphans.is_empty() {
            tracing::info!(files = orphans.len(), "removed layers that an interrupted push left");
        }
        self.remove_files(orphans).await
    }

    pub(crate) async fn remove_files(&self, paths: Vec<PathBuf>) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        let folder = self.shared.blobs.clone();
        blocking(move || {
            folder.remove(paths);
            Ok(())
        })
        .await
    }
}
