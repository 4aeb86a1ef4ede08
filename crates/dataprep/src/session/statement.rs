//! Runs one statement and prints what it did, how many rows it gave or wrote, and how long it took.
//!
//! Promises: a failed statement is named with its number and line; a result of any size is counted without being
//! kept.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{CreateMemoryTable, DdlStatement, LogicalPlan};
use datafusion::sql::parser::DFParser;
use futures::StreamExt;

use super::Session;
use super::keep::Kept;
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
        Ok(count_of(&self.context.execute_logical_plan(plan).await?.collect().await?))
    }

    /// Runs a query, keeps its first rows and counts them all.
    async fn query(&mut self, plan: LogicalPlan) -> Result<Done> {
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
        let dropped = match &plan {
            LogicalPlan::Ddl(DdlStatement::DropTable(table)) => Some(table.name.table().to_owned()),
            _ => None,
        };
        let frame = self.context.execute_logical_plan(plan).await?;
        if let Some(name) = dropped {
            self.reserved.remove(&name);
        }
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
    async fn create_table(&mut self, table: CreateMemoryTable) -> Result<Done> {
        let what = format!("CREATE TABLE {}", table.name);
        let known = self.context.table_exist(table.name.clone())?;
        if known && table.if_not_exists {
            return Ok(Done { what: format!("{what}: it exists"), rows: None, shown: Vec::new() });
        }
        if known && !table.or_replace {
            return Err(DataFusionError::Plan(format!("table '{}' already exists", table.name)));
        }
        let (kept, rows) = self.keep(&table.input).await?;
        let name = table.name.table().to_owned();
        if known {
            self.context.deregister_table(table.name.clone())?;
            self.reserved.remove(&name);
        }
        let (provider, place): (Arc<dyn TableProvider>, &str) = match kept {
            Kept::Memory(kept, memory) => {
                self.reserved.insert(name, memory);
                let kept = kept.with_constraints(table.constraints);
                (Arc::new(kept.with_column_defaults(table.column_defaults.into_iter().collect())), "")
            }
            Kept::Disk(kept) => (kept, " on disk"),
        };
        self.context.register_table(table.name, provider)?;
        Ok(Done { what: format!("{what}{place}"), rows: Some(rows), shown: Vec::new() })
    }
}

/// The number of rows in the answer of a statement that changes rows.
pub(super) fn count_of(answer: &[RecordBatch]) -> u64 {
    let counts = answer.iter().filter_map(|batch| batch.columns().first());
    counts
        .filter_map(|column| column.as_primitive_opt::<UInt64Type>())
        .flat_map(|column| column.iter().flatten())
        .sum()
}
