//! Comma-separated values, as RFC 4180 has them, into columns of strings.
//!
//! Rules: the first record of every file is its header; a field in quotes may hold separators, line ends and doubled
//! quotes; a quote inside an unquoted field is an ordinary character; an empty field without quotes is NULL and one
//! with quotes an empty string; blank lines are skipped; line ends are LF or CRLF.
//!
//! Promises: a record with too few or too many fields, text after a closing quote, an unclosed quote and bytes that
//! are not UTF-8 are errors with their line; no value is changed or guessed at.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use datafusion::arrow::datatypes::SchemaRef;
use memchr::memchr;

use super::chunks::closing_quote;

/// Rows in one batch.
pub(crate) const BATCH_ROWS: usize = 8192;

/// What is wrong with a text, and on which of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Lines before the wrong one.
    pub lines_before: u64,
    /// What is wrong with it.
    pub what: String,
}

/// What a chunk held.
pub(crate) struct Parsed {
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// Lines in it.
    pub lines: u64,
}

/// The fields of one record.
enum Field<'a> {
    /// As they stand in the text.
    Plain(&'a str),
    /// From between quotes.
    Quoted(&'a str),
}

/// Reads the fields of a text one after the other.
struct Fields<'a> {
    text: &'a str,
    separator: u8,
    at: usize,
    lines: u64,
    scratch: String,
}

impl<'a> Fields<'a> {
    /// The text must be whole records.
    fn new(bytes: &'a [u8], separator: u8) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|error| Malformed {
            lines_before: count_lines(&bytes[..error.valid_up_to()]),
            what: "it is not UTF-8 text".to_owned(),
        })?;
        Ok(Self { text, separator, at: 0, lines: 0, scratch: String::new() })
    }

    fn malformed(&self, what: impl Into<String>) -> Malformed {
        Malformed { lines_before: self.lines, what: what.into() }
    }

    /// Skips blank lines; false at the end of the text.
    fn begin_record(&mut self) -> bool {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'\n') => self.at += 1,
                Some(b'\r') if bytes.get(self.at + 1) == Some(&b'\n') => self.at += 2,
                Some(_) => return true,
                None => return false,
            }
            self.lines += 1;
        }
    }

    /// Reads one field, gives it to `take`, and says whether it was the last of its record.
    #[inline]
    fn field(&mut self, take: impl FnOnce(Field<'_>)) -> Result<bool, Malformed> {
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) == Some(&b'"') {
            return self.quoted(take);
        }
        let start = self.at;
        let mut end = start;
        while let Some(&byte) = bytes.get(end) {
            if byte == self.separator {
                take(Field::Plain(self.text.get(start..end).unwrap_or_default()));
                self.at = end + 1;
                return Ok(false);
            }
            if byte == b'\n' {
                break;
            }
            end += 1;
        }
        let value = self.text.get(start..end).unwrap_or_default();
        take(Field::Plain(value.strip_suffix('\r').unwrap_or(value)));
        self.at = end + 1;
        self.lines += 1;
        Ok(true)
    }

    fn quoted(&mut self, take: impl FnOnce(Field<'_>)) -> Result<bool, Malformed> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let Some(end) = closing_quote(bytes, start) else {
            return Err(self.malformed("a quote is not closed"));
        };
        let inside = self.text.get(start..end).unwrap_or_default();
        let rest = bytes.get(end + 1..).unwrap_or_default();
        let (last, skipped) = match rest {
            [] => (true, 0),
            [byte, ..] if *byte == self.separator => (false, 1),
            [b'\n', ..] => (true, 1),
            [b'\r', b'\n', ..] => (true, 2),
            _ => return Err(self.malformed("there is text after a closing quote")),
        };
        if memchr(b'"', inside.as_bytes()).is_none() {
            take(Field::Quoted(inside));
        } else {
            self.scratch.clear();
            let mut rest = inside;
            while let Some((before, after)) = rest.split_once("\"\"") {
                self.scratch.push_str(before);
                self.scratch.push('"');
                rest = after;
            }
            self.scratch.push_str(rest);
            take(Field::Quoted(&self.scratch));
        }
        self.lines += count_lines(inside.as_bytes()) + u64::from(last);
        self.at = end + 1 + skipped;
        Ok(last)
    }
}

/// The names in the header, and where the records after it start: byte and lines before.
pub(crate) fn header(first_chunk: &[u8], separator: u8) -> Result<(Vec<String>, usize, u64), Malformed> {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    let skipped = if first_chunk.starts_with(MARK) { MARK.len() } else { 0 };
    let mut fields = Fields::new(&first_chunk[skipped..], separator)?;
    let mut names: Vec<String> = Vec::new();
    if !fields.begin_record() {
        return Err(fields.malformed("there is no header"));
    }
    let line = fields.lines;
    loop {
        let last = fields.field(|field| {
            let (Field::Plain(name) | Field::Quoted(name)) = field;
            names.push(name.to_owned());
        })?;
        if last {
            break;
        }
    }
    let wrong = |what| Malformed { lines_before: line, what };
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(wrong(format!("column {} of the header has no name", index + 1)));
        }
        if names[..index].contains(name) {
            return Err(wrong(format!("the header names column '{name}' twice")));
        }
    }
    Ok((names, skipped + fields.at.min(fields.text.len()), fields.lines))
}

/// The rows of a chunk of whole records, without the header.
pub(crate) fn parse(chunk: &[u8], separator: u8, schema: &SchemaRef) -> Result<Parsed, Malformed> {
    let columns = schema.fields().len();
    let mut fields = Fields::new(chunk, separator)?;
    let mut batches = Vec::new();
    loop {
        let mut builders: Vec<StringBuilder> =
            (0..columns).map(|_| StringBuilder::with_capacity(BATCH_ROWS, BATCH_ROWS * 4)).collect();
        let mut rows = 0;
        while rows < BATCH_ROWS && fields.begin_record() {
            record(&mut fields, &mut builders)?;
            rows += 1;
        }
        if rows > 0 {
            let arrays: Vec<ArrayRef> =
                builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
            let batch = RecordBatch::try_new(Arc::clone(schema), arrays)
                .map_err(|error| fields.malformed(error.to_string()))?;
            batches.push(batch);
        }
        if rows < BATCH_ROWS {
            return Ok(Parsed { batches, lines: fields.lines });
        }
    }
}

/// Appends one record.
#[inline]
fn record(fields: &mut Fields<'_>, builders: &mut [StringBuilder]) -> Result<(), Malformed> {
    let columns = builders.len();
    let line = fields.lines;
    let uneven = |count: usize| Malformed {
        lines_before: line,
        what: format!(
            "it has {} where the header has {columns}",
            if count > columns { format!("more than {columns} fields") } else { plural(count) }
        ),
    };
    for (index, builder) in builders.iter_mut().enumerate() {
        let last = fields.field(|field| match field {
            Field::Plain("") => builder.append_null(),
            Field::Plain(value) | Field::Quoted(value) => builder.append_value(value),
        })?;
        if last != (index + 1 == columns) {
            return Err(uneven(if last { index + 1 } else { columns + 1 }));
        }
    }
    Ok(())
}

fn plural(fields: usize) -> String {
    format!("{fields} {}", if fields == 1 { "field" } else { "fields" })
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::{DataType, Field as Column, Schema};
    use proptest::prelude::*;

    use super::*;

    type Rows = Vec<Vec<Option<String>>>;

    fn read(text: &[u8]) -> Result<(Vec<String>, Rows), Malformed> {
        let (names, start, _) = header(text, b',')?;
        let columns: Vec<Column> = names.iter().map(|name| Column::new(name, DataType::Utf8, true)).collect();
        let parsed = parse(&text[start..], b',', &Arc::new(Schema::new(columns)))?;
        let mut rows = Vec::new();
        for batch in &parsed.batches {
            for row in 0..batch.num_rows() {
                let cells =
                    batch.columns().iter().map(|column| column.as_string::<i32>().iter().nth(row).flatten());
                rows.push(cells.map(|cell| cell.map(str::to_owned)).collect());
            }
        }
        Ok((names, rows))
    }

    fn some(values: &[&str]) -> Vec<Option<String>> {
        values.iter().map(|value| Some((*value).to_owned())).collect()
    }

    #[test]
    fn quotes_line_ends_and_nulls() {
        let text = "\u{feff}id,title\r\n1,\"A Child Called \"\"It\"\", #1\"\r\n\r\n2,\"two\nlines\"\n3,5\" disk\n4,\n5,\"\"";
        let (names, rows) = read(text.as_bytes()).unwrap();
        assert_eq!(names, ["id", "title"]);
        assert_eq!(rows[0], some(&["1", "A Child Called \"It\", #1"]));
        assert_eq!(rows[1], some(&["2", "two\nlines"]));
        assert_eq!(rows[2], some(&["3", "5\" disk"]));
        assert_eq!(rows[3], vec![Some("4".to_owned()), None]);
        assert_eq!(rows[4], some(&["5", ""]));
        assert_eq!(rows.len(), 5);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let wrong = |text: &[u8]| {
            let problem = read(text).unwrap_err();
            (problem.lines_before, problem.what)
        };
        assert_eq!(wrong(b"a,,c\n"), (0, "column 2 of the header has no name".to_owned()));
        assert_eq!(wrong(b"\na,a\n"), (1, "the header names column 'a' twice".to_owned()));
        assert_eq!(wrong(b"\n"), (1, "there is no header".to_owned()));
        // Below the header, lines count from the first one after it.
        assert_eq!(wrong(b"a,b\n1,2\n3\n"), (1, "it has 1 field where the header has 2".to_owned()));
        assert_eq!(
            wrong(b"a,b\n1,2,3\n"),
            (0, "it has more than 2 fields where the header has 2".to_owned())
        );
        assert_eq!(
            wrong(b"a,b\n\"x\n\n\",2\n\"x\"y,2\n"),
            (3, "there is text after a closing quote".to_owned())
        );
        assert_eq!(wrong(b"a,b\n1,\"x\n"), (0, "a quote is not closed".to_owned()));
        assert_eq!(wrong(b"a,b\n1,2\n1,\xff\n"), (2, "it is not UTF-8 text".to_owned()));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(rows in prop::collection::vec(prop::collection::vec("[a-z\",\n\r é]{0,6}", 3), 0..20)) {
            let mut text = String::from("x,y,z\n");
            for row in &rows {
                let cells: Vec<String> = row.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
                text.push_str(&cells.join(","));
                text.push('\n');
            }
            let (_, read) = read(text.as_bytes()).unwrap();
            let expected: Rows = rows.iter().map(|row| row.iter().cloned().map(Some).collect()).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(prop::sample::select(b"a,\"\n\r\xff".to_vec()), 0..60)) {
            let _ = read(&bytes);
        }
    }
}
