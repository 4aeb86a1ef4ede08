//! The index: which buckets, objects, uploads and parts there are. All SQL of the crate is here.
//!
//! One connection writes, a few read. SQLite does not wait for the disk at a commit
//! (`synchronous=NORMAL`, write-ahead log); [`Write::commit`] then waits for an fsync of the log that
//! all commits of the moment share, so a commit that returned is on disk.

mod buckets;
mod objects;
mod schema;
mod sweep;
mod uploads;

use std::ffi::OsString;
use std::io;
use std::path::Path;

use sagebrush_env::GroupSync;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, SqliteConnection, Transaction};
use tokio::sync::oneshot;

pub(crate) use objects::{ObjectRow, Segment};
pub(crate) use sweep::sweep;
pub(crate) use uploads::{PartRow, UploadRow};

use crate::{Error, Result, limits};

/// The open index. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    writer: SqlitePool,
    readers: SqlitePool,
    log_on_disk: GroupSync,
}

/// A transaction that holds the write lock from its start.
pub(crate) struct Write {
    transaction: Transaction<'static, Sqlite>,
    log_on_disk: GroupSync,
}

impl Index {
    /// Opens the file, creating it or bringing it to the current format.
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .pragma("wal_autocheckpoint", limits::INDEX_LOG_PAGES.to_string())
            .foreign_keys(true)
            .busy_timeout(limits::INDEX_WAIT);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(limits::INDEX_WAIT)
                .connect_with(options.clone())
        };
        let writer = pool(1).await?;
        schema::migrate(&writer).await?;
        let mut log = OsString::from(path);
        log.push("-wal");
        let log_on_disk = GroupSync::of(Path::new(&log))?;
        synced(&log_on_disk).await?;
        Ok(Self { writer, readers: pool(limits::INDEX_READERS).await?, log_on_disk })
    }

    /// Begins a change.
    pub async fn begin(&self) -> Result<Write> {
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Write { transaction, log_on_disk: self.log_on_disk.clone() })
    }
}

impl Write {
    /// Makes the change durable. After an error it may be there or not.
    pub async fn commit(self) -> Result<()> {
        self.transaction.commit().await?;
        synced(&self.log_on_disk).await
    }

    /// The connection that carries the transaction.
    fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}

/// Waits until every commit made so far is on disk.
async fn synced(log: &GroupSync) -> Result<()> {
    let (told, answer) = oneshot::channel();
    // A caller that has gone away needs no answer.
    log.after_sync(move |synced| drop(told.send(synced)));
    answer.await.map_err(|_| Error::Interrupted)?.map_err(|failed| Error::Io(io::Error::other(failed)))
}

/// The least byte string greater than every one that begins with `prefix`; `None` when there is
/// none.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut bytes = prefix[..=last].to_vec();
    bytes[last] += 1;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successors() {
        assert_eq!(successor(b"a/"), Some(b"a0".to_vec()));
        assert_eq!(successor(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(successor(b""), None);
        assert_eq!(successor(b"\xff\xff"), None);
    }
}
