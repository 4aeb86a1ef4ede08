//! CSV files of a channel: a header, then rows.

use std::io::Read;

use csv::{ByteRecord, ReaderBuilder};

use crate::TrainFailure;

/// Longest row, in bytes: ten thousand numbers of a hundred digits, or a title of a megabyte.
const MAX_ROW: usize = 4 << 20;

/// One row; fields are text.
pub(crate) struct Row<'a>(&'a ByteRecord);

impl<'a> Row<'a> {
    /// A field by its place.
    ///
    /// # Errors
    /// A sentence when it is not UTF-8 or not there.
    pub(crate) fn field(&self, place: usize) -> Result<&'a str, String> {
        let raw = self.0.get(place).ok_or_else(|| format!("there is no field {}", place + 1))?;
        std::str::from_utf8(raw).map_err(|_| format!("field {} is not UTF-8", place + 1))
    }
}

/// Reads a table: `header` makes of the names of the columns what `row` needs for every row. What they say of a row is
/// completed by its line.
///
/// # Errors
/// A client failure that names the file and the line.
pub(crate) fn each_row<T>(
    source: impl Read,
    shown: &str,
    delimiter: u8,
    header: impl FnOnce(&[String]) -> Result<T, String>,
    mut row: impl FnMut(&T, Row<'_>) -> Result<(), String>,
) -> Result<(), TrainFailure> {
    let wrong = |line: u64, what: String| TrainFailure::client(format!("{shown}, line {line}: {what}"));
    let broken = |e: csv::Error| {
        let line = e.position().map_or(1, csv::Position::line);
        match e.kind() {
            csv::ErrorKind::Io(e) => TrainFailure::algorithm(format!("cannot read {shown}: {e}")),
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                wrong(line, format!("{len} fields, but the header has {expected_len}"))
            }
            _ => wrong(line, e.to_string()),
        }
    };
    let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(source);
    let names = reader.byte_headers().map_err(broken)?;
    let names: Vec<String> = names
        .iter()
        .map(|name| String::from_utf8_lossy(name).trim_start_matches('\u{feff}').trim().to_owned())
        .collect();
    if names.is_empty() {
        return Err(TrainFailure::client(format!("{shown}: the file is empty; a header is expected")));
    }
    let known = header(&names).map_err(|what| wrong(1, what))?;
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(broken)? {
        let line = record.position().map_or(0, csv::Position::line);
        if record.as_slice().len() > MAX_ROW {
            return Err(wrong(
                line,
                format!("the row is longer than {MAX_ROW} bytes; is a quote not closed?"),
            ));
        }
        row(&known, Row(&record)).map_err(|what| wrong(line, what))?;
    }
    Ok(())
}

/// A field of a CSV file: in quotes where it needs them.
pub(crate) fn field(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\"")).into()
    } else {
        text.into()
    }
}
