//! One run of a script: the query library, set up and fenced in, and what it is asked to do.
//!
//! Promises: tables made by the script and inputs kept in memory count against the memory limit; operators that reach
//! it spill to a folder below the root, which is removed at the end; files are reached only through the store that
//! checks every path.

mod fence;
mod statement;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::TableReference;
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

/// How much larger text is expected to be in memory than on disk: sixteen bytes for a field that has four or five.
const TEXT_GROWTH: u64 = 4;

/// Said of an input that is not kept in memory.
const STREAMED: &str = "too large to keep in memory, read by every query";

/// A run in progress.
pub(crate) struct Session {
    context: SessionContext,
    root: Root,
    threads: usize,
    /// What inputs and tables take of the memory limit.
    tables: MemoryReservation,
    /// Bytes inputs may take before they are streamed instead.
    input_budget: u64,
    /// Folders this run has written files to.
    written: BTreeSet<PathBuf>,
    /// Where operators spill; removed with the session.
    _spill: tempfile::TempDir,
}

impl Session {
    /// Sets up the query library for one run.
    pub(crate) fn open(root: &Root, arguments: &Arguments) -> Result<Self, PrepareFailure> {
        let limit = arguments.memory_limit.unwrap_or_else(memory::default_limit);
        let threads = arguments
            .threads
            .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
            .unwrap_or(1);
        let spill = tempfile::Builder::new()
            .prefix(".spill-")
            .tempdir_in(root.folder())
            .map_err(|error| PrepareFailure::io("making a folder for spilled data", &error))?;
        let pool: Arc<dyn MemoryPool> =
            Arc::new(FairSpillPool::new(usize::try_from(limit).unwrap_or(usize::MAX)));
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
            input_budget: limit / 2,
            written: BTreeSet::new(),
            _spill: spill,
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
                    let table = input::open_parquet(&input, &self.context).await.map_err(|error| {
                        PrepareFailure::query(format_args!("input '{}'", input.name), &error)
                    })?;
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

    async fn open_text(&self, input: &Input) -> Result<(Arc<dyn TableProvider>, String), PrepareFailure> {
        let name = input.name.clone();
        let broken = |error| PrepareFailure::query(format_args!("input '{name}'"), &error);
        let table = TextTable::open(input, &self.root)?;
        let free = self.input_budget.saturating_sub(self.tables.size() as u64);
        if input.bytes.saturating_mul(TEXT_GROWTH) > free {
            return Ok((Arc::new(table.streamed().map_err(broken)?), STREAMED.to_owned()));
        }
        let memory = self.tables.new_empty();
        let threads = self.threads;
        let reading = tokio::task::spawn_blocking(move || {
            let parts = table.read(threads, &memory);
            (table, parts, memory)
        });
        let (table, parts, memory) =
            reading.await.map_err(|error| PrepareFailure::internal(format!("input '{name}': {error}")))?;
        let Some(parts) = parts? else {
            return Ok((Arc::new(table.streamed().map_err(broken)?), STREAMED.to_owned()));
        };
        let schema = Arc::clone(table.schema());
        self.tables.grow(memory.free());
        let rows: usize = parts.iter().flatten().map(|batch| batch.num_rows()).sum();
        let table = MemTable::try_new(schema, parts).map_err(broken)?;
        Ok((Arc::new(table), report::rows(rows as u64)))
    }
}
