//! Durable records and their indexes, tags, open workflows, log lines and metric series, in one
//! SQLite file.
//!
//! Promises: a write that returned `Ok` is on disk (`change` says how); a record, its tags and its workflow
//! change in one transaction; readers never block the writer. Never: HTTP, AWS shapes, decisions
//! about what a state means.

mod change;
mod link;
mod listing;
mod log;
mod metric;
mod queue;
mod record;
mod run_metric;
mod schema;
mod search;
mod tag;
mod workflow;
mod write;

pub use link::{Link, LinkFilter};
pub use listing::{Cursor, Listing, Order, Page, SortBy};
pub use log::{Direction, LogEvent, LogGroup, LogLine, LogStream, StreamOrder, StreamPage};
pub use metric::{
    Measured, MetricDatum, MetricFilter, MetricPeriod, MetricPoint, MetricSample, MetricSeries, Periods,
    SERIES_POINTS,
};
pub use queue::{NewInvocation, QueuedInvocation};
pub use record::{Key, NewRecord, Record, Tag};
pub use run_metric::RunPoint;
pub use search::{
    Condition, Expression, Found, IndexRules, NamedList, PLAIN, Place, Query, Rank, Scalar, SortKey, Term,
    Test,
};
pub use workflow::{OpenWorkflow, WorkflowChange};
pub use write::Write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sagebrush_env::{Clock, GroupSync, SyncFailed};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

/// Connections that read. More than the cores only queue in the operating system.
const READERS: u32 = 4;
/// Pages that the writing connection keeps in memory, in KiB (negative, as SQLite has it): the terms of
/// many records go to pages all over the index.
const WRITER_CACHE: &str = "-65536";
/// Pages that a reading connection keeps in memory, in KiB.
const READER_CACHE: &str = "-16384";
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
    /// The disk did not take what was written.
    #[error("metadata database: {0}")]
    Disk(#[from] SyncFailed),
    /// The file that was to be made durable cannot be watched.
    #[error("metadata database: {0}")]
    Io(#[from] std::io::Error),
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
    log_on_disk: GroupSync,
    clock: Clock,
    index: Arc<search::Index>,
}

impl Metastore {
    /// Opens or creates the database file `path` and brings its schema up to date.
    ///
    /// # Errors
    /// `NewerSchema` for a file of a newer version; `Database` when the file cannot be used.
    pub async fn open(path: &Path, clock: Clock) -> Result<Self> {
        Self::open_indexed(path, clock, &PLAIN).await
    }

    /// Opens like [`Metastore::open`]; `rules` say what of a document is searched. An index made by
    /// other rules is made anew, which takes about a minute for a million records.
    ///
    /// # Errors
    /// `NewerSchema` for a file of a newer version; `Database` when the file cannot be used.
    pub async fn open_indexed(path: &Path, clock: Clock, rules: &'static IndexRules) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        // One writing connection: SQLite has one writer at a time, and waiting here is fair and
        // cheap, while waiting inside SQLite is a loop of sleeps.
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(BUSY)
            .connect_with(options.clone().pragma("cache_size", WRITER_CACHE))
            .await?;
        schema::migrate(&writer).await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY)
            .connect_with(options.read_only(true).pragma("cache_size", READER_CACHE))
            .await?;
        let index = Arc::new(search::Index::new(rules));
        let store = Self { writer, reader, log_on_disk: GroupSync::of(&change::log_of(path))?, clock, index };
        store.prepare_index().await?;
        store.synced().await?;
        Ok(store)
    }

    /// Writes the log back into the database file and closes every connection.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests;
