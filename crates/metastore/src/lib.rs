//! Durable records and their indexes, tags, open workflows, log lines and metric series, in one
//! SQLite file.
//!
//! Promises: a write that returned `Ok` is on disk (`database` says how); a record, its tags and its workflow
//! change in one transaction; readers never block the writer. Never: HTTP, AWS shapes, decisions
//! about what a state means.

mod database;
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

use sagebrush_env::Clock;

use database::{Readers, Writer};

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
    Database(#[from] rusqlite::Error),
    /// The disk did not take what was written.
    #[error("metadata database: {0}")]
    NotStored(String),
    /// It was closed, as it is when the server ends.
    #[error("metadata database: it is closed")]
    Closed,
    /// A read ended before its answer.
    #[error("metadata database: a read was cut short: {0}")]
    CutShort(String),
    /// The search index has an entry that cannot be read.
    #[error("metadata database: the search index has an entry that is none")]
    BrokenIndex,
    /// The threads or files that make it durable are not to be had.
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
    writer: Arc<Writer>,
    readers: Readers,
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
        let path = path.to_path_buf();
        let opened = tokio::task::spawn_blocking(move || {
            let connection = database::open_writer(&path)?;
            schema::migrate(&connection)?;
            let writer = Arc::new(Writer::new(connection, &path)?);
            let index = Arc::new(search::Index::new(rules));
            let store = Self { writer, readers: Readers::open(&path)?, clock, index };
            store.prepare_index()?;
            Ok(store)
        });
        opened.await.map_err(|cut_short| MetastoreError::CutShort(cut_short.to_string()))?
    }

    /// Writes the log back into the database file and closes every connection.
    pub async fn close(&self) {
        self.readers.close();
        self.writer.close();
    }
}

#[cfg(test)]
mod tests;
