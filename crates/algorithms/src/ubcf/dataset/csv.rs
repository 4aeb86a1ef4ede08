//! Ratings as CSV with a header: what channels hold, and what the chapter's requests are.
//!
//! Promises: columns are found by their names, in any order and among others; fields may be quoted. Never: reads a field
//! that goes over several lines.

use super::MAX_NAME;
use crate::ubcf::hyperparameters::Columns;

/// Most characters of a header that a message repeats.
const SHOWN: usize = 200;

/// The lines of one CSV text, one after the other.
pub(crate) struct Csv<'a> {
    columns: &'a Columns,
    /// Where user, item and rating are; known after the header.
    places: Option<[usize; 3]>,
    record: csv::ByteRecord,
}

impl<'a> Csv<'a> {
    /// A text whose header is still to come.
    pub(crate) fn new(columns: &'a Columns) -> Self {
        Self { columns, places: None, record: csv::ByteRecord::new() }
    }

    /// Takes the next line that is not blank; the first is the header, of all others `take` gets user, item and rating.
    ///
    /// # Errors
    /// For a column that is missing, a field that is none, or what `take` says.
    pub(crate) fn line(
        &mut self,
        line: &[u8],
        mut take: impl FnMut(&str, &str, f64) -> Result<(), String>,
    ) -> Result<(), String> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.contains(&b'"') {
            split_quoted(line, &mut self.record)?;
            self.fields(self.record.iter())
        } else {
            self.fields(line.split(|&byte| byte == b','))
        }
        .and_then(|read| match read {
            Read::Header(places) => {
                self.places = Some(places);
                Ok(())
            }
            Read::Rating(user, item, rating) => take(user, item, rating),
        })
    }

    fn fields<'b>(&self, fields: impl Iterator<Item = &'b [u8]> + Clone) -> Result<Read<'b>, String> {
        let Some(places) = self.places else {
            return find(fields, self.columns).map(Read::Header);
        };
        let names = [&self.columns.user, &self.columns.item, &self.columns.rating];
        let mut found = [None; 3];
        for (place, bytes) in fields.clone().enumerate() {
            for side in 0..3 {
                if places[side] == place {
                    found[side] = Some(bytes);
                }
            }
        }
        let text = |side: usize| {
            let name = names[side];
            let bytes: &[u8] = found[side].ok_or_else(|| {
                format!("the column '{name}' is missing: the line has {} field(s)", fields.clone().count())
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
        let rating = text(2)?;
        let number = rating.parse().map_err(|_| format!("the {} '{rating}' is not a number", names[2]))?;
        Ok(Read::Rating(text(0)?, text(1)?, number))
    }
}

/// What a line was.
enum Read<'a> {
    Header([usize; 3]),
    Rating(&'a str, &'a str, f64),
}

/// Takes a line with quotes apart.
fn split_quoted(line: &[u8], record: &mut csv::ByteRecord) -> Result<(), String> {
    if line.iter().filter(|&&byte| byte == b'"').count() % 2 == 1 {
        return Err("a quote is not closed; fields of several lines cannot be read".to_owned());
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(line);
    reader.read_byte_record(record).map(drop).map_err(|e| format!("not CSV: {e}"))
}

/// Where the columns are, by the fields of the header.
fn find<'a>(header: impl Iterator<Item = &'a [u8]>, columns: &Columns) -> Result<[usize; 3], String> {
    let names: Vec<String> = header
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
                let shown: String = names.join(",").chars().take(SHOWN).collect();
                Err(format!(
                    "the header has no column '{name}': it is '{shown}'. Name the columns with the hyperparameters \
                     user_column, item_column and rating_column"
                ))
            }
        }
    };
    Ok([place(&columns.user)?, place(&columns.item)?, place(&columns.rating)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triples(text: &str) -> Result<Vec<(String, String, f64)>, String> {
        let columns =
            Columns { user: "user".to_owned(), item: "book".to_owned(), rating: "stars".to_owned() };
        let mut csv = Csv::new(&columns);
        let mut list = Vec::new();
        for line in text.lines() {
            csv.line(line.as_bytes(), |user, item, rating| {
                list.push((user.to_owned(), item.to_owned(), rating));
                Ok(())
            })?;
        }
        Ok(list)
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let text =
            "\u{feff}stars,\"book\",date,user\r\n4,\"a, b\",x,7\r\n2.5,\"say \"\"hi\"\"\",y, 8 \n1,c,,9";
        let row = |user: &str, item: &str, rating| (user.to_owned(), item.to_owned(), rating);
        let want = [row("7", "a, b", 4.0), row("8", "say \"hi\"", 2.5), row("9", "c", 1.0)];
        assert_eq!(triples(text).unwrap(), want);
        assert!(triples("user,book,stars\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = format!("user,book,stars\n{},2,3\n", "x".repeat(MAX_NAME + 1));
        for (text, message) in [
            ("user,book\n", "the header has no column 'stars': it is 'user,book'. Name the columns with the"),
            ("user,user,book,stars\n", "the header names the column 'user' twice"),
            ("user,book,stars\n1,2,3\n1,2\n", "the column 'stars' is missing: the line has 2 field(s)"),
            ("user,book,stars\n1,2,good\n", "the stars 'good' is not a number"),
            ("user,book,stars\n,2,3\n", "the column 'user' is empty"),
            ("user,book,stars\n1,\"2,3\n", "a quote is not closed"),
            (&long, "the column 'user' is longer than 256 bytes"),
        ] {
            let what = triples(text).unwrap_err();
            assert!(what.starts_with(message), "{what}");
        }
    }
}
