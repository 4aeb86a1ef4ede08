//! Reading the audit log, oldest line first.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Entry;
use super::writer::CURRENT;

/// Which lines are wanted: all that are set must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Not before.
    pub since: Option<OffsetDateTime>,
    /// Of this access key.
    pub key: Option<String>,
    /// Of this operation, with or without its service: `CreateModel` or `sagemaker:CreateModel`.
    pub operation: Option<String>,
    /// Refused for who asked.
    pub denied: bool,
}

impl Filter {
    fn wants(&self, entry: &Entry) -> bool {
        let recent = self
            .since
            .is_none_or(|since| OffsetDateTime::parse(&entry.time, &Rfc3339).is_ok_and(|time| time >= since));
        // What is missing could have been anything.
        if entry.lost > 0 {
            return recent;
        }
        recent
            && self.key.as_ref().is_none_or(|key| *key == entry.access_key_id)
            && self.operation.as_ref().is_none_or(|wanted| {
                *wanted == entry.operation || *wanted == format!("{}:{}", entry.service, entry.operation)
            })
            && (!self.denied || entry.is_denied())
    }
}

/// The rotated files, oldest first.
pub(super) fn rotated(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("audit-") && name.ends_with(".jsonl") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Calls `tell` with every wanted line of the data folder `root`, oldest first. A line that is cut off, as a
/// loss of power leaves it, is passed over.
///
/// # Errors
/// Of the file system, or of `tell`.
pub fn read(root: &Path, filter: &Filter, mut tell: impl FnMut(Entry) -> io::Result<()>) -> io::Result<()> {
    let folder = root.join("audit");
    let mut files = rotated(&folder)?;
    files.push(folder.join(CURRENT));
    for path in files {
        let file = match File::open(&path) {
            Ok(file) => file,
            // Removed by a rotation since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).split(b'\n') {
            let Ok(entry) = serde_json::from_slice::<Entry>(&line?) else { continue };
            if filter.wants(&entry) {
                tell(entry)?;
            }
        }
    }
    Ok(())
}
