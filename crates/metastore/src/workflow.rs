//! Open workflows: which step of its work a resource is in, so that a restarted server knows what
//! was going on.

use rusqlite::Connection;
use sagebrush_types::Resource;

use crate::database::{all, execute, one};
use crate::{Key, Metastore, Result};

/// What happens to a resource's workflow together with a change of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkflowChange {
    /// Nothing.
    Keep,
    /// It enters a step.
    Step(String),
    /// It is over.
    End,
}

/// A workflow that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWorkflow {
    /// The resource it works for.
    pub key: Key,
    /// The step it was in.
    pub step: String,
}

impl Metastore {
    /// All workflows that have not ended.
    ///
    /// # Errors
    /// `Database`.
    pub async fn open_workflows(&self) -> Result<Vec<OpenWorkflow>> {
        let open = self.readers.look(|connection| {
            all(connection, "SELECT kind, region, name, step FROM workflows", (), |row| {
                let kind = Resource::from_segment(row.get_ref("kind")?.as_str().unwrap_or_default());
                let (region, name, step) = (row.get("region")?, row.get("name")?, row.get("step")?);
                Ok(kind.map(|kind| OpenWorkflow { key: Key { kind, region, name }, step }))
            })
        })?;
        Ok(open.into_iter().flatten().collect())
    }

    /// How many workflows have not ended.
    ///
    /// # Errors
    /// `Database`.
    pub async fn count_open_workflows(&self, kind: Resource) -> Result<usize> {
        let sql = "SELECT COUNT(*) FROM workflows WHERE kind = ?1";
        let count: i64 =
            self.readers.look(|connection| one(connection, sql, (kind.arn_segment(),), |row| row.get(0)))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}

pub(crate) fn apply(connection: &Connection, key: &Key, change: &WorkflowChange) -> Result<()> {
    let kind = key.kind.arn_segment();
    match change {
        WorkflowChange::Keep => {}
        WorkflowChange::Step(step) => {
            let sql = "INSERT INTO workflows (kind, region, name, step) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (kind, region, name) DO UPDATE SET step = excluded.step";
            execute(connection, sql, (kind, &key.region, &key.name, step))?;
        }
        WorkflowChange::End => {
            let sql = "DELETE FROM workflows WHERE kind = ?1 AND region = ?2 AND name = ?3";
            execute(connection, sql, (kind, &key.region, &key.name))?;
        }
    }
    Ok(())
}
