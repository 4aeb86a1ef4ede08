//! One run of a script: the query library, set up and fenced in, and what it is asked to do.
//!
//! Promises: tables made by the script and inputs kept in memory count against the memory limit; tables and operators
//! that reach it go to a folder below the root, which is removed at the end; files are reached only through the store that
//! checks every path.

mod fence;
mod keep;
mod statement;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::arguments::Arguments;
use crate::failure::PrepareFailure;
use crate::input::{self, Format, Input, TextTable};
use crate::root::Root;
use crate::rooted_store::RootedStore;
use crate::{ensure, memory, report, seeded_random};

/// How much larger text is expected to be in memory than on disk: four bytes more for a field that has four or five.
const TEXT_GROWTH: u64 = 2;

/// A run in progress.
pub(crate) struct Session {
    context: SessionContext,
    root: Root,
    threads: usize,
    /// The account of tables with the memory limit, itself empty.
    tables: MemoryReservation,
    /// What each table in memory, input or made by the script, takes of the limit.
    reserved: BTreeMap<String, MemoryReservation>,
    /// Bytes that inputs may take in memory.
    input_budget: usize,
    /// Bytes that all tables may take in memory; the rest is for operators.
    table_budget: usize,
    /// Tables that were written to disk so far.
    on_disk: usize,
    /// Folders this run has written files to.
    written: BTreeSet<PathBuf>,
    /// Where operators spill and tables go that do not fit; removed with the session.
    spill: tempfile::TempDir,
}

impl Session {
    /// Sets up the query library for one run.
    pub(crate) fn open(root: &Root, arguments: &Arguments) -> Result<Self, PrepareFailure> {
        let limit = arguments.memory_limit.unwrap_or_else(memory::default_limit);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let threads = arguments
            .threads
            .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
            .unwrap_or(1);
        let spill = tempfile::Builder::new()
            .prefix(".spill-")
            .tempdir_in(root.folder())
            .map_err(|error| PrepareFailure::io("making a folder for spilled data", &error))?;
        let pool: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(limit));
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![spill.path().to_owned()]));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::clone(&pool))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|error| PrepareFailure::query("setting up the query library", &error))?;
        let files = ObjectStoreUrl::local_filesystem();
        runtime.register_object_store(files.as_ref(), Arc::new(RootedStore::new(root)));
        let mut config = SessionConfig::new().with_target_partitions(threads).with_information_schema(true);
        let options = config.options_mut();
        options.execution.parquet.compression = Some("snappy".to_owned());
        // Without this library's own type hints every reader sees plain strings, old ones included.
        options.execution.parquet.skip_arrow_metadata = true;
        let context = SessionContext::new_with_config_rt(config, runtime);
        context.register_udf(seeded_random());
        context.register_udf(ensure::ensure());
        Ok(Self {
            context,
            root: root.clone(),
            threads,
            tables: MemoryConsumer::new("tables").register(&pool),
            reserved: BTreeMap::new(),
            input_budget: limit / 2,
            table_budget: limit / 8 * 5,
            on_disk: 0,
            written: BTreeSet::new(),
            spill,
        })
    }

    /// Makes a table of every input and prints what it has.
    pub(crate) async fn register_inputs(
        &mut self,
        stdout: &mut (dyn Write + Send),
    ) -> Result<(), PrepareFailure> {
        for input in input::discover(&self.root)? {
            let started = Instant::now();
            let (provider, rows): (Arc<dyn TableProvider>, String) = match input.format {
                Format::Parquet => {
                    let table = input::open_parquet(&input.path, &input.files, &self.context).await.map_err(
                        |error| PrepareFailure::query(format_args!("input '{}'", input.name), &error),
                    )?;
                    (Arc::new(table), "read in place".to_owned())
                }
                Format::Csv | Format::Tsv | Format::JsonLines => self.open_text(&input).await?,
            };
            let columns: Vec<String> =
                provider.schema().fields().iter().map(|field| field.name().clone()).collect();
            self.context
                .register_table(TableReference::bare(input.name.as_str()), provider)
                .map_err(|error| PrepareFailure::query(format_args!("input '{}'", input.name), &error))?;
            report::line(
                stdout,
                format_args!(
                    "table {}: {rows}; {} in {} {}, {}; columns {} ({:.2} s)",
                    input.name,
                    input.format,
                    report::count(input.files.len() as u64),
                    if input.files.len() == 1 { "file" } else { "files" },
                    report::size(input.bytes),
                    columns.join(", "),
                    started.elapsed().as_secs_f64()
                ),
            )?;
        }
        Ok(())
    }

    /// Reads a text input, into memory when it fits and else into files this library reads faster than text.
    async fn open_text(&mut self, input: &Input) -> Result<(Arc<dyn TableProvider>, String), PrepareFailure> {
        let broken =
            |error: DataFusionError| PrepareFailure::query(format_args!("input '{}'", input.name), &error);
        let mut table = TextTable::open(input, &self.root)?;
        let used: usize = self.reserved.values().map(MemoryReservation::size).sum();
        let free = self.input_budget.saturating_sub(used) as u64;
        if input.bytes.saturating_mul(TEXT_GROWTH) <= free {
            let (memory, threads) = (self.tables.new_empty(), self.threads);
            let reading = tokio::task::spawn_blocking(move || {
                let parts = table.read(threads, &memory);
                (table, parts, memory)
            });
            let (opened, parts, memory) = reading
                .await
                .map_err(|error| PrepareFailure::internal(format!("input '{}': {error}", input.name)))?;
            if let Some(parts) = parts? {
                self.reserved.insert(input.name.clone(), memory);
                let rows: usize = parts.iter().flatten().map(RecordBatch::num_rows).sum();
                let kept = MemTable::try_new(Arc::clone(opened.schema()), parts).map_err(broken)?;
                return Ok((Arc::new(kept), report::rows(rows as u64)));
            }
            table = opened;
        }
        let streamed = table.streamed().map_err(broken)?;
        let rows = self.context.read_table(Arc::new(streamed)).map_err(broken)?;
        let (kept, rows) = self.keep_on_disk(rows).await.map_err(broken)?;
        Ok((kept, format!("{} on disk", report::rows(rows))))
    }
}
