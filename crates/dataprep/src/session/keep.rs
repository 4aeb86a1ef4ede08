//! Where the rows of tables are kept: in memory while they fit, otherwise as Parquet below the root until the run
//! ends.
//!
//! Promises: what is kept in memory counts against the memory limit and leaves a part of it to the operators; a table
//! that outgrows its part goes to disk, it does not fail the run.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayData, RecordBatch};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::Result;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::runtime::JoinSet;
use datafusion::dataframe::{DataFrame, DataFrameWriteOptions};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;

use super::Session;
use super::statement::count_of;
use crate::input;

/// The rows of a table.
pub(super) enum Kept {
    /// In memory, in parts, and what they take of the memory limit.
    Memory(MemTable, MemoryReservation),
    /// In files.
    Disk(Arc<dyn TableProvider>),
}

impl Session {
    /// Runs a query and keeps its rows; also gives their number. A query that runs out of memory is run once more
    /// in one part, which needs less: sorts then spill without others waiting for their rows.
    pub(super) async fn keep(&mut self, query: &LogicalPlan) -> Result<(Kept, u64)> {
        let state = self.context.state();
        match self.keep_as(query, state.clone()).await {
            Err(error) if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) => {
                let mut state = state;
                let options = state.config_mut().options_mut();
                options.execution.target_partitions = 1;
                options.optimizer.repartition_sorts = false;
                self.keep_as(query, state).await
            }
            kept => kept,
        }
    }

    async fn keep_as(&mut self, query: &LogicalPlan, state: SessionState) -> Result<(Kept, u64)> {
        let plan = state.optimize(query)?;
        let physical = state.query_planner().create_physical_plan(&plan, &state).await?;
        let schema = kept_schema(query.schema().inner(), &physical.schema());
        match self.keep_in_memory(physical, &schema, state.task_ctx()).await? {
            Some((parts, memory)) => {
                let rows: usize = parts.iter().flatten().map(RecordBatch::num_rows).sum();
                Ok((Kept::Memory(MemTable::try_new(schema, parts)?, memory), rows as u64))
            }
            None => {
                let (table, rows) = self.keep_on_disk(DataFrame::new(state, query.clone())).await?;
                Ok((Kept::Disk(table), rows))
            }
        }
    }

    /// Runs a plan, all parts at once. `None` when the rows outgrow what tables may take of the memory limit.
    async fn keep_in_memory(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        schema: &SchemaRef,
        context: Arc<TaskContext>,
    ) -> Result<Option<(Vec<Vec<RecordBatch>>, MemoryReservation)>> {
        let used: usize = self.reserved.values().map(MemoryReservation::size).sum();
        let budget = self.table_budget.saturating_sub(used);
        let memory = Arc::new(self.tables.new_empty());
        let mut running = JoinSet::new();
        let parts = plan.output_partitioning().partition_count();
        for part in 0..parts {
            let mut stream = plan.execute(part, Arc::clone(&context))?;
            let (memory, schema) = (Arc::clone(&memory), Arc::clone(schema));
            running.spawn(async move {
                let (mut batches, mut seen) = (Vec::new(), HashSet::new());
                while let Some(batch) = stream.next().await {
                    let batch = batch?;
                    let bytes = new_bytes(&batch, &mut seen);
                    if memory.size() + bytes > budget || memory.try_grow(bytes).is_err() {
                        return Ok((part, None));
                    }
                    batches.push(RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec())?);
                }
                Ok::<_, DataFusionError>((part, Some(batches)))
            });
        }
        let mut kept = vec![Vec::new(); parts];
        while let Some(finished) = running.join_next().await {
            let (part, batches) =
                finished.map_err(|error| DataFusionError::Execution(error.to_string()))??;
            let Some(batches) = batches else {
                running.shutdown().await;
                return Ok(None);
            };
            if let Some(place) = kept.get_mut(part) {
                *place = batches;
            }
        }
        let total = memory.new_empty();
        total.grow(memory.free());
        Ok(Some((kept, total)))
    }

    /// Writes rows to files of their own; also gives their number.
    pub(super) async fn keep_on_disk(&mut self, rows: DataFrame) -> Result<(Arc<dyn TableProvider>, u64)> {
        self.on_disk += 1;
        let folder = self.spill.path().join(format!("table-{}", self.on_disk));
        let schema = Arc::clone(rows.schema().inner());
        let mut options = TableParquetOptions::default();
        options.global.compression = Some("snappy".to_owned());
        let place = format!("{}/", folder.display());
        let written = rows.write_parquet(&place, DataFrameWriteOptions::new(), Some(options)).await?;
        let count = count_of(&written);
        if count == 0 {
            return Ok((Arc::new(MemTable::try_new(schema, vec![Vec::new()])?), 0));
        }
        Ok((Arc::new(input::open_parquet(&folder, &[], &self.context).await?), count))
    }
}

/// The columns of a table made from a query: of the types the plan gives (coercions may have changed what the
/// statement promised), and never null where the statement says so.
fn kept_schema(stated: &SchemaRef, planned: &SchemaRef) -> SchemaRef {
    let fields = planned.fields().iter().enumerate().map(|(index, field)| {
        let nullable = stated.fields().get(index).is_none_or(|stated| stated.is_nullable());
        field.as_ref().clone().with_nullable(nullable)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Bytes of the buffers of a batch that were not counted before: batches of one result share buffers.
fn new_bytes(batch: &RecordBatch, seen: &mut HashSet<usize>) -> usize {
    batch.columns().iter().map(|column| unseen(&column.to_data(), seen)).sum()
}

fn unseen(data: &ArrayData, seen: &mut HashSet<usize>) -> usize {
    let nulls = data.nulls().map(|nulls| nulls.buffer());
    let own: usize = data
        .buffers()
        .iter()
        .chain(nulls)
        .filter(|buffer| seen.insert(buffer.data_ptr().as_ptr().addr()))
        .map(|buffer| buffer.capacity())
        .sum();
    own + data.child_data().iter().map(|child| unseen(child, seen)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::array::{ArrayRef, StringViewArray};

    use super::*;

    #[test]
    fn shared_buffers_are_counted_once() {
        let text = "long enough to be kept in a buffer of its own".repeat(100);
        let column: ArrayRef = Arc::new(StringViewArray::from_iter_values([text.as_str(); 1]));
        let batch = RecordBatch::try_from_iter([("a", Arc::clone(&column)), ("b", column)]).unwrap();
        let mut seen = HashSet::new();
        let first = new_bytes(&batch, &mut seen);
        assert!((text.len()..2 * text.len() - 1).contains(&first) || first < 4 * text.len(), "{first}");
        assert_eq!(new_bytes(&batch.slice(0, 1), &mut seen), 0);
    }
}
