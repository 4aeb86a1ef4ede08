//! Reads the ratings of a channel: CSV with a header, or JSON lines, in any number of files.
//!
//! Promises: a failure names the file, the line and the column; files are read in the order of their paths. Never:
//! holds more than a line of a file.

mod csv;
mod line;

use std::path::Path;

use serde_json::Value;

use super::ALGORITHM_NAME;
use super::hyperparameters::Columns;
use super::ratings::Collected;
use crate::TrainFailure;
use crate::contract::{each_line, files};
pub(crate) use csv::Csv;
pub(crate) use line::name;

/// Longest name of a user or item, in bytes.
const MAX_NAME: usize = 256;

/// How a channel's files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// All are CSV.
    Csv,
    /// All are JSON lines.
    JsonLines,
    /// Names that end in .jsonl, .json or .ndjson are JSON lines, all others CSV.
    ByName,
}

/// The format that an entry of `inputdataconfig.json` states.
///
/// # Errors
/// A client failure for another one, and for records in wrappers.
pub(crate) fn format(name: &str, channel: Option<&Value>) -> Result<Format, TrainFailure> {
    let text = |key: &str| channel.and_then(|it| it.get(key)).and_then(Value::as_str).unwrap_or_default();
    if !matches!(text("RecordWrapperType"), "" | "None") {
        return Err(TrainFailure::client(format!(
            "The channel '{name}' has the record wrapper '{}'. Use None",
            text("RecordWrapperType")
        )));
    }
    match text("ContentType").split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "application/octet-stream" => Ok(Format::ByName),
        "text/csv" | "csv" => Ok(Format::Csv),
        "application/jsonlines" | "application/x-jsonlines" => Ok(Format::JsonLines),
        other => Err(TrainFailure::client(format!(
            "The channel '{name}' has the content type '{other}', but {ALGORITHM_NAME} reads text/csv and \
             application/jsonlines"
        ))),
    }
}

/// Reads the channel `name` in the folder `folder`.
///
/// # Errors
/// A client failure for missing, empty or malformed data; an algorithm failure when the machine cannot read it.
pub(crate) fn read_channel(
    name: &str,
    folder: &Path,
    format: Format,
    columns: &Columns,
) -> Result<Collected, TrainFailure> {
    let files = files(name, folder)?;
    let mut ratings = Collected::new();
    for (path, shown) in &files {
        let lines = match format {
            Format::Csv => false,
            Format::JsonLines => true,
            Format::ByName => path
                .extension()
                .and_then(|extension| extension.to_str())
                .is_some_and(|extension| matches!(extension, "jsonl" | "json" | "ndjson")),
        };
        if lines {
            each_line(path, shown, |line| {
                let (user, item, rating) = line::parse(line, columns)?;
                ratings.push(&user, &item, rating)
            })?;
        } else {
            let mut csv = Csv::new(columns);
            each_line(path, shown, |line| {
                csv.line(line, |user, item, rating| ratings.push(user, item, rating))
            })?;
        }
    }
    if ratings.len() == 0 {
        return Err(TrainFailure::client(format!(
            "The channel '{name}' has no ratings: {} file(s) were found in it",
            files.len()
        )));
    }
    Ok(ratings)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn read(given: &[(&str, &str)], format: Format) -> Result<Collected, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in given {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let columns = Columns { user: "u".to_owned(), item: "i".to_owned(), rating: "r".to_owned() };
        read_channel("train", folder.path(), format, &columns).map_err(|failure| failure.to_string())
    }

    #[test]
    fn files_of_both_kinds_are_one_table() {
        let files = [
            ("a.csv", "u,i,r\n2,x,4\n10,x,2\n"),
            ("b.csv", "r,u,i\n5,2,x\n"),
            ("c.jsonl", "{\"u\": 10, \"i\": \"y\", \"r\": 1}\n\n"),
            (".hidden", "no"),
        ];
        let (table, users, items) = read(&files, Format::ByName).unwrap().finish();
        assert_eq!((table.rows(), table.len(), users.find("10"), items.find("y")), (2, 3, Some(1), Some(1)));
        assert_eq!(table.row(0).collect::<Vec<_>>(), [(0, 4.5)]);
    }

    #[test]
    fn failures_name_file_and_line() {
        let message = |files: &[(&str, &str)], format| read(files, format).err().unwrap();
        assert_eq!(
            message(&[("a.csv", "u,i,r\n1,2,3\n"), ("b.csv", "u,i,r\n1,2,3\n1,2,NaN\n")], Format::Csv),
            "ClientError: train/b.csv, line 3: the rating NaN is not a number"
        );
        assert_eq!(
            message(&[("a", "{\"u\": 1, \"i\": 2, \"r\": 3}\n{\"u\": 1}\n")], Format::JsonLines),
            "ClientError: train/a, line 2: key 'r' is missing"
        );
        assert_eq!(
            message(&[("a.csv", "u,i,r\n")], Format::ByName),
            "ClientError: The channel 'train' has no ratings: 1 file(s) were found in it"
        );
    }

    #[test]
    fn content_types_choose_the_format() {
        let of = |kind: &str| format("train", Some(&json!({"ContentType": kind})));
        assert_eq!(of("text/csv; charset=utf-8"), Ok(Format::Csv));
        assert_eq!(of("application/jsonlines"), Ok(Format::JsonLines));
        assert_eq!(of(""), Ok(Format::ByName));
        assert_eq!(format("train", None), Ok(Format::ByName));
        let refused = of("application/x-parquet").unwrap_err().message;
        assert!(refused.ends_with("but ubcf reads text/csv and application/jsonlines"), "{refused}");
        assert!(format("train", Some(&json!({"RecordWrapperType": "RecordIO"}))).is_err());
    }
}
