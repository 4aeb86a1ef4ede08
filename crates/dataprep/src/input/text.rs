//! Tables out of text files: read at once into memory, or as a stream.
//!
//! Promises: both ways give the same rows; an error names the input, the file and the line.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;

use super::chunks::{Chunks, Records};
use super::csv::{self, Malformed, Parsed};
use super::format::{self, Format};
use super::{Input, json};
use crate::failure::PrepareFailure;
use crate::root::Root;

/// Batches a streamed file may be ahead of its reader.
const AHEAD: usize = 4;

/// A table of text files of one kind.
#[derive(Debug)]
pub(crate) struct TextTable {
    name: String,
    root: Root,
    files: Vec<PathBuf>,
    format: Format,
    schema: SchemaRef,
}

/// The text of one file, cut into numbered chunks.
struct OpenFile {
    chunks: Chunks<Box<dyn std::io::Read + Send>>,
    /// Bytes of the header to skip in the first chunk.
    header: usize,
    /// Lines in the header.
    header_lines: u64,
    next: usize,
}

/// What came out of one chunk: its number, and its rows or what is wrong with it.
type Outcome = (usize, Result<Parsed, Malformed>);

impl TextTable {
    /// Finds the columns of an input. CSV columns are nullable strings; JSON columns have the types of all lines.
    pub(crate) fn open(input: &Input, root: &Root) -> Result<Self, PrepareFailure> {
        let mut table = Self {
            name: input.name.clone(),
            root: root.clone(),
            files: input.files.clone(),
            format: input.format,
            schema: Arc::new(Schema::empty()),
        };
        let mut schema: Option<Schema> = None;
        for index in 0..table.files.len() {
            let found = table.columns(index)?;
            schema = Some(match schema {
                None => found,
                Some(known) if table.format == Format::JsonLines => {
                    Schema::try_merge([known, found]).map_err(|error| table.wrong(index, error))?
                }
                Some(known) if known == found => known,
                Some(known) => {
                    return Err(table.wrong(
                        index,
                        format_args!(
                            "its header is {}, that of the first file {}",
                            names(&found),
                            names(&known)
                        ),
                    ));
                }
            });
        }
        table.schema = Arc::new(schema.unwrap_or_else(Schema::empty));
        Ok(table)
    }

    /// The columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn columns(&self, index: usize) -> Result<Schema, PrepareFailure> {
        let Some(separator) = self.separator() else {
            return json::infer(&self.files[index]).map_err(|what| self.wrong(index, what));
        };
        let first = format::open(&self.files[index])
            .and_then(|source| Chunks::new(source, Records::Quoted(separator)).next())
            .map_err(|error| self.wrong(index, error))?;
        let (names, ..) = csv::header(&first.unwrap_or_default(), separator)
            .map_err(|problem| self.malformed(index, 0, &problem))?;
        let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        Ok(Schema::new(fields))
    }

    fn separator(&self) -> Option<u8> {
        match self.format {
            Format::Csv => Some(b','),
            Format::Tsv => Some(b'\t'),
            Format::JsonLines | Format::Parquet => None,
        }
    }

    fn wrong(&self, index: usize, what: impl std::fmt::Display) -> PrepareFailure {
        let file = self.files.get(index).map(|file| self.root.display(file)).unwrap_or_default();
        PrepareFailure::client(format!("input '{}': {file}: {what}", self.name))
    }

    fn malformed(&self, index: usize, lines_before: u64, problem: &Malformed) -> PrepareFailure {
        let line = lines_before + problem.lines_before + 1;
        self.wrong(index, format_args!("line {line}: {}", problem.what))
    }

    fn open_file(&self, index: usize) -> Result<OpenFile, PrepareFailure> {
        let records = self.separator().map_or(Records::Lines, Records::Quoted);
        let source = format::open(&self.files[index]).map_err(|error| self.wrong(index, error))?;
        Ok(OpenFile { chunks: Chunks::new(source, records), header: 0, header_lines: 0, next: 0 })
    }

    /// The next chunk of a file with its number, and the byte its records start at.
    fn next_chunk(
        &self,
        index: usize,
        file: &mut OpenFile,
    ) -> Result<Option<(usize, Vec<u8>, usize)>, PrepareFailure> {
        let Some(chunk) = file.chunks.next().map_err(|error| self.wrong(index, error))? else {
            return Ok(None);
        };
        let number = file.next;
        file.next += 1;
        let mut start = 0;
        if number == 0
            && let Some(separator) = self.separator()
        {
            let (_, bytes, lines) =
                csv::header(&chunk, separator).map_err(|problem| self.malformed(index, 0, &problem))?;
            (start, file.header, file.header_lines) = (bytes, bytes, lines);
        }
        Ok(Some((number, chunk, start)))
    }

    fn parse(&self, records: &[u8]) -> Result<Parsed, Malformed> {
        match self.separator() {
            Some(separator) => csv::parse(records, separator, &self.schema),
            None => json::parse(records, &self.schema),
        }
    }

    /// Reads everything, with `threads` parsers, into at most `threads` parts. `None` when the rows outgrow the
    /// reservation: then the table can only be streamed.
    pub(crate) fn read(
        &self,
        threads: usize,
        memory: &MemoryReservation,
    ) -> Result<Option<Vec<Vec<RecordBatch>>>, PrepareFailure> {
        let mut batches = Vec::new();
        for index in 0..self.files.len() {
            if !self.read_file(index, threads, memory, &mut batches)? {
                return Ok(None);
            }
        }
        let part = batches.len().div_ceil(threads.max(1));
        let mut parts = Vec::new();
        while !batches.is_empty() {
            let rest = batches.split_off(part.min(batches.len()));
            parts.push(std::mem::replace(&mut batches, rest));
        }
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        Ok(Some(parts))
    }

    /// Reads one file into `batches`, in order; false when the reservation is used up.
    fn read_file(
        &self,
        index: usize,
        threads: usize,
        memory: &MemoryReservation,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<bool, PrepareFailure> {
        let file = Mutex::new(self.open_file(index)?);
        let outcomes: Mutex<Vec<Outcome>> = Mutex::new(Vec::new());
        let stop = AtomicBool::new(false);
        let full = AtomicBool::new(false);
        let work = || -> Result<(), PrepareFailure> {
            while !stop.load(Ordering::Relaxed) {
                let next =
                    self.next_chunk(index, &mut file.lock().unwrap_or_else(PoisonError::into_inner))?;
                let Some((number, chunk, start)) = next else {
                    return Ok(());
                };
                let outcome = self.parse(chunk.get(start..).unwrap_or_default());
                match &outcome {
                    Ok(parsed) => {
                        if memory
                            .try_grow(parsed.batches.iter().map(RecordBatch::get_array_memory_size).sum())
                            .is_err()
                        {
                            full.store(true, Ordering::Relaxed);
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                    Err(_) => stop.store(true, Ordering::Relaxed),
                }
                outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((number, outcome));
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut result = work();
            for helper in helpers {
                let theirs = helper.join().unwrap_or_else(|_| {
                    Err(PrepareFailure::internal(format!("input '{}': a reading thread failed", self.name)))
                });
                result = result.and(theirs);
            }
            result
        })?;
        let mut lines = file.into_inner().unwrap_or_else(PoisonError::into_inner).header_lines;
        let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by_key(|(number, _)| *number);
        for (_, outcome) in outcomes {
            let parsed = outcome.map_err(|problem| self.malformed(index, lines, &problem))?;
            lines += parsed.lines;
            batches.extend(parsed.batches);
        }
        Ok(!full.load(Ordering::Relaxed))
    }

    /// A table that reads its files for every query, each file as one part.
    pub(crate) fn streamed(self) -> Result<StreamingTable, DataFusionError> {
        let schema = Arc::clone(&self.schema);
        let table = Arc::new(self);
        let parts = (0..table.files.len())
            .map(|index| Arc::new(FilePart { table: Arc::clone(&table), index }) as Arc<dyn PartitionStream>)
            .collect();
        StreamingTable::try_new(schema, parts)
    }
}

/// One file of a streamed table.
#[derive(Debug)]
struct FilePart {
    table: Arc<TextTable>,
    index: usize,
}

impl PartitionStream for FilePart {
    fn schema(&self) -> &SchemaRef {
        &self.table.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&self.table.schema), AHEAD);
        let sender = stream.tx();
        let (table, index) = (Arc::clone(&self.table), self.index);
        stream.spawn_blocking(move || {
            let failed = |failure: PrepareFailure| DataFusionError::Execution(failure.message);
            let mut file = table.open_file(index).map_err(failed)?;
            let mut lines = 0;
            while let Some((number, chunk, start)) = table.next_chunk(index, &mut file).map_err(failed)? {
                if number == 0 {
                    lines = file.header_lines;
                }
                let parsed = table
                    .parse(chunk.get(start..).unwrap_or_default())
                    .map_err(|problem| failed(table.malformed(index, lines, &problem)))?;
                lines += parsed.lines;
                for batch in parsed.batches {
                    if sender.blocking_send(Ok(batch)).is_err() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        });
        stream.build()
    }
}

fn names(schema: &Schema) -> String {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    format!("'{}'", names.join(","))
}
