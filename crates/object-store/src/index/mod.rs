//! The index: which buckets, objects, uploads and parts there are. All SQL of the crate is here.
//!
//! One connection writes, a few read. `synchronous=FULL` with a write-ahead log: a commit that
//! returned is on disk.

mod buckets;
mod objects;
mod schema;
mod sweep;
mod uploads;

use std::path::Path;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

pub(crate) use objects::{ObjectRow, Segment};
pub(crate) use sweep::sweep;
pub(crate) use uploads::{PartRow, UploadRow};

use crate::{Result, limits};

/// The open index. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// A transaction that holds the write lock from its start.
pub(crate) struct Write(Transaction<'static, Sqlite>);

impl Index {
    /// Opens the file, creating it or bringing it to the current format.
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
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
        Ok(Self { writer, readers: pool(limits::INDEX_READERS).await? })
    }

    /// Begins a change.
    pub async fn begin(&self) -> Result<Write> {
        Ok(Write(self.writer.begin_with("BEGIN IMMEDIATE").await?))
    }
}

impl Write {
    /// Makes the change durable. After an error it may be there or not.
    pub async fn commit(self) -> Result<()> {
        Ok(self.0.commit().await?)
    }
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
