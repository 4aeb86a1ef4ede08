//! From the folders below `processing/input` to tables.
//!
//! A folder or file `processing/input/<name>` (any but `code`) becomes the table `<name>`. Text (CSV, JSON lines) is
//! read once, into memory or, when it does not fit, into Parquet files that are removed at the end. Parquet stays where
//! it is.
//!
//! Promises: every input becomes a table or the run fails with the name of the input and what is wrong with it (a CSV
//! file with nothing but its header is a table without rows, a file without content is an error); files
//! whose names begin with `.` or `_` are markers, not data, and are skipped; symbolic links that lead outside the
//! root are refused.

mod chunks;
mod csv;
mod format;
mod json;
mod parquet;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::PrepareFailure;
use crate::root::Root;

pub(crate) use self::format::Format;
pub(crate) use self::parquet::open as open_parquet;
pub(crate) use self::text::TextTable;

/// Where inputs lie, below the root.
const INPUT: &str = "processing/input";

/// The folder there that holds the script.
const CODE: &str = "code";

/// The most tables one run may have as inputs.
const MAX_INPUTS: usize = 200;

/// The most files one input may have.
const MAX_FILES: usize = 100_000;

/// How deep folders below an input may be nested.
const MAX_DEPTH: usize = 16;

/// One input: a table to be.
#[derive(Debug)]
pub(crate) struct Input {
    /// The table's name: that of the folder, or of the file without its extensions.
    pub name: String,
    /// The folder or file itself.
    pub path: PathBuf,
    /// Its data files, sorted by path.
    pub files: Vec<PathBuf>,
    /// Bytes in the files.
    pub bytes: u64,
    /// What all its files are.
    pub format: Format,
}

/// All inputs of a run, sorted by name.
pub(crate) fn discover(root: &Root) -> Result<Vec<Input>, PrepareFailure> {
    let folder = root.folder().join(INPUT);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut inputs: Vec<Input> = Vec::new();
    for path in children(&folder, root)? {
        let name = table_name(&path);
        if name == CODE && path.is_dir() {
            continue;
        }
        if inputs.len() >= MAX_INPUTS {
            return Err(PrepareFailure::client(format!("more than {MAX_INPUTS} inputs")));
        }
        let input = collect(name, path, root)?;
        if inputs.iter().any(|other| other.name == input.name) {
            return Err(PrepareFailure::client(format!("two inputs are named '{}'", input.name)));
        }
        inputs.push(input);
    }
    inputs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(inputs)
}

/// The name of the table for a folder or file.
fn table_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if path.is_dir() {
        return name;
    }
    let known =
        |extension: &str| Format::from_extension(extension).is_some() || extension.eq_ignore_ascii_case("gz");
    let mut stem = name.as_str();
    while let Some((shorter, extension)) = stem.rsplit_once('.') {
        if shorter.is_empty() || !known(extension) {
            break;
        }
        stem = shorter;
    }
    stem.to_owned()
}

/// The entries of a folder that are data, sorted, each checked to lie below the root.
fn children(folder: &Path, root: &Root) -> Result<Vec<PathBuf>, PrepareFailure> {
    let shown = root.display(folder);
    let trouble = |error| PrepareFailure::io(format_args!("reading the folder {shown}"), &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(trouble)? {
        let path = entry.map_err(trouble)?.path();
        let hidden = path.file_name().is_some_and(|name| {
            name.as_encoded_bytes().starts_with(b".") || name.as_encoded_bytes().starts_with(b"_")
        });
        if hidden {
            continue;
        }
        if !root.contains(&path).map_err(trouble)? {
            return Err(PrepareFailure::client(format!(
                "{} is a link that leads outside /opt/ml",
                root.display(&path)
            )));
        }
        found.push(path);
    }
    found.sort();
    Ok(found)
}

fn collect(name: String, path: PathBuf, root: &Root) -> Result<Input, PrepareFailure> {
    let mut files = Vec::new();
    walk(&path, root, &name, MAX_DEPTH, &mut files)?;
    let mut bytes = 0;
    let mut format: Option<(Format, &PathBuf)> = None;
    for file in &files {
        let trouble =
            |error| PrepareFailure::io(format_args!("input '{name}': file {}", root.display(file)), &error);
        bytes += fs::metadata(file).map_err(trouble)?.len();
        let this = Format::recognise(file).map_err(trouble)?;
        match format {
            Some((other, first)) if other != this => {
                return Err(PrepareFailure::client(format!(
                    "input '{name}': {} is {other} but {} is {this}; an input holds files of one kind",
                    root.display(first),
                    root.display(file)
                )));
            }
            _ => format = Some((this, file)),
        }
    }
    let Some((format, _)) = format.filter(|_| bytes > 0) else {
        return Err(PrepareFailure::client(format!(
            "input '{name}' is empty: {} holds no data",
            root.display(&path)
        )));
    };
    Ok(Input { name, path, files, bytes, format })
}

fn walk(
    path: &Path,
    root: &Root,
    name: &str,
    depth: usize,
    files: &mut Vec<PathBuf>,
) -> Result<(), PrepareFailure> {
    if !path.is_dir() {
        if files.len() >= MAX_FILES {
            return Err(PrepareFailure::client(format!("input '{name}' has more than {MAX_FILES} files")));
        }
        files.push(path.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Err(PrepareFailure::client(format!(
            "input '{name}': folders are nested deeper than {MAX_DEPTH}: {}",
            root.display(path)
        )));
    }
    children(path, root)?.iter().try_for_each(|child| walk(child, root, name, depth - 1, files))
}
