//! Reading the titles: CSV with a header, or JSON lines with the same names as keys.
//!
//! Promises: every title has an id, no id occurs twice. An id that occurs again keeps its first title: catalogues repeat
//! books, and joins do.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::hyperparameters::Hyperparameters;
use crate::TrainFailure;
use crate::contract::{Folders, csv, each_line, open};

/// The channel of the titles.
pub(super) const CHANNEL: &str = "train";
/// Names of the column of ids that are looked for, in this order.
const ID_COLUMNS: [&str; 5] = ["book_id", "item_id", "item", "id", "title_id"];
/// Most titles: a title costs its text and its vector, which is 1.2 kB at 300 numbers.
const MAX_TITLES: usize = 5_000_000;

/// The titles of the channel.
#[derive(Debug, Default)]
pub(super) struct Titles {
    pub ids: Vec<String>,
    pub titles: Vec<String>,
    /// Rows whose id had occurred before.
    pub repeated: usize,
    seen: HashSet<String>,
}

impl Titles {
    fn add(&mut self, id: &str, title: &str) -> Result<(), String> {
        if id.is_empty() {
            return Err("the id is empty".to_owned());
        }
        if self.ids.len() == MAX_TITLES {
            return Err(format!("a channel may have at most {MAX_TITLES} titles"));
        }
        if self.seen.insert(id.to_owned()) {
            self.ids.push(id.to_owned());
            self.titles.push(title.to_owned());
        } else {
            self.repeated += 1;
        }
        Ok(())
    }
}

/// Reads all files of the channel.
///
/// # Errors
/// A client failure that names the file, the line and the column.
pub(super) fn read(folders: &Folders<'_>, h: &Hyperparameters) -> Result<Titles, TrainFailure> {
    let files = folders.files(CHANNEL)?;
    let mut titles = Titles::default();
    for (path, shown) in &files {
        if begins_with_brace(path, shown)? {
            each_line(path, shown, |line| add_object(line, h, &mut titles))?;
        } else {
            read_csv(path, shown, h, &mut titles)?;
        }
    }
    if titles.ids.is_empty() {
        return Err(TrainFailure::client(format!(
            "The channel '{CHANNEL}' has no titles: {} file(s) were found in it",
            files.len()
        )));
    }
    Ok(titles)
}

/// Whether a file's first character that is no space opens an object.
fn begins_with_brace(path: &Path, shown: &str) -> Result<bool, TrainFailure> {
    let mut head = Vec::new();
    let read = open(path, shown)?.take(4096).read_to_end(&mut head);
    read.map_err(|e| TrainFailure::algorithm(format!("cannot read {shown}: {e}")))?;
    Ok(head.trim_ascii_start().starts_with(b"{"))
}

fn read_csv(path: &Path, shown: &str, h: &Hyperparameters, titles: &mut Titles) -> Result<(), TrainFailure> {
    let columns = |names: &[String]| -> Result<(usize, usize), String> {
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let all = names.join(", ");
        let missing = |name: &str, which: &str| {
            format!("there is no column '{name}' among [{all}]. Set the hyperparameter '{which}'")
        };
        let title = place(&h.title_column).ok_or_else(|| missing(&h.title_column, "title_column"))?;
        let id = match &h.id_column {
            Some(name) => place(name).ok_or_else(|| missing(name, "id_column"))?,
            None => ID_COLUMNS
                .into_iter()
                .find_map(place)
                .ok_or_else(|| missing(&ID_COLUMNS.join("' or '"), "id_column"))?,
        };
        Ok((id, title))
    };
    csv::each_row(open(path, shown)?, shown, h.delimiter, columns, |&(id, title), row| {
        titles.add(row.field(id)?.trim(), row.field(title)?.trim())
    })
}

fn add_object(line: &[u8], h: &Hyperparameters, titles: &mut Titles) -> Result<(), String> {
    let object: Map<String, Value> =
        serde_json::from_slice(line).map_err(|e| format!("it is not a JSON object: {e}"))?;
    let missing = |name: &str| format!("key '{name}' is missing");
    let title = object.get(&h.title_column).ok_or_else(|| missing(&h.title_column))?;
    let title = title.as_str().ok_or_else(|| format!("key '{}': {title} is not a text", h.title_column))?;
    let (name, id) = match &h.id_column {
        Some(name) => object.get_key_value(name).ok_or_else(|| missing(name))?,
        None => ID_COLUMNS
            .into_iter()
            .find_map(|name| object.get_key_value(name))
            .ok_or_else(|| missing(&ID_COLUMNS.join("' or '")))?,
    };
    let id = text_of(id).ok_or_else(|| format!("key '{name}': {id} is not a text or a number"))?;
    titles.add(id.trim(), title.trim())
}

/// An id as text; ids may be numbers in JSON.
pub(super) fn text_of(id: &Value) -> Option<String> {
    match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_with(pairs: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Titles, String> {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("input/data/train");
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let h = Hyperparameters::from_pairs(&pairs).unwrap();
        read(&Folders(root.path()), &h).map_err(|failure| failure.to_string())
    }

    #[test]
    fn csv_and_json_lines_say_the_same() {
        let csv =
            "\u{feff}book_id,authors,title\n7,x,\"Emma, or \"\"so\"\"\"\n8,y,\"Two\nlines\"\n7,x,Other\n";
        let json = "{\"title\": \"Emma, or \\\"so\\\"\", \"book_id\": 7}\n\n{\"book_id\": \"8\", \"title\": \"Two\\nlines\"}\n";
        for (text, repeated) in [(csv, 1), (json, 0)] {
            let titles = read_with(&[], &[("books", text)]).unwrap();
            assert_eq!(titles.ids, ["7", "8"]);
            assert_eq!(titles.titles, ["Emma, or \"so\"", "Two\nlines"]);
            assert_eq!(titles.repeated, repeated);
        }
        let both = [("a.csv", "item;name\n1;One\n"), ("b.jsonl", "{\"item\":2,\"name\":\"Two\"}")];
        let titles = read_with(&[("title_column", "name"), ("csv_delimiter", "semicolon")], &both).unwrap();
        assert_eq!((titles.ids.join(","), titles.titles.join(",")), ("1,2".into(), "One,Two".into()));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let refused = |pairs: &[(&str, &str)], text: &str| read_with(pairs, &[("b", text)]).unwrap_err();
        for (got, want) in [
            (refused(&[], "id,name\n1,x\n"), "train/b, line 1: there is no column 'title' among [id, name]"),
            (refused(&[], "nr,title\n1,x\n"), "train/b, line 1: there is no column 'book_id' or 'item_id'"),
            (refused(&[("id_column", "nr")], "id,title\n1,x\n"), "train/b, line 1: there is no column 'nr'"),
            (refused(&[], "id,title\n1,x\n2\n"), "train/b, line 3: 1 fields, but the header has 2"),
            (refused(&[], "id,title\n,x\n"), "train/b, line 2: the id is empty"),
            (refused(&[], "{\"id\": 1}"), "train/b, line 1: key 'title' is missing"),
            (refused(&[], "{\"id\": 1, \"title\": 2}"), "train/b, line 1: key 'title': 2 is not a text"),
            (
                refused(&[], "{\"id\": [], \"title\": \"x\"}"),
                "train/b, line 1: key 'id': [] is not a text or a number",
            ),
            (refused(&[], "id,title\n"), "The channel 'train' has no titles: 1 file(s)"),
        ] {
            assert!(got.starts_with(&format!("ClientError: {want}")), "{got}");
        }
    }
}
