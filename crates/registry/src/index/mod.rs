//! The index: which repositories, images, tags, layers and uploads there are. All SQL of the crate is here.
//!
//! One connection writes, a few read. A commit that returned is on disk (`synchronous=FULL` with a
//! write-ahead log): a push makes a dozen of them, so they need not share an fsync.

mod blobs;
mod images;
mod repositories;
mod schema;
mod uploads;

use std::path::Path;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, SqliteConnection, Transaction};

pub(crate) use images::{NewImage, PageOfImages};

use crate::{Digest, Error, Result, limits};

/// The open index. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// A transaction that holds the write lock from its start. Dropped without a commit, it changes nothing.
pub(crate) struct Write {
    transaction: Transaction<'static, Sqlite>,
}

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
        Ok(Write { transaction: self.writer.begin_with("BEGIN IMMEDIATE").await? })
    }
}

impl Write {
    /// Makes the change durable. After an error it may be there or not.
    pub async fn commit(self) -> Result<()> {
        Ok(self.transaction.commit().await?)
    }

    /// The connection that carries the transaction.
    fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}

/// A digest that the index holds.
fn stored_digest(text: &str) -> Result<Digest> {
    Digest::parse(text).map_err(|_| Error::Damaged(format!("the index has '{text}' as a digest")))
}

/// A size or count: SQLite has signed numbers, ours are not.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
