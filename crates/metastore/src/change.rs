//! Changes of the database, and how they become durable.
//!
//! SQLite writes a commit to its write-ahead log without waiting for the disk
//! (`synchronous=NORMAL`); [`Change::commit`] then waits for an fsync of that log which all commits
//! of the moment share. SQLite itself syncs the log before it copies it into the database file, and
//! that file after, so a crash at any moment finds every commit that was answered. A reader may see
//! a commit a moment before it is on disk; its writer is not answered before.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sagebrush_env::SyncFailed;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use tokio::sync::oneshot;

use crate::{Metastore, Result};

/// A transaction that holds the write lock from its start. Dropped without [`Change::commit`], it
/// changes nothing.
pub(crate) struct Change<'a> {
    store: &'a Metastore,
    transaction: Transaction<'static, Sqlite>,
}

/// The write-ahead log beside a database file.
pub(crate) fn log_of(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push("-wal");
    name.into()
}

impl Metastore {
    /// Begins a change.
    pub(crate) async fn begin(&self) -> Result<Change<'_>> {
        Ok(Change { store: self, transaction: self.writer.begin_with("BEGIN IMMEDIATE").await? })
    }

    /// Waits until every commit made so far is on disk.
    pub(crate) async fn synced(&self) -> Result<()> {
        let (told, answer) = oneshot::channel();
        // A caller that has gone away needs no answer.
        self.log_on_disk.after_sync(move |synced| drop(told.send(synced)));
        let synced: std::result::Result<(), SyncFailed> =
            answer.await.map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(synced?)
    }
}

impl Change<'_> {
    /// The connection that carries the transaction.
    pub fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// Makes the change durable. After an error it may be there or not.
    pub async fn commit(self) -> Result<()> {
        self.transaction.commit().await?;
        self.store.synced().await
    }
}
