//! Writes that go with another change, in its transaction.

use serde_json::{Map, Value};
use sqlx::SqliteConnection;

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
        let mut transaction = self.begin().await?;
        let mut made = Made::default();
        self.apply(transaction.connection(), writes, &mut made).await?;
        transaction.commit().await?;
        self.indexed(made).await
    }

    pub(crate) async fn apply(
        &self,
        connection: &mut SqliteConnection,
        writes: &[Write],
        made: &mut Made,
    ) -> Result<()> {
        for write in writes {
            match write {
                Write::Create(new) => {
                    if !self.insert(&mut *connection, new, made).await? {
                        return Err(MetastoreError::AlreadyExists(new.key.clone()));
                    }
                }
                Write::Ensure(new) => {
                    self.insert(&mut *connection, new, made).await?;
                }
                Write::Merge { key, status, members } => {
                    let mut record = match record::fetch(&mut *connection, key).await {
                        Ok(record) => record,
                        Err(MetastoreError::NotFound(_)) => continue,
                        Err(error) => return Err(error),
                    };
                    if let Some(status) = status {
                        record.status.clone_from(status);
                    }
                    if let Some(document) = record.document.as_object_mut() {
                        document.extend(members.clone());
                    }
                    record.modified = record.modified.max(self.clock.now_milliseconds());
                    self.replace(&mut *connection, &record, made).await?;
                }
                Write::Points { arn, points } => run_metric::append(&mut *connection, arn, points).await?,
                Write::Link(link) => {
                    link::put(&mut *connection, link).await?;
                }
            }
        }
        Ok(())
    }
}
