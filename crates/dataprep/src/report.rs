//! The lines a run prints: counts, sizes and small tables.
//!
//! Promises: a line is written whole and flushed, because a log follower shows it while the job runs; a printed table
//! has at most [`SHOWN_ROWS`] rows and its cells a bounded width.

use std::fmt::Arguments;
use std::io::Write;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::failure::PrepareFailure;

/// The most rows of a result that are printed.
pub(crate) const SHOWN_ROWS: usize = 40;

/// The most characters of a cell that are printed.
const SHOWN_CHARACTERS: usize = 120;

/// Prints one line.
pub(crate) fn line(stdout: &mut (dyn Write + Send), text: Arguments<'_>) -> Result<(), PrepareFailure> {
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(|error| PrepareFailure::io("writing the log", &error))
}

/// A count with separators: `5,976,479`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`.
pub(crate) fn rows(value: u64) -> String {
    format!("{} {}", count(value), if value == 1 { "row" } else { "rows" })
}

/// A size in bytes, as people read it.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{:.0} kB", bytes as f64 / 1e3),
        10_000_000..=9_999_999_999 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// At most `bytes` bytes of a text, cut between characters.
pub(crate) fn clip(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// The rows of `batches` as an aligned table with a heading; an empty list gives an empty text.
pub(crate) fn table(batches: &[RecordBatch]) -> Result<String, PrepareFailure> {
    let Some(first) = batches.first() else {
        return Ok(String::new());
    };
    let broken = |error| PrepareFailure::internal(format!("printing a result: {error}"));
    let heading: Vec<String> = first.schema().fields().iter().map(|field| cell(field.name())).collect();
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = vec![heading];
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()
            .map_err(broken)?;
        for row in 0..batch.num_rows() {
            let cells =
                columns.iter().map(|column| column.value(row).try_to_string().map(|text| cell(&text)));
            lines.push(cells.collect::<Result<_, _>>().map_err(broken)?);
        }
    }
    Ok(align(&lines))
}

/// One cell: on one line, clipped.
fn cell(text: &str) -> String {
    let mut shown: String =
        text.chars().take(SHOWN_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let padded: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str("  ");
        text.push_str(padded.join(" | ").trim_end());
        text.push('\n');
        if index == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            text.push_str("  ");
            text.push_str(&rule.join("-+-"));
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn counts_and_sizes() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(5_976_479), "5,976,479");
        assert_eq!(rows(1), "1 row");
        assert_eq!(size(72_489_242), "72 MB");
        assert_eq!(clip("äöü", 3), "ä");
    }

    #[test]
    fn a_table_is_aligned_and_clipped() {
        let batch = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef),
            ("title", Arc::new(StringArray::from(vec!["a\nb".to_owned(), "x".repeat(200)])) as ArrayRef),
        ])
        .unwrap();
        let text = table(&[batch]).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[2], "  1    | a b");
        assert!(lines[3].starts_with("  NULL | xxx") && lines[3].ends_with("x…"));
        assert_eq!(table(&[]).unwrap(), "");
    }
}
