//! The connections to the database file: one that writes, several that read.
//!
//! Promises: a reader sees one committed state and never waits for the writer; a change is on disk
//! when its caller is told so (`writer` says how). Never: SQL about anything but connections and
//! transactions.
//!
//! Changes and small reads are done on the caller's own thread. They are computing on pages in
//! memory, some ten to some hundred microseconds, and handing them to another thread would cost as
//! much again. What may take longer goes to the threads for blocking work.

mod reader;
mod statement;
mod writer;

pub use reader::Readers;
pub use statement::{all, execute, one, optional, text};
pub use writer::{Verdict, Writer};

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::Result;

/// How long a connection waits for another process's lock.
const BUSY: Duration = Duration::from_secs(10);
/// Statements that a connection keeps prepared: more than there are in this crate.
const STATEMENTS: usize = 256;
/// Pages that the writing connection keeps in memory, in KiB (negative, as SQLite has it): new records
/// go to pages all over the indexes of names.
const WRITER_CACHE: i64 = -65_536;
/// Pages that a reading connection keeps in memory, in KiB.
const READER_CACHE: i64 = -16_384;
/// Pages of the log at which it is copied into the database file. Many commits change the same pages, and
/// each page is copied once however often it is in the log: 16 MB of log is a fraction of that in copies.
const LOG_PAGES: i64 = 4_096;

/// Opens the connection that writes, and creates the file when it is not there.
pub fn open_writer(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    for (pragma, value) in [
        ("journal_mode", &"wal" as &dyn rusqlite::ToSql),
        // The log is synced by `writer`, and by SQLite before it is copied into the file.
        ("synchronous", &"normal"),
        ("foreign_keys", &true),
        ("cache_size", &WRITER_CACHE),
        ("wal_autocheckpoint", &LOG_PAGES),
        // What undoes a part of a transaction stays in memory.
        ("temp_store", &"memory"),
    ] {
        connection.pragma_update(None, pragma, value)?;
    }
    Ok(connection)
}

/// Opens a connection that reads a file which [`open_writer`] has opened.
fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "cache_size", READER_CACHE)?;
    Ok(connection)
}
