//! The connection that writes, and how changes become durable.
//!
//! Changes that are made at about the same time share one transaction, a *batch*. Each is undone alone
//! when it fails; a thread commits the batch, waits for an fsync of the write-ahead log and tells every
//! caller. What is changed during that fsync is the next batch, so that batches are as large as the disk
//! is slow, and a change alone waits for nobody. Pages that many changes touch are written once.
//!
//! SQLite writes a commit to its log without waiting for the disk (`synchronous=NORMAL`) and syncs the log
//! itself before it copies it into the database file, so a crash at any moment finds every change that was
//! answered. A reader may see a change a moment before it is on disk; its caller is not answered before.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::Connection;
use sagebrush_env::GroupSync;
use tokio::sync::{Notify, oneshot};

use super::statement::execute;
use crate::{MetastoreError, Result};

/// What becomes of a change that came to its end.
#[derive(Debug)]
pub enum Verdict<T> {
    /// It is made durable.
    Keep(T),
    /// It is undone, and its answer given at once.
    Undo(T),
}

/// The writing side. Dropped, it closes like [`Writer::close`].
pub struct Writer {
    shared: Arc<Shared>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Writer")
    }
}

struct Shared {
    batch: Mutex<Batch>,
    /// Rings when the batch is free, for those who wait without a thread.
    free: Notify,
    /// Rings when the batch has something to commit, or is closed.
    filled: Condvar,
}

/// Whether a batch is on disk, or why not.
type Told = std::result::Result<(), String>;
/// Tells one caller. Runs on the thread that commits and must be short.
type Waiter = Box<dyn FnOnce(Told) + Send>;

struct Batch {
    /// `None` once closed.
    connection: Option<Connection>,
    /// The transaction has begun.
    open: bool,
    /// Something in it is to be committed.
    filled: bool,
    /// Who waits for its commit: at most as many as there are changes on their way.
    waiters: Vec<Waiter>,
}

/// The batch while it is used by one; others are told when it is free again.
struct Held<'a> {
    batch: Option<MutexGuard<'a, Batch>>,
    free: &'a Notify,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Free first: who is told looks at once.
        drop(self.batch.take());
        self.free.notify_one();
    }
}

impl Writer {
    /// Starts the thread that commits the batches of `connection`, whose file is `path`.
    pub fn new(connection: Connection, path: &Path) -> Result<Self> {
        let batch = Batch { connection: Some(connection), open: false, filled: false, waiters: Vec::new() };
        let shared =
            Arc::new(Shared { batch: Mutex::new(batch), free: Notify::new(), filled: Condvar::new() });
        let log = GroupSync::of(&log_of(path))?;
        let committed = Arc::clone(&shared);
        std::thread::Builder::new().name("commits".into()).spawn(move || commit_batches(&committed, &log))?;
        Ok(Self { shared })
    }

    /// Makes a change and waits until it is on disk. After an error of `change` nothing of it is there;
    /// after one of the commit it may be there or not.
    pub async fn change<T>(&self, change: impl FnOnce(&Connection) -> Result<Verdict<T>>) -> Result<T> {
        let (told, durable) = oneshot::channel();
        // A caller that has gone away needs no answer.
        let waiter: Waiter = Box::new(|is| drop(told.send(is)));
        let verdict = self.batch().await.run(&self.shared.filled, waiter, change)?;
        match verdict {
            Verdict::Undo(answer) => Ok(answer),
            Verdict::Keep(answer) => {
                let told = durable.await.map_err(|_| MetastoreError::Closed)?;
                told.map_err(MetastoreError::NotStored)?;
                Ok(answer)
            }
        }
    }

    /// Makes a change like [`Writer::change`] on this thread, which waits.
    pub fn change_blocking<T>(&self, change: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let (told, durable) = channel();
        let batch = self.shared.batch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = Held { batch: Some(batch), free: &self.shared.free };
        let waiter: Waiter = Box::new(move |is| drop(told.send(is)));
        let change = |connection: &Connection| change(connection).map(Verdict::Keep);
        let (Verdict::Keep(answer) | Verdict::Undo(answer)) =
            held.run(&self.shared.filled, waiter, change)?;
        drop(held);
        durable.recv().map_err(|_| MetastoreError::Closed)?.map_err(MetastoreError::NotStored)?;
        Ok(answer)
    }

    /// Commits what was changed, writes the log back into the database file and closes the connection.
    pub fn close(&self) {
        let mut batch = self.shared.batch.lock().unwrap_or_else(PoisonError::into_inner);
        let (waiters, told) = batch.commit();
        let connection = batch.connection.take();
        drop(batch);
        // This syncs the log, and the file after it.
        let copied = connection.map_or(Ok(()), |connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
        });
        let told = told.and_then(|()| copied.map_err(|error| error.to_string()));
        waiters.into_iter().for_each(|waiter| waiter(told.clone()));
        self.shared.filled.notify_all();
        self.shared.free.notify_waiters();
    }

    /// The batch when it is free. Whoever comes first has it: a queue would wake a task for every change
    /// and leave the batch idle until that runs.
    async fn batch(&self) -> Held<'_> {
        let held = |batch| Held { batch: Some(batch), free: &self.shared.free };
        loop {
            match self.shared.batch.try_lock() {
                Ok(batch) => return held(batch),
                // What a panic interrupted was undone while it unwound.
                Err(TryLockError::Poisoned(batch)) => return held(batch.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
            // A ring between the look above and this is kept.
            self.shared.free.notified().await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Held<'_> {
    fn run<T>(
        &mut self,
        filled: &Condvar,
        waiter: Waiter,
        change: impl FnOnce(&Connection) -> Result<Verdict<T>>,
    ) -> Result<Verdict<T>> {
        let batch = self.batch.as_mut().ok_or(MetastoreError::Closed)?;
        let verdict = batch.run(change)?;
        if let Verdict::Keep(_) = verdict {
            batch.waiters.push(waiter);
            if !batch.filled {
                batch.filled = true;
                filled.notify_one();
            }
        }
        Ok(verdict)
    }
}

impl Batch {
    /// Makes a change in the transaction; what it did is undone when it fails or says so.
    fn run<T>(&mut self, change: impl FnOnce(&Connection) -> Result<Verdict<T>>) -> Result<Verdict<T>> {
        let connection = self.connection.as_ref().ok_or(MetastoreError::Closed)?;
        if !self.open {
            execute(connection, "BEGIN IMMEDIATE", ())?;
            self.open = true;
        }
        let done = Part::begin(connection).and_then(|part| match change(connection)? {
            Verdict::Keep(answer) => part.keep().map(|()| Verdict::Keep(answer)),
            undone => Ok(undone),
        });
        if connection.is_autocommit() {
            // The database gave the whole transaction up, as it does when the disk is full.
            self.open = false;
            self.filled = false;
            let told: Told = Err("the disk did not take the changes made at the same time".into());
            self.waiters.drain(..).for_each(|waiter| waiter(told.clone()));
        } else if !self.filled && !matches!(done, Ok(Verdict::Keep(_))) {
            // An open transaction would keep the log from being copied.
            execute(connection, "ROLLBACK", ())?;
            self.open = false;
        }
        done
    }

    /// Ends the transaction; who waits for it, and what they are told when the log is on disk.
    fn commit(&mut self) -> (Vec<Waiter>, Told) {
        let waiters = std::mem::take(&mut self.waiters);
        self.filled = false;
        let Some(connection) = self.connection.as_ref().filter(|_| self.open) else {
            return (waiters, Ok(()));
        };
        self.open = false;
        let told = execute(connection, "COMMIT", ()).map(drop).map_err(|error| {
            if !connection.is_autocommit() {
                drop(execute(connection, "ROLLBACK", ()));
            }
            error.to_string()
        });
        (waiters, told)
    }
}

/// One change within the transaction; undone when it is dropped before it is over, also by a panic.
struct Part<'a> {
    connection: &'a Connection,
    over: bool,
}

impl<'a> Part<'a> {
    fn begin(connection: &'a Connection) -> Result<Self> {
        execute(connection, "SAVEPOINT change", ())?;
        Ok(Self { connection, over: false })
    }

    fn keep(mut self) -> Result<()> {
        execute(self.connection, "RELEASE change", ())?;
        self.over = true;
        Ok(())
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if !self.over && !self.connection.is_autocommit() {
            // An error here means that the transaction is gone, which `run` looks at.
            drop(execute(self.connection, "ROLLBACK TO change", ()));
            drop(execute(self.connection, "RELEASE change", ()));
        }
    }
}

/// Commits one batch after the other until the connection is closed.
fn commit_batches(shared: &Arc<Shared>, log: &GroupSync) {
    loop {
        let mut batch = shared.batch.lock().unwrap_or_else(PoisonError::into_inner);
        while !batch.filled {
            if batch.connection.is_none() {
                return;
            }
            batch = shared.filled.wait(batch).unwrap_or_else(PoisonError::into_inner);
        }
        let (waiters, told) = batch.commit();
        drop(batch);
        shared.free.notify_one();
        let told = told.and_then(|()| {
            let (sender, receiver) = channel();
            log.after_sync(move |synced| drop(sender.send(synced)));
            match receiver.recv() {
                Ok(synced) => synced.map_err(|failed| failed.to_string()),
                Err(_) => Err("the thread that syncs has ended".into()),
            }
        });
        waiters.into_iter().for_each(|waiter| waiter(told.clone()));
    }
}

/// The write-ahead log beside a database file.
fn log_of(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push("-wal");
    name.into()
}
