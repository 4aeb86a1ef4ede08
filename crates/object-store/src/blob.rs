//! The files that hold objects' bytes, and the order of steps that makes them durable.
//!
//! A blob is written under `tmp/`, fsynced, renamed into `blobs/<2 hex>/`, and that folder is
//! fsynced; only then may an index entry name it. It never changes afterwards. Removal goes the
//! other way: the index entry first, then the file. So a file without an entry is what a crash
//! left, and an entry without a file cannot be.
//!
//! Blobs that a reader has pinned are not removed before the reader is done.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sagebrush_env::durable;
use uuid::Uuid;

use crate::{Result, blocking};

/// The folder of blobs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct BlobFolder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    blobs: PathBuf,
    temporary: PathBuf,
    pinned: Mutex<HashMap<String, Pinned>>,
}

#[derive(Debug, Default)]
struct Pinned {
    readers: usize,
    doomed: bool,
}

/// A fresh blob name: 32 hexadecimal digits.
pub(crate) fn new_name() -> String {
    Uuid::new_v4().simple().to_string()
}

impl BlobFolder {
    /// Creates the folders that are missing and empties the one of temporary files.
    pub fn open(root: &Path) -> io::Result<Self> {
        let blobs = root.join("blobs");
        let temporary = root.join("tmp");
        durable::create_folder(&temporary)?;
        for entry in fs::read_dir(&temporary)? {
            fs::remove_file(entry?.path())?;
        }
        durable::create_folder(&blobs)?;
        for prefix in Self::prefixes() {
            match fs::create_dir(blobs.join(prefix)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        // One fsync of the parent covers all 256 entries.
        File::open(&blobs)?.sync_all()?;
        let pinned = Mutex::default();
        Ok(Self { shared: Arc::new(Shared { blobs, temporary, pinned }) })
    }

    /// The names of the subfolders: the first two digits of the blobs in them.
    pub fn prefixes() -> impl Iterator<Item = String> {
        (0..=255u8).map(|byte| format!("{byte:02x}"))
    }

    /// The names of the files in one subfolder.
    pub fn names(&self, prefix: &str) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.shared.blobs.join(prefix))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Where a blob lies. `name` comes from [`new_name`] or the index, never from a caller.
    pub fn path(&self, name: &str) -> PathBuf {
        self.shared.blobs.join(name.get(..2).unwrap_or("00")).join(name)
    }

    /// A new file that nothing names yet; it is removed unless it is published.
    pub fn stage(&self) -> io::Result<(Staged, File)> {
        let name = new_name();
        let path = self.shared.temporary.join(&name);
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok((Staged { folder: self.clone(), name, path, armed: true }, file))
    }

    /// A second name for a blob's bytes: a link where the file system has them, else a copy.
    pub fn duplicate(&self, name: &str) -> io::Result<Published> {
        let copy = new_name();
        let (from, to) = (self.path(name), self.path(&copy));
        let published = Published { folder: self.clone(), name: copy, armed: true };
        if fs::hard_link(&from, &to).is_err() {
            let (staged, mut file) = self.stage()?;
            io::copy(&mut File::open(&from)?, &mut file)?;
            file.sync_all()?;
            return staged.publish();
        }
        durable::sync_parent(&to)?;
        Ok(published)
    }

    fn pinned(&self) -> MutexGuard<'_, HashMap<String, Pinned>> {
        // The map is consistent after every statement, so a panic elsewhere cannot spoil it.
        self.shared.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps blobs from being removed until the guard is dropped.
    pub fn pin(&self, names: Vec<String>) -> PinGuard {
        let mut pinned = self.pinned();
        for name in &names {
            pinned.entry(name.clone()).or_default().readers += 1;
        }
        drop(pinned);
        PinGuard { folder: self.clone(), names }
    }

    fn unpin(&self, names: &[String]) -> Vec<String> {
        let mut pinned = self.pinned();
        let mut doomed = Vec::new();
        for name in names {
            if let Some(entry) = pinned.get_mut(name) {
                entry.readers -= 1;
                if entry.readers == 0 && pinned.remove(name).is_some_and(|entry| entry.doomed) {
                    doomed.push(name.clone());
                }
            }
        }
        doomed
    }

    /// Removes blobs that the index no longer names; pinned ones go when their readers are done.
    pub async fn discard(&self, names: Vec<String>) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let folder = self.clone();
        blocking(move || {
            folder.discard_now(names);
            Ok(())
        })
        .await
    }

    fn discard_now(&self, mut names: Vec<String>) {
        {
            let mut pinned = self.pinned();
            names.retain(|name| match pinned.get_mut(name) {
                Some(entry) => {
                    entry.doomed = true;
                    false
                }
                None => true,
            });
        }
        for name in names {
            self.remove(&name);
        }
    }

    /// Removes a blob's file. A failure leaves a file that the next sweep removes.
    pub fn remove(&self, name: &str) {
        Self::remove_file(&self.path(name));
    }

    /// Removes a file that [`BlobFolder::names`] found in a subfolder.
    pub fn remove_found(&self, prefix: &str, name: &str) {
        Self::remove_file(&self.shared.blobs.join(prefix).join(name));
    }

    fn remove_file(path: &Path) {
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "could not remove an object's file");
        }
    }
}

/// A file under `tmp/`, removed on drop unless published.
#[derive(Debug)]
pub(crate) struct Staged {
    folder: BlobFolder,
    name: String,
    path: PathBuf,
    armed: bool,
}

impl Staged {
    /// Moves the file among the blobs, durably. The caller has fsynced its content.
    pub fn publish(mut self) -> io::Result<Published> {
        durable::rename(&self.path, &self.folder.path(&self.name))?;
        self.armed = false;
        let (folder, name) = (self.folder.clone(), self.name.clone());
        Ok(Published { folder, name, armed: true })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.armed {
            // A file that stays is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A blob that no index entry names yet, removed on drop unless kept.
#[derive(Debug)]
pub(crate) struct Published {
    folder: BlobFolder,
    /// The blob's name.
    pub name: String,
    armed: bool,
}

impl Published {
    /// Leaves the file where it is: an index entry names it now, or may.
    pub fn keep(mut self) {
        self.armed = false;
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        if self.armed {
            self.folder.remove(&self.name);
        }
    }
}

/// Keeps the blobs of one reader.
#[derive(Debug)]
pub(crate) struct PinGuard {
    folder: BlobFolder,
    names: Vec<String>,
}

impl Drop for PinGuard {
    fn drop(&mut self) {
        let doomed = self.folder.unpin(&self.names);
        if doomed.is_empty() {
            return;
        }
        let folder = self.folder.clone();
        let remove = move || doomed.iter().for_each(|name| folder.remove(name));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn written(folder: &BlobFolder, content: &[u8]) -> io::Result<Published> {
        let (staged, mut file) = folder.stage()?;
        file.write_all(content)?;
        file.sync_all()?;
        staged.publish()
    }

    #[test]
    fn what_is_not_kept_disappears() -> io::Result<()> {
        let root = tempfile::tempdir()?;
        let folder = BlobFolder::open(root.path())?;
        let (staged, _file) = folder.stage()?;
        let path = staged.path.clone();
        drop(staged);
        assert!(!path.exists());
        let published = written(&folder, b"bytes")?;
        let path = folder.path(&published.name);
        assert!(path.exists());
        drop(published);
        assert!(!path.exists());
        Ok(())
    }

    #[test]
    fn a_pinned_blob_outlives_its_removal() -> io::Result<()> {
        let root = tempfile::tempdir()?;
        let folder = BlobFolder::open(root.path())?;
        let published = written(&folder, b"bytes")?;
        let name = published.name.clone();
        published.keep();
        let first = folder.pin(vec![name.clone()]);
        let second = folder.pin(vec![name.clone()]);
        folder.discard_now(vec![name.clone()]);
        drop(first);
        assert!(folder.path(&name).exists());
        drop(second);
        assert!(!folder.path(&name).exists());
        Ok(())
    }

    #[test]
    fn a_duplicate_is_independent() -> io::Result<()> {
        let root = tempfile::tempdir()?;
        let folder = BlobFolder::open(root.path())?;
        let original = written(&folder, b"bytes")?;
        let copy = folder.duplicate(&original.name)?;
        drop(original);
        assert_eq!(fs::read(folder.path(&copy.name))?, b"bytes");
        Ok(())
    }
}
