//! The connections that read.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::open_reader;
use crate::{MetastoreError, Result};

/// Connections for long reads. More than the cores only queue in the operating system.
const LONG: usize = 4;
/// Connections for small reads: one for every thread that may make one at the same time, up to this.
const SMALL: usize = 16;

/// `None` once closed.
type Slot = Mutex<Option<Connection>>;

/// Connections for reading. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readers {
    small: Arc<[Slot]>,
    long: Arc<[Slot]>,
    turns: Arc<Semaphore>,
}

impl Readers {
    /// Opens the connections to the file.
    pub fn open(path: &Path) -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let slots = |count: usize| (0..count).map(|_| Ok(Mutex::new(Some(open_reader(path)?)))).collect();
        let small: Result<Vec<Slot>> = slots(threads.clamp(2, SMALL));
        let long: Result<Vec<Slot>> = slots(LONG);
        Ok(Self { small: small?.into(), long: long?.into(), turns: Arc::new(Semaphore::new(LONG)) })
    }

    /// A read of a few rows, on this thread.
    pub fn look<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        with_free(&self.small, read)
    }

    /// A read that may take long, on this thread.
    pub fn read_blocking<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        with_free(&self.long, read)
    }

    /// A read that may take long, on a thread for blocking work; as many at once as there are
    /// connections.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| MetastoreError::Closed)?;
        let long = Arc::clone(&self.long);
        let done = tokio::task::spawn_blocking(move || {
            let done = with_free(&long, read);
            drop(turn);
            done
        });
        done.await.map_err(|cut_short| MetastoreError::CutShort(cut_short.to_string()))?
    }

    /// Closes every connection, when its read is over.
    pub fn close(&self) {
        self.turns.close();
        for slot in self.small.iter().chain(self.long.iter()) {
            // A panic in a read leaves the connection as it was.
            drop(slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

fn with_free<T>(slots: &[Slot], read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    let slot = free(slots).ok_or(MetastoreError::Closed)?;
    read(slot.as_ref().ok_or(MetastoreError::Closed)?)
}

/// A slot that nobody uses, or the first when its user is done.
fn free(slots: &[Slot]) -> Option<MutexGuard<'_, Option<Connection>>> {
    use std::sync::TryLockError::{Poisoned, WouldBlock};
    for slot in slots {
        match slot.try_lock() {
            Ok(slot) => return Some(slot),
            Err(Poisoned(slot)) => return Some(slot.into_inner()),
            Err(WouldBlock) => {}
        }
    }
    slots.first().map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner))
}
