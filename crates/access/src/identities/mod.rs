//! Users, access keys, roles and policies: one file, `access/identities.json`, written whole under a lock
//! that every process takes.

mod change;
mod record;
mod role;

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};
use std::{fs, io};

use sagebrush_env::durable::{self, FolderLock, Readers};

use crate::IdentityFailure;
use crate::limits::LOCK_WAIT;

pub use change::Owner;
pub use record::{AccessKeyRecord, KeyStatus, Policies, Records, RoleRecord, UserRecord};
pub use role::NewRole;

/// Pause between two attempts to take the lock.
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// The file of identities in a data folder.
#[derive(Debug, Clone)]
pub struct IdentityFile {
    folder: PathBuf,
}

/// What tells one state of the file from another. Each write makes a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    modified: Option<SystemTime>,
}

impl IdentityFile {
    /// The file of the data folder `root`.
    pub fn of(root: &Path) -> Self {
        Self { folder: root.join("access") }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("identities.json")
    }

    /// Which state the file is in; `None` while nobody has made one.
    pub(crate) fn stamp(&self) -> io::Result<Option<Stamp>> {
        use std::os::unix::fs::MetadataExt;
        match fs::metadata(self.path()) {
            Ok(found) => {
                Ok(Some(Stamp { inode: found.ino(), size: found.len(), modified: found.modified().ok() }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Everybody there is. Nobody, while there is no file.
    ///
    /// # Errors
    /// `Internal` when the file cannot be read or is not understood.
    pub fn read(&self) -> Result<Records, IdentityFailure> {
        let path = self.path();
        match fs::read(&path) {
            Ok(text) => Records::read(&text)
                .map_err(|error| IdentityFailure::Internal(format!("{}: {error}", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Records::default()),
            Err(error) => Err(IdentityFailure::Internal(format!("{}: {error}", path.display()))),
        }
    }

    /// Changes the identities: what `change` leaves is on disk when this returns `Ok`, and nothing is
    /// changed otherwise. Blocks.
    ///
    /// # Errors
    /// What `change` answers, or `Internal`.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Records) -> Result<T, IdentityFailure>,
    ) -> Result<T, IdentityFailure> {
        let _lock = self.lock()?;
        let mut records = self.read()?;
        let answer = change(&mut records)?;
        let text = serde_json::to_vec_pretty(&records).map_err(internal)?;
        durable::write(&self.path(), &text, Readers::Owner).map_err(internal)?;
        Ok(answer)
    }

    /// The key that seals sessions, made when it is not there. Blocks.
    ///
    /// # Errors
    /// `Internal`.
    pub fn session_key(&self) -> Result<Vec<u8>, IdentityFailure> {
        let _lock = self.lock()?;
        let path = self.folder.join("session-key");
        match fs::read_to_string(&path) {
            Ok(text) => hex::decode(text.trim())
                .ok()
                .filter(|key| key.len() == 32)
                .ok_or_else(|| IdentityFailure::Internal(format!("{} is damaged", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = sagebrush_env::random_hex(32);
                durable::write(&path, text.as_bytes(), Readers::Owner).map_err(internal)?;
                hex::decode(text).map_err(internal)
            }
            Err(error) => Err(internal(error)),
        }
    }

    fn lock(&self) -> Result<FolderLock, IdentityFailure> {
        durable::create_folder(&self.folder).map_err(internal)?;
        let path = self.folder.join("lock");
        let end = Instant::now() + LOCK_WAIT;
        loop {
            match FolderLock::take(&path).map_err(internal)? {
                Some(lock) => return Ok(lock),
                None if Instant::now() >= end => {
                    return Err(IdentityFailure::Internal(format!(
                        "another process holds {} for more than {LOCK_WAIT:?}",
                        path.display()
                    )));
                }
                None => std::thread::sleep(LOCK_PAUSE),
            }
        }
    }
}

fn internal(error: impl std::fmt::Display) -> IdentityFailure {
    IdentityFailure::Internal(error.to_string())
}
