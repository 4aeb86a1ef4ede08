//! Writes that go with another change, in its transaction.

use rusqlite::Connection;
use serde_json::{Map, Value};

use crate::database::Verdict;
use crate::search::Made;
use crate::{Key, Link, Metastore, MetastoreError, NewRecord, Result, RunPoint, link, record, run_metric};

/// A write beside others.
#[derive(Debug, Clone)]
pub enum Write {
    /// Stores a resource; the whole change fails when the name is taken.
    Create(NewRecord),
    /// Stores a resource; nothing when the name is taken.
    Ensure(NewRecord),
    /// Sets top-level members of a record's document, and its status; nothing when it is not there.
    Merge {
        /// The record.
        key: Key,
        /// Its new status, when that changes.
        status: Option<String>,
        /// The members.
        members: Map<String, Value>,
    },
    /// Appends values to the series of a resource.
    Points {
        /// Its ARN.
        arn: String,
        /// The values.
        points: Vec<RunPoint>,
    },
    /// Makes a connection; one that is there stays as it is.
    Link(Link),
}

impl Metastore {
    /// Makes several writes in one transaction.
    ///
    /// # Errors
    /// `AlreadyExists` when a name of `Write::Create` is taken: then nothing is written.
    pub async fn write(&self, writes: &[Write]) -> Result<()> {
        let made = self.writer.change(|connection| {
            let mut made = Made::default();
            self.apply(connection, writes, &mut made)?;
            Ok(Verdict::Keep(made))
        });
        self.indexed(made.await?).await
    }

    pub(crate) fn apply(&self, connection: &Connection, writes: &[Write], made: &mut Made) -> Result<()> {
        for write in writes {
            match write {
                Write::Create(new) => {
                    if !self.insert(connection, new, made)? {
                        return Err(MetastoreError::AlreadyExists(new.key.clone()));
                    }
                }
                Write::Ensure(new) => {
                    self.insert(connection, new, made)?;
                }
                Write::Merge { key, status, members } => {
                    let Some(mut record) = record::find(connection, key)? else { continue };
                    if let Some(status) = status {
                        record.status.clone_from(status);
                    }
                    if let Some(document) = record.document.as_object_mut() {
                        document.extend(members.clone());
                    }
                    record.modified = record.modified.max(self.clock.now_milliseconds());
                    self.replace(connection, &record, made)?;
                }
                Write::Points { arn, points } => run_metric::append(connection, arn, points)?,
                Write::Link(link) => link::put(connection, link)?,
            }
        }
        Ok(())
    }
}
