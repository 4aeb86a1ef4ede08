//! Resource records: a key, the indexed facts, and the kept document.

use std::convert::Infallible;

use rusqlite::{Connection, Row};
use sagebrush_types::Resource;
use serde_json::Value;

use crate::database::{Verdict, all, execute, optional, text};
use crate::search::Made;
use crate::{Metastore, MetastoreError, Result, WorkflowChange, Write};

/// What names a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Kind of resource.
    pub kind: Resource,
    /// Region it lives in.
    pub region: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {} in {}", self.kind.noun(), self.name, self.region)
    }
}

/// A stored resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// What names it.
    pub key: Key,
    /// Its ARN.
    pub arn: String,
    /// Its status; empty for kinds without one.
    pub status: String,
    /// Creation, milliseconds since the Unix epoch.
    pub created: i64,
    /// Last change, milliseconds since the Unix epoch.
    pub modified: i64,
    /// Everything that Describe shows.
    pub document: Value,
}

/// A resource to be stored.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// What names it.
    pub key: Key,
    /// Its ARN.
    pub arn: String,
    /// Its first status; empty for kinds without one.
    pub status: String,
    /// Creation, milliseconds since the Unix epoch.
    pub created: i64,
    /// Everything that Describe shows.
    pub document: Value,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// First step of the workflow that carries it out, when there is one.
    pub workflow: Option<String>,
}

/// A tag of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Name.
    pub key: String,
    /// Value, possibly empty.
    pub value: String,
}

impl Metastore {
    /// Stores a new resource with its tags and the start of its workflow, in one transaction.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken.
    pub async fn create(&self, new: &NewRecord) -> Result<()> {
        self.create_with(new, &[]).await
    }

    /// Stores a new resource like [`Metastore::create`], with other writes in the same transaction.
    ///
    /// # Errors
    /// `AlreadyExists` when a name is taken: then nothing is written.
    pub async fn create_with(&self, new: &NewRecord, writes: &[Write]) -> Result<()> {
        let made = self.writer.change(|connection| {
            let mut made = Made::default();
            if !self.insert(connection, new, &mut made)? {
                return Err(MetastoreError::AlreadyExists(new.key.clone()));
            }
            self.apply(connection, writes, &mut made)?;
            Ok(Verdict::Keep(made))
        });
        self.indexed(made.await?).await
    }

    /// Inserts a record with its tags, workflow and facts; `false` when the name is taken.
    pub(crate) fn insert(&self, connection: &Connection, new: &NewRecord, made: &mut Made) -> Result<bool> {
        let (kind, region, name) = (new.key.kind.arn_segment(), &new.key.region, &new.key.name);
        let inserted = execute(
            connection,
            "INSERT INTO records (kind, region, name, arn, status, created, modified, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7) ON CONFLICT DO NOTHING",
            (kind, region, name, &new.arn, &new.status, new.created, new.document.to_string()),
        )?;
        if inserted == 0 {
            return Ok(false);
        }
        crate::tag::put(connection, &new.arn, &new.tags)?;
        if let Some(step) = &new.workflow {
            crate::workflow::apply(connection, &new.key, &WorkflowChange::Step(step.clone()))?;
        }
        let times = (new.created, new.created);
        self.index_new(connection, &new.key, times, &new.document, &new.tags, made)?;
        Ok(true)
    }

    /// The record of that key.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn get(&self, key: &Key) -> Result<Option<Record>> {
        self.readers.look(|connection| find(connection, key))
    }

    /// Every record of a kind, in all regions, by region and name. For kinds of which there are few.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn all(&self, kind: Resource) -> Result<Vec<Record>> {
        let sql = "SELECT region, name, arn, status, created, modified, document FROM records
             WHERE kind = ?1 ORDER BY region, name";
        let found = self
            .readers
            .read(move |connection| all(connection, sql, (kind.arn_segment(),), |row| read(row, kind)));
        found.await
    }

    /// Reads a record, lets `change` alter its status, document and time of change, and stores it, in one
    /// transaction. `change` may refuse: its error comes back inside `Ok(Err(…))` and nothing is
    /// written.
    ///
    /// # Errors
    /// `NotFound`, `Database` or `Document`.
    pub async fn update<T, E>(
        &self,
        key: &Key,
        workflow: &WorkflowChange,
        change: impl FnOnce(&mut Record) -> std::result::Result<T, E>,
    ) -> Result<std::result::Result<T, E>> {
        self.update_with(key, workflow, |record| change(record).map(|outcome| (outcome, Vec::new()))).await
    }

    /// Changes a record like [`Metastore::update`]; `change` also says what else is written in the
    /// same transaction.
    ///
    /// # Errors
    /// `NotFound`, `Database` or `Document`; `AlreadyExists` for a record that is to be made.
    pub async fn update_with<T, E>(
        &self,
        key: &Key,
        workflow: &WorkflowChange,
        change: impl FnOnce(&mut Record) -> std::result::Result<(T, Vec<Write>), E>,
    ) -> Result<std::result::Result<T, E>> {
        let outcome = self.writer.change(|connection| {
            let mut record = fetch(connection, key)?;
            let before = record.modified;
            let (outcome, writes) = match change(&mut record) {
                Ok(outcome) => outcome,
                Err(refusal) => return Ok(Verdict::Undo((Err(refusal), Made::default()))),
            };
            let mut made = Made::default();
            // A time that `change` set is kept: it is also what the document shows.
            if record.modified == before {
                record.modified = before.max(self.clock.now_milliseconds());
            }
            self.replace(connection, &record, &mut made)?;
            crate::workflow::apply(connection, key, workflow)?;
            self.apply(connection, &writes, &mut made)?;
            Ok(Verdict::Keep((Ok(outcome), made)))
        });
        let (outcome, made) = outcome.await?;
        self.indexed(made).await?;
        Ok(outcome)
    }

    /// Writes a changed record and its facts.
    pub(crate) fn replace(&self, connection: &Connection, record: &Record, made: &mut Made) -> Result<()> {
        let Key { kind, region, name } = &record.key;
        execute(
            connection,
            "UPDATE records SET status = ?4, modified = ?5, document = ?6
             WHERE kind = ?1 AND region = ?2 AND name = ?3",
            (kind.arn_segment(), region, name, &record.status, record.modified, record.document.to_string()),
        )?;
        self.index_again(connection, record, None, made)
    }

    /// Removes a record, its tags and its workflow, in one transaction.
    ///
    /// # Errors
    /// `NotFound` or `Database`.
    pub async fn delete(&self, key: &Key) -> Result<Record> {
        self.delete_if(key, |_| Ok::<_, Infallible>(())).await.map(|Ok(record)| record)
    }

    /// As [`Metastore::delete`], when `check` lets the record go. Its refusal comes back inside
    /// `Ok(Err(…))` and nothing is removed.
    ///
    /// # Errors
    /// `NotFound`, `Database` or `Document`.
    pub async fn delete_if<E>(
        &self,
        key: &Key,
        check: impl FnOnce(&Record) -> std::result::Result<(), E>,
    ) -> Result<std::result::Result<Record, E>> {
        let removed = self.writer.change(|connection| {
            let record = fetch(connection, key)?;
            if let Err(refusal) = check(&record) {
                return Ok(Verdict::Undo(Err(refusal)));
            }
            execute(
                connection,
                "DELETE FROM records WHERE kind = ?1 AND region = ?2 AND name = ?3",
                (key.kind.arn_segment(), &key.region, &key.name),
            )?;
            execute(connection, "DELETE FROM tags WHERE arn = ?1", (&record.arn,))?;
            crate::workflow::apply(connection, key, &WorkflowChange::End)?;
            self.index_removed(connection, key)?;
            crate::link::forget(connection, &record.arn)?;
            crate::run_metric::forget(connection, &record.arn)?;
            Ok(Verdict::Keep(Ok(record)))
        });
        removed.await
    }

    /// The record with an ARN.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn get_by_arn(&self, arn: &str) -> Result<Option<Record>> {
        self.readers.look(|connection| with_arn(connection, arn))
    }

    /// Is there a resource with that ARN?
    ///
    /// # Errors
    /// `Database`.
    pub async fn has_arn(&self, arn: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM records WHERE arn = ?1 LIMIT 1";
        let found = self.readers.look(|connection| optional(connection, sql, (arn,), |_| Ok(())))?;
        Ok(found.is_some())
    }
}

/// The record of a key, when it is there.
pub(crate) fn find(connection: &Connection, key: &Key) -> Result<Option<Record>> {
    let sql = "SELECT region, name, arn, status, created, modified, document FROM records
         WHERE kind = ?1 AND region = ?2 AND name = ?3";
    optional(connection, sql, (key.kind.arn_segment(), &key.region, &key.name), |row| read(row, key.kind))
}

/// The record of a key, which must be there.
pub(crate) fn fetch(connection: &Connection, key: &Key) -> Result<Record> {
    find(connection, key)?.ok_or_else(|| MetastoreError::NotFound(key.clone()))
}

/// The newest record with an ARN, which may be of any kind.
pub(crate) fn with_arn(connection: &Connection, arn: &str) -> Result<Option<Record>> {
    let sql = "SELECT kind, region, name, arn, status, created, modified, document FROM records
         WHERE arn = ?1 ORDER BY created DESC LIMIT 1";
    let found = optional(connection, sql, (arn,), |row| {
        let kind = Resource::from_segment(text(row, "kind")?);
        kind.map(|kind| read(row, kind)).transpose()
    })?;
    Ok(found.flatten())
}

/// A record from a row with the columns of [`find`].
pub(crate) fn read(row: &Row<'_>, kind: Resource) -> Result<Record> {
    Ok(Record {
        key: Key { kind, region: row.get("region")?, name: row.get("name")? },
        arn: row.get("arn")?,
        status: row.get("status")?,
        created: row.get("created")?,
        modified: row.get("modified")?,
        document: serde_json::from_str(text(row, "document")?)?,
    })
}
