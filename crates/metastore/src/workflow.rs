//! Open workflows: which step of its work a resource is in, so that a restarted server knows what
//! was going on.

use sagebrush_types::Resource;
use sqlx::{Row, SqliteConnection};

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
        let rows =
            sqlx::query("SELECT kind, region, name, step FROM workflows").fetch_all(&self.reader).await?;
        let mut open = Vec::with_capacity(rows.len());
        for row in rows {
            let kind: String = row.try_get("kind")?;
            if let Some(kind) = Resource::from_segment(&kind) {
                open.push(OpenWorkflow {
                    key: Key { kind, region: row.try_get("region")?, name: row.try_get("name")? },
                    step: row.try_get("step")?,
                });
            }
        }
        Ok(open)
    }

    /// How many workflows have not ended.
    ///
    /// # Errors
    /// `Database`.
    pub async fn count_open_workflows(&self, kind: Resource) -> Result<usize> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM workflows WHERE kind = $1")
            .bind(kind.arn_segment())
            .fetch_one(&self.reader)
            .await?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}

pub(crate) async fn apply(
    transaction: &mut SqliteConnection,
    key: &Key,
    change: &WorkflowChange,
) -> Result<()> {
    match change {
        WorkflowChange::Keep => {}
        WorkflowChange::Step(step) => {
            sqlx::query(
                "INSERT INTO workflows (kind, region, name, step) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (kind, region, name) DO UPDATE SET step = excluded.step",
            )
            .bind(key.kind.arn_segment())
            .bind(&key.region)
            .bind(&key.name)
            .bind(step)
            .execute(&mut *transaction)
            .await?;
        }
        WorkflowChange::End => {
            sqlx::query("DELETE FROM workflows WHERE kind = $1 AND region = $2 AND name = $3")
                .bind(key.kind.arn_segment())
                .bind(&key.region)
                .bind(&key.name)
                .execute(&mut *transaction)
                .await?;
        }
    }
    Ok(())
}
