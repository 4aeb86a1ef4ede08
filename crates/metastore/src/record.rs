//! Resource records: a key, the indexed facts, and the kept document.

use std::convert::Infallible;

use sagebrush_types::Resource;
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

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
        let mut transaction = self.begin().await?;
        let mut made = Made::default();
        if !self.insert(transaction.connection(), new, &mut made).await? {
            return Err(MetastoreError::AlreadyExists(new.key.clone()));
        }
        self.apply(transaction.connection(), writes, &mut made).await?;
        transaction.commit().await?;
        self.indexed(made).await
    }

    /// Inserts a record with its tags, workflow and facts; `false` when the name is taken.
    pub(crate) async fn insert(
        &self,
        connection: &mut SqliteConnection,
        new: &NewRecord,
        made: &mut Made,
    ) -> Result<bool> {
        let inserted = sqlx::query(
            "INSERT INTO records (kind, region, name, arn, status, created, modified, document)
             VALUES ($1, $2, $3, $4, $5, $6, $6, $7) ON CONFLICT DO NOTHING",
        )
        .bind(new.key.kind.arn_segment())
        .bind(&new.key.region)
        .bind(&new.key.name)
        .bind(&new.arn)
        .bind(&new.status)
        .bind(new.created)
        .bind(new.document.to_string())
        .execute(&mut *connection)
        .await?;
        if inserted.rows_affected() == 0 {
            return Ok(false);
        }
        crate::tag::put(&mut *connection, &new.arn, &new.tags).await?;
        if let Some(step) = &new.workflow {
            let change = WorkflowChange::Step(step.clone());
            crate::workflow::apply(&mut *connection, &new.key, &change).await?;
        }
        let record = Record {
            key: new.key.clone(),
            arn: new.arn.clone(),
            status: new.status.clone(),
            created: new.created,
            modified: new.created,
            document: new.document.clone(),
        };
        self.index_new(connection, &record, &new.tags, made).await?;
        Ok(true)
    }

    /// The record of that key.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn get(&self, key: &Key) -> Result<Option<Record>> {
        let row = sqlx::query(SELECT_ONE)
            .bind(key.kind.arn_segment())
            .bind(&key.region)
            .bind(&key.name)
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(|row| read(row, key.kind)).transpose()
    }

    /// Every record of a kind, in all regions, by region and name. For kinds of which there are few.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn all(&self, kind: Resource) -> Result<Vec<Record>> {
        let rows = sqlx::query(
            "SELECT region, name, arn, status, created, modified, document FROM records
             WHERE kind = $1 ORDER BY region, name",
        )
        .bind(kind.arn_segment())
        .fetch_all(&self.reader)
        .await?;
        rows.iter().map(|row| read(row, kind)).collect()
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
        let mut transaction = self.begin().await?;
        let mut record = fetch(transaction.connection(), key).await?;
        let before = record.modified;
        let (outcome, writes) = match change(&mut record) {
            Ok(outcome) => outcome,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut made = Made::default();
        // A time that `change` set is kept: it is also what the document shows.
        if record.modified == before {
            record.modified = before.max(self.clock.now_milliseconds());
        }
        self.replace(transaction.connection(), &record, &mut made).await?;
        crate::workflow::apply(transaction.connection(), key, workflow).await?;
        self.apply(transaction.connection(), &writes, &mut made).await?;
        transaction.commit().await?;
        self.indexed(made).await?;
        Ok(Ok(outcome))
    }

    /// Writes a changed record and its facts.
    pub(crate) async fn replace(
        &self,
        connection: &mut SqliteConnection,
        record: &Record,
        made: &mut Made,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE records SET status = $4, modified = $5, document = $6
             WHERE kind = $1 AND region = $2 AND name = $3",
        )
        .bind(record.key.kind.arn_segment())
        .bind(&record.key.region)
        .bind(&record.key.name)
        .bind(&record.status)
        .bind(record.modified)
        .bind(record.document.to_string())
        .execute(&mut *connection)
        .await?;
        self.index_again(connection, record, None, made).await
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
        let mut transaction = self.begin().await?;
        let record = fetch(transaction.connection(), key).await?;
        if let Err(refusal) = check(&record) {
            return Ok(Err(refusal));
        }
        sqlx::query("DELETE FROM records WHERE kind = $1 AND region = $2 AND name = $3")
            .bind(key.kind.arn_segment())
            .bind(&key.region)
            .bind(&key.name)
            .execute(transaction.connection())
            .await?;
        sqlx::query("DELETE FROM tags WHERE arn = $1")
            .bind(&record.arn)
            .execute(transaction.connection())
            .await?;
        crate::workflow::apply(transaction.connection(), key, &WorkflowChange::End).await?;
        self.index_removed(transaction.connection(), &record).await?;
        crate::link::forget(transaction.connection(), &record.arn).await?;
        crate::run_metric::forget(transaction.connection(), &record.arn).await?;
        transaction.commit().await?;
        Ok(Ok(record))
    }

    /// The record with an ARN.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn get_by_arn(&self, arn: &str) -> Result<Option<Record>> {
        let mut connection = self.reader.acquire().await?;
        with_arn(&mut connection, arn).await
    }

    /// Is there a resource with that ARN?
    ///
    /// # Errors
    /// `Database`.
    pub async fn has_arn(&self, arn: &str) -> Result<bool> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM records WHERE arn = $1 LIMIT 1")
            .bind(arn)
            .fetch_optional(&self.reader)
            .await?;
        Ok(found.is_some())
    }
}

const SELECT_ONE: &str = "SELECT region, name, arn, status, created, modified, document FROM records
     WHERE kind = $1 AND region = $2 AND name = $3";

pub(crate) async fn fetch(transaction: &mut SqliteConnection, key: &Key) -> Result<Record> {
    let row = sqlx::query(SELECT_ONE)
        .bind(key.kind.arn_segment())
        .bind(&key.region)
        .bind(&key.name)
        .fetch_optional(&mut *transaction)
        .await?;
    row.as_ref()
        .map(|row| read(row, key.kind))
        .transpose()?
        .ok_or_else(|| MetastoreError::NotFound(key.clone()))
}

/// The newest record with an ARN, which may be of any kind.
pub(crate) async fn with_arn(connection: &mut SqliteConnection, arn: &str) -> Result<Option<Record>> {
    let row = sqlx::query(
        "SELECT kind, region, name, arn, status, created, modified, document FROM records
         WHERE arn = $1 ORDER BY created DESC LIMIT 1",
    )
    .bind(arn)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let kind = Resource::from_segment(row.try_get("kind")?);
    kind.map(|kind| read(&row, kind)).transpose()
}

/// A record from a row with the columns of [`SELECT_ONE`].
pub(crate) fn read(row: &SqliteRow, kind: Resource) -> Result<Record> {
    Ok(Record {
        key: Key { kind, region: row.try_get("region")?, name: row.try_get("name")? },
        arn: row.try_get("arn")?,
        status: row.try_get("status")?,
        created: row.try_get("created")?,
        modified: row.try_get("modified")?,
        document: serde_json::from_str(row.try_get::<&str, _>("document")?)?,
    })
}
