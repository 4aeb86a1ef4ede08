//! JSON lines into typed columns.
//!
//! Promises: the types come from all lines of all files, not from the first few; a line that is not a JSON object is
//! an error with its number.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::json::ReaderBuilder;
use datafusion::arrow::json::reader::infer_json_schema;

use super::csv::{BATCH_ROWS, Malformed, Parsed};
use super::format;

/// The columns of a file. The error is a sentence, with the line where it is known.
pub(crate) fn infer(path: &Path) -> Result<Schema, String> {
    let reader = format::open(path).map_err(|error| error.to_string())?;
    match infer_json_schema(BufReader::new(reader), None) {
        Ok((schema, _)) => Ok(schema),
        Err(error) => Err(first_wrong_line(path).unwrap_or_else(|| error.to_string())),
    }
}

/// The rows of a chunk of whole lines.
pub(crate) fn parse(chunk: &[u8], schema: &SchemaRef) -> Result<Parsed, Malformed> {
    let malformed = |what: String| {
        let found = wrong_line(chunk);
        Malformed {
            lines_before: found.as_ref().map_or(0, |(line, _)| *line),
            what: found.map_or(what, |(_, why)| why),
        }
    };
    let reader = ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(BATCH_ROWS)
        .build(chunk)
        .map_err(|error| malformed(error.to_string()))?;
    let batches: Result<Vec<RecordBatch>, _> = reader.collect();
    Ok(Parsed {
        batches: batches.map_err(|error| malformed(error.to_string()))?,
        lines: memchr::memchr_iter(b'\n', chunk).count() as u64,
    })
}

/// The first line of a chunk that is not an object: lines before it, and what is wrong.
fn wrong_line(chunk: &[u8]) -> Option<(u64, String)> {
    chunk
        .split(|byte| *byte == b'\n')
        .enumerate()
        .find_map(|(index, line)| explain(line).map(|why| (index as u64, why)))
}

fn first_wrong_line(path: &Path) -> Option<String> {
    let reader = BufReader::new(format::open(path).ok()?);
    for (index, line) in reader.split(b'\n').enumerate() {
        if let Some(why) = explain(&line.ok()?) {
            return Some(format!("line {}: {why}", index + 1));
        }
    }
    None
}

fn explain(line: &[u8]) -> Option<String> {
    if line.trim_ascii().is_empty() {
        return None;
    }
    match serde_json::from_slice::<serde_json::Value>(line) {
        Ok(serde_json::Value::Object(_)) => None,
        Ok(_) => Some("every line must be one JSON object".to_owned()),
        Err(error) => Some(format!("it is not JSON: {error}")),
    }
}
