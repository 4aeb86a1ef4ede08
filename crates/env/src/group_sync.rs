//! One fsync for many writers: whoever has written to a shared file waits for an fsync that began
//! after the write, and all who wait at the same time share it.
//!
//! Promises: a waiter told `Ok` has everything on disk that it had written to the file before it
//! asked. After a failed fsync every waiter fails until the program starts again: the kernel may
//! have dropped the pages, so a later success would prove nothing. Never: writing.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::durable;

/// What a waiter is told.
pub type Synced = Result<(), SyncFailed>;

type Waiter = Box<dyn FnOnce(Synced) + Send>;

/// The file could not be made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncFailed {
    reason: String,
}

impl fmt::Display for SyncFailed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}; nothing more can be stored until the program starts again", self.reason)
    }
}

impl std::error::Error for SyncFailed {}

/// Makes one file durable, for many writers at a time. Cheap to clone; the thread behind it ends
/// with the last clone. There are at most as many waiters as there are writers.
#[derive(Debug, Clone)]
pub struct GroupSync {
    waiters: Sender<Waiter>,
}

impl GroupSync {
    /// For the file `path`, which others write and may remove (once its content is safe elsewhere)
    /// and create again.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn of(path: &Path) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let target = Target { path: path.to_path_buf(), inode: None };
        std::thread::Builder::new().name("group-sync".into()).spawn(move || serve(target, &receiver))?;
        Ok(Self { waiters: sender })
    }

    /// Calls `done` when everything written to the file before this call is on disk, or cannot be.
    /// `done` runs on the thread that all waiters share and must be short.
    pub fn after_sync(&self, done: impl FnOnce(Synced) + Send + 'static) {
        if let Err(unsent) = self.waiters.send(Box::new(done)) {
            unsent.0(Err(SyncFailed { reason: "the thread that syncs has ended".into() }));
        }
    }
}

struct Target {
    path: PathBuf,
    inode: Option<u64>,
}

impl Target {
    /// Opens the file anew each time: the one of the last round may have been replaced.
    fn sync(&mut self) -> io::Result<()> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            // Removed: its writer has put the content elsewhere, durably.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        file.sync_data()?;
        let inode = file.metadata()?.ino();
        if self.inode != Some(inode) {
            durable::sync_parent(&self.path)?;
            self.inode = Some(inode);
        }
        Ok(())
    }
}

fn serve(mut target: Target, waiters: &Receiver<Waiter>) {
    let mut failed: Option<SyncFailed> = None;
    while let Ok(first) = waiters.recv() {
        // Whoever is in the queue by now wrote before the fsync below begins.
        let round: Vec<Waiter> = std::iter::once(first).chain(waiters.try_iter()).collect();
        if failed.is_none()
            && let Err(error) = target.sync()
        {
            let reason = format!("{} could not be made durable: {error}", target.path.display());
            failed = Some(SyncFailed { reason });
        }
        let told = failed.clone().map_or(Ok(()), Err);
        round.into_iter().for_each(|done| done(told.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn wait(group: &GroupSync) -> Synced {
        let (sender, receiver) = channel();
        group.after_sync(move |told| sender.send(told).expect("the test waits"));
        receiver.recv().expect("every waiter is told")
    }

    #[test]
    fn all_waiters_are_told_also_when_the_file_is_replaced() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("log");
        fs::write(&path, b"one")?;
        let group = GroupSync::of(&path)?;
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let group = group.clone();
                std::thread::spawn(move || (0..20).all(|_| wait(&group).is_ok()))
            })
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap_or(false)));
        fs::remove_file(&path)?;
        assert_eq!(wait(&group), Ok(()));
        fs::write(&path, b"two")?;
        assert_eq!(wait(&group), Ok(()));
        Ok(())
    }

    #[test]
    fn one_failure_is_final() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        // A file below a file cannot be opened, and that is not the same as one that is gone.
        let path = folder.path().join("log");
        fs::write(&path, b"")?;
        let below = path.join("inside");
        let group = GroupSync::of(&below)?;
        let told = wait(&group);
        assert!(told.is_err_and(|failed| failed.to_string().contains("starts again")));
        fs::remove_file(&path)?;
        fs::create_dir(&path)?;
        fs::write(&below, b"")?;
        assert!(wait(&group).is_err());
        Ok(())
    }
}
