//! Ratings as CSV with a header: what channels hold, and what the chapter's requests are.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use csv::ByteRecord;

use super::{MAX_NAME, MAX_RECORD};
use crate::ubcf::hyperparameters::Columns;

/// Why a CSV text cannot be used.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Its content, at a line counted from 1.
    Data(u64, String),
    /// The file system.
    Io(io::Error),
}

/// Calls `take` with user, item and rating of every record of a CSV text, whose header names the columns.
///
/// # Errors
/// For a column that is missing, a field that is none, or what `take` says.
pub(crate) fn read(
    source: impl Read,
    columns: &Columns,
    mut take: impl FnMut(&str, &str, f64) -> Result<(), String>,
) -> Result<(), Broken> {
    let since = Rc::new(Cell::new(0));
    let source = Bounded { source, since: Rc::clone(&since) };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 16)
        .from_reader(source);
    let mut record = ByteRecord::new();
    let mut places = None;
    while reader.read_byte_record(&mut record).map_err(|e| broken(e, reader.position().line()))? {
        since.set(0);
        let line = record.position().map_or(1, csv::Position::line);
        let at = |what: String| Broken::Data(line, what);
        let Some(places) = &places else {
            places = Some(find(&record, columns).map_err(at)?);
            continue;
        };
        fields(&record, places, columns)
            .and_then(|(user, item, rating)| take(user, item, rating))
            .map_err(at)?;
    }
    Ok(())
}

fn broken(error: csv::Error, line: u64) -> Broken {
    match error.into_kind() {
        csv::ErrorKind::Io(e) if e.kind() == io::ErrorKind::InvalidData => Broken::Data(line, e.to_string()),
        csv::ErrorKind::Io(e) => Broken::Io(e),
        other => Broken::Data(line, format!("not CSV: {other:?}")),
    }
}

/// Where the columns are.
fn find(header: &ByteRecord, columns: &Columns) -> Result<[usize; 3], String> {
    let names: Vec<String> = header
        .iter()
        .map(|field| {
            let field = field.strip_prefix("\u{feff}".as_bytes()).unwrap_or(field);
            String::from_utf8_lossy(field).trim().to_owned()
        })
        .collect();
    let place = |name: &String| {
        let mut found = names.iter().enumerate().filter(|(_, known)| *known == name).map(|(place, _)| place);
        match (found.next(), found.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(format!("the header names the column '{name}' twice")),
            (None, _) => {
                let shown: String = names.join(",").chars().take(200).collect();
                Err(format!(
                    "the header has no column '{name}': it is '{shown}'. Name the columns with the hyperparameters \
                     user_column, item_column and rating_column"
                ))
            }
        }
    };
    Ok([place(&columns.user)?, place(&columns.item)?, place(&columns.rating)?])
}

/// User, item and rating of a record.
fn fields<'a>(
    record: &'a ByteRecord,
    [user, item, rating]: &[usize; 3],
    columns: &Columns,
) -> Result<(&'a str, &'a str, f64), String> {
    let field = |place: usize, name: &str| {
        let bytes = record.get(place).ok_or_else(|| {
            let count = record.len();
            format!("the column '{name}' is missing: the line has {count} field(s)")
        })?;
        let text =
            std::str::from_utf8(bytes).map_err(|_| format!("the column '{name}' is not UTF-8"))?.trim();
        match text.len() {
            0 => Err(format!("the column '{name}' is empty")),
            length if length > MAX_NAME => {
                Err(format!("the column '{name}' is longer than {MAX_NAME} bytes"))
            }
            _ => Ok(text),
        }
    };
    let text = field(*rating, &columns.rating)?;
    let number = text.parse().map_err(|_| format!("the {} '{text}' is not a number", columns.rating))?;
    Ok((field(*user, &columns.user)?, field(*item, &columns.item)?, number))
}

/// Ends the reading when a record does not end: an opened quote would take in the rest of the file.
struct Bounded<R> {
    source: R,
    since: Rc<Cell<usize>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since.get() > MAX_RECORD {
            let what = format!("the record is longer than {MAX_RECORD} bytes. Is a quote not closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let size = self.source.read(buffer)?;
        self.since.set(self.since.get() + size);
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        Columns { user: "user".to_owned(), item: "book".to_owned(), rating: "stars".to_owned() }
    }

    fn triples(text: &str) -> Result<Vec<(String, String, f64)>, (u64, String)> {
        let mut list = Vec::new();
        let done = read(text.as_bytes(), &columns(), |user, item, rating| {
            list.push((user.to_owned(), item.to_owned(), rating));
            Ok(())
        });
        match done {
            Ok(()) => Ok(list),
            Err(Broken::Data(line, what)) => Err((line, what)),
            Err(Broken::Io(e)) => panic!("{e}"),
        }
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let text =
            "\u{feff}stars, \"book\",date,user\r\n4,\"a, b\",x,7\r\n\r\n2.5,\"say \"\"hi\"\"\",y, 8 \r\n";
        let row = |user: &str, item: &str, rating| (user.to_owned(), item.to_owned(), rating);
        let text = text.replace(", \"book\"", ",\"book\"");
        assert_eq!(triples(&text).unwrap(), [row("7", "a, b", 4.0), row("8", "say \"hi\"", 2.5)]);
        assert!(triples("").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let lines = [
            (
                "user,book\n",
                1,
                "the header has no column 'stars': it is 'user,book'. Name the columns with the",
            ),
            ("user,user,book,stars\n", 1, "the header names the column 'user' twice"),
            ("user,book,stars\n1,2,3\n1,2\n", 3, "the column 'stars' is missing: the line has 2 field(s)"),
            ("user,book,stars\n1,2,good\n", 2, "the stars 'good' is not a number"),
            ("user,book,stars\n\n,2,3\n", 3, "the column 'user' is empty"),
        ];
        for (text, line, message) in lines {
            let (at, what) = triples(text).unwrap_err();
            assert!(at == line && what.starts_with(message), "{at}: {what}");
        }
        let long = format!("user,book,stars\n1,\"2,3\n{}", "4,5,6\n".repeat(MAX_RECORD / 3));
        let (_, what) = triples(&long).unwrap_err();
        assert!(what.ends_with("Is a quote not closed?"), "{what}");
        let (_, what) = triples(&format!("user,book,stars\n{},2,3\n", "x".repeat(MAX_NAME + 1))).unwrap_err();
        assert_eq!(what, format!("the column 'user' is longer than {MAX_NAME} bytes"));
    }
}
