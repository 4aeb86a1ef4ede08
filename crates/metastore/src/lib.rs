//! Durable records and their indexes, tags, open workflows, log lines and metric series, in one
//! SQLite file.
//!
//! Promises: a write that returned `Ok` is on disk (`synchronous=FULL`, write-ahead log); a record,
//! its tags and its workflow change in one transaction; readers never block the writer. Never: HTTP,
//! AWS shapes, decisions about what a state means.

mod listing;
mod log;
mod metric;
mod record;
mod schema;
mod tag;
mod workflow;

pub use listing::{Cursor, Listing, Order, Page, SortBy};
pub use log::{Direction, LogEvent, LogLine, LogStream};
pub use metric::{MetricPoint, MetricSeries};
pub use record::{Key, NewRecord, Record, Tag};
pub use workflow::{OpenWorkflow, WorkflowChange};

use std::path::Path;
use std::time::Duration;

use sagebrush_env::Clock;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

/// Connections that read. More than the cores only queue in the operating system.
const READERS: u32 = 4;
/// How long a connection waits for another process's lock.
const BUSY: Duration = Duration::from_secs(10);

/// What can go wrong in the metastore.
#[derive(Debug, thiserror::Error)]
pub enum MetastoreError {
    /// A record of that kind, region and name exists.
    #[error("{0} exists already")]
    AlreadyExists(Key),
    /// There is no record of that kind, region and name.
    #[error("{0} does not exist")]
    NotFound(Key),
    /// The database was written by a newer version.
    #[error(
        "the metadata has schema version {found}, newer than this program's {known}: use a newer program"
    )]
    NewerSchema {
        /// Version in the file.
        found: i64,
        /// Version of this program.
        known: i64,
    },
    /// The database failed.
    #[error("metadata database: {0}")]
    Database(#[from] sqlx::Error),
    /// A stored document cannot be read.
    #[error("stored document: {0}")]
    Document(#[from] serde_json::Error),
}

/// What a metastore call returns.
pub type Result<T> = std::result::Result<T, MetastoreError>;

/// The metastore. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metastore {
    writer: SqlitePool,
    reader: SqlitePool,
    clock: Clock,
}

impl Metastore {
    /// Opens or creates the database file `path` and brings its schema up to date.
    ///
    /// # Errors
    /// `NewerSchema` for a file of a newer version; `Database` when the file cannot be used.
    pub async fn open(path: &Path, clock: Clock) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        // One writing connection: SQLite has one writer at a time, and waiting here is fair and
        // cheap, while waiting inside SQLite is a loop of sleeps.
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(BUSY)
            .connect_with(options.clone())
            .await?;
        schema::migrate(&writer).await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY)
            .connect_with(options.read_only(true))
            .await?;
        Ok(Self { writer, reader, clock })
    }

    /// Writes the log back into the database file and closes every connection.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests;
