//! Runs one statement and prints what it did, how many rows it gave or wrote, and how long it took.
//!
//! Promises: a failed statement is named with its number and line; a result of any size is counted without being
//! kept; a table that does not fit the memory limit fails with that reason.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Schema, SchemaRef, UInt64Type};
use datafusion::catalog::MemTable;
use datafusion::common::Result;
use datafusion::common::runtime::JoinSet;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::{CreateMemoryTable, DdlStatement, LogicalPlan};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::sql::parser::DFParser;
use futures::StreamExt;

use super::Session;
use crate::failure::PrepareFailure;
use crate::report::{self, SHOWN_ROWS};
use crate::script::Statement;

/// What a statement came to.
struct Done {
    /// What kind it was and what it made: `CREATE TABLE x`.
    what: String,
    /// Rows made, written or shown; `None` for statements without rows.
    rows: Option<u64>,
    /// The first rows of a result.
    shown: Vec<RecordBatch>,
}

impl Session {
    /// Runs one statement.
    pub(crate) async fn execute(
        &mut self,
        statement: &Statement,
        stdout: &mut (dyn Write + Send),
    ) -> Result<(), PrepareFailure> {
        let started = Instant::now();
        let place = format!("statement {} (line {})", statement.number, statement.line);
        let done = self.perform(statement, &place).await?;
        let rows = done.rows.map_or(String::new(), |rows| format!(": {}", report::rows(rows)));
        report::line(
            stdout,
            format_args!(
                "[{}] line {}: {}{rows} in {:.2} s",
                statement.number,
                statement.line,
                done.what,
                started.elapsed().as_secs_f64()
            ),
        )?;
        let table = report::table(&done.shown)?;
        if !table.is_empty() {
            report::line(stdout, format_args!("{}", table.trim_end_matches('\n')))?;
            let shown: usize = done.shown.iter().map(RecordBatch::num_rows).sum();
            if done.rows.is_some_and(|rows| rows > shown as u64) {
                report::line(stdout, format_args!("  (the first {shown} rows)"))?;
            }
        }
        Ok(())
    }

    async fn perform(&mut self, statement: &Statement, place: &str) -> Result<Done, PrepareFailure> {
        let failed = |error: DataFusionError| PrepareFailure::query(place, &error);
        let mut parsed = DFParser::parse_sql(&statement.text).map_err(failed)?;
        let (Some(mut parsed), None) = (parsed.pop_front(), parsed.pop_front()) else {
            return Err(PrepareFailure::client(format!("{place}: it is not one statement")));
        };
        let target = self.fence(&mut parsed).map_err(|refused| PrepareFailure {
            message: format!("{place}: {}", refused.message),
            ..refused
        })?;
        let plan = self.context.state().statement_to_plan(parsed).await.map_err(failed)?;
        match plan {
            LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(table)) => {
                self.create_table(table).await.map_err(failed)
            }
            LogicalPlan::Copy(_) => {
                let rows = self.changed_rows(plan).await.map_err(failed)?;
                let path = target.unwrap_or_default();
                let what = format!("COPY TO {}", self.root.display(&path));
                if rows == 0 {
                    return Err(PrepareFailure::client(format!(
                        "{place}: {what}: there are no rows to write"
                    )));
                }
                self.written.insert(path);
                Ok(Done { what, rows: Some(rows), shown: Vec::new() })
            }
            LogicalPlan::Dml(ref change) => {
                let what = format!("{} {}", change.op, change.table_name);
                let rows = self.changed_rows(plan).await.map_err(failed)?;
                Ok(Done { what, rows: Some(rows), shown: Vec::new() })
            }
            plan => self.query(plan).await.map_err(failed),
        }
    }

    /// Runs a statement whose result is the number of rows it changed.
    async fn changed_rows(&self, plan: LogicalPlan) -> Result<u64> {
        let batches = self.context.execute_logical_plan(plan).await?.collect().await?;
        let counts = batches.iter().filter_map(|batch| batch.columns().first());
        Ok(counts
            .filter_map(|column| column.as_primitive_opt::<UInt64Type>())
            .flat_map(|column| column.iter().flatten())
            .sum())
    }

    /// Runs a query, keeps its first rows and counts them all.
    async fn query(&self, plan: LogicalPlan) -> Result<Done> {
        let what = match &plan {
            LogicalPlan::Ddl(DdlStatement::CreateView(view)) => {
                format!("CREATE VIEW {}", view.name)
            }
            LogicalPlan::Ddl(DdlStatement::CreateExternalTable(table)) => {
                format!("CREATE EXTERNAL TABLE {}", table.name)
            }
            LogicalPlan::Ddl(DdlStatement::DropTable(table)) => {
                format!("DROP TABLE {}", table.name)
            }
            LogicalPlan::Ddl(DdlStatement::DropView(view)) => format!("DROP VIEW {}", view.name),
            LogicalPlan::Ddl(other) => other.name().to_owned(),
            LogicalPlan::Statement(other) => other.name().to_owned(),
            LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => "EXPLAIN".to_owned(),
            _ => "SELECT".to_owned(),
        };
        let frame = self.context.execute_logical_plan(plan).await?;
        if frame.schema().fields().is_empty() {
            return Ok(Done { what, rows: None, shown: Vec::new() });
        }
        let mut stream = frame.execute_stream().await?;
        let (mut rows, mut kept, mut shown) = (0_usize, 0_usize, Vec::new());
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            rows += batch.num_rows();
            let wanted = batch.num_rows().min(SHOWN_ROWS - kept);
            if wanted > 0 || shown.is_empty() {
                shown.push(batch.slice(0, wanted));
                kept += wanted;
            }
        }
        Ok(Done { what, rows: Some(rows as u64), shown })
    }

    /// Runs the query of a `CREATE TABLE` and keeps its rows, counted against the memory limit.
    async fn create_table(&self, table: CreateMemoryTable) -> Result<Done> {
        let what = format!("CREATE TABLE {}", table.name);
        let known = self.context.table_exist(table.name.clone())?;
        if known && table.if_not_exists {
            return Ok(Done { what: format!("{what}: it exists"), rows: None, shown: Vec::new() });
        }
        if known && !table.or_replace {
            return Err(DataFusionError::Plan(format!("table '{}' already exists", table.name)));
        }
        let state = self.context.state();
        let plan = state.optimize(&table.input)?;
        let physical = state.query_planner().create_physical_plan(&plan, &state).await?;
        let schema = kept_schema(table.input.schema().inner(), &physical.schema());
        let (parts, memory) = self.keep(physical, &schema).await?;
        let rows: usize = parts.iter().flatten().map(RecordBatch::num_rows).sum();
        let kept = MemTable::try_new(schema, parts)?
            .with_constraints(table.constraints)
            .with_column_defaults(table.column_defaults.into_iter().collect());
        if known {
            self.context.deregister_table(table.name.clone())?;
        }
        self.context.register_table(table.name, Arc::new(kept))?;
        self.tables.grow(memory.size());
        drop(memory);
        Ok(Done { what, rows: Some(rows as u64), shown: Vec::new() })
    }

    /// Runs a plan, all parts at once, and keeps what they give in memory.
    async fn keep(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        schema: &SchemaRef,
    ) -> Result<(Vec<Vec<RecordBatch>>, MemoryReservation)> {
        let memory = Arc::new(self.tables.new_empty());
        let context = self.context.task_ctx();
        let mut running = JoinSet::new();
        let parts = plan.output_partitioning().partition_count();
        for part in 0..parts {
            let mut stream = plan.execute(part, Arc::clone(&context))?;
            let (memory, schema) = (Arc::clone(&memory), Arc::clone(schema));
            running.spawn(async move {
                let mut batches = Vec::new();
                while let Some(batch) = stream.next().await {
                    let batch = batch?;
                    memory.try_grow(batch.get_array_memory_size())?;
                    batches.push(RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec())?);
                }
                Ok::<_, DataFusionError>((part, batches))
            });
        }
        let mut kept = vec![Vec::new(); parts];
        while let Some(finished) = running.join_next().await {
            let (part, batches) =
                finished.map_err(|error| DataFusionError::Execution(error.to_string()))??;
            if let Some(place) = kept.get_mut(part) {
                *place = batches;
            }
        }
        let total = memory.new_empty();
        total.grow(memory.size());
        memory.free();
        Ok((kept, total))
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
