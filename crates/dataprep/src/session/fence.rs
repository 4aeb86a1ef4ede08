//! What a statement may name: only files below the root, and only settings that keep the fence standing.
//!
//! Promises: every path in a statement is replaced by the real one below the root or the statement is refused; a
//! folder that already holds files is not written to, since a query that reads it would mix old rows with new ones.

use std::fs;
use std::path::PathBuf;

use datafusion::sql::parser::{CopyToStatement, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{Set, Statement as Standard};

use super::Session;
use crate::failure::PrepareFailure;

/// Settings a script may not touch: they name folders and limits of the machine.
const FENCED_SETTINGS: [&str; 2] = ["datafusion.runtime", "datafusion.catalog"];

impl Session {
    /// Resolves the paths in a statement; gives the folder or file a `COPY` will write.
    pub(super) fn fence(&self, parsed: &mut Parsed) -> Result<Option<PathBuf>, PrepareFailure> {
        match parsed {
            Parsed::CopyTo(copy) => self.fence_copy(copy).map(Some),
            Parsed::CreateExternalTable(table) => {
                for location in &mut table.locations {
                    let slash = if location.ends_with('/') { "/" } else { "" };
                    *location = format!("{}{slash}", self.root.resolve(location)?.display());
                }
                Ok(None)
            }
            Parsed::Explain(explain) => self.fence(&mut explain.statement),
            Parsed::Reset(_) => Ok(None),
            Parsed::Statement(statement) => {
                if let Standard::Set(set) = statement.as_ref() {
                    fence_setting(set)?;
                }
                Ok(None)
            }
        }
    }

    /// A path with an extension is one file, which is replaced; any other is a folder, which must be new or written
    /// by this run only.
    fn fence_copy(&self, copy: &mut CopyToStatement) -> Result<PathBuf, PrepareFailure> {
        let written = copy.target.clone();
        let path = self.root.resolve(&written)?;
        let one_file =
            copy.partitioned_by.is_empty() && !written.ends_with('/') && path.extension().is_some();
        if one_file {
            if path.is_dir() {
                return Err(PrepareFailure::client(format!(
                    "path '{written}' is a folder; a file was to be written"
                )));
            }
            copy.target = path.display().to_string();
            return Ok(path);
        }
        let holds_files = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
        if holds_files && !self.written.contains(&path) {
            return Err(PrepareFailure::client(format!(
                "folder '{written}' already holds files; write to a new one"
            )));
        }
        copy.target = format!("{}/", path.display());
        Ok(path)
    }
}

fn fence_setting(set: &Set) -> Result<(), PrepareFailure> {
    let text = set.to_string().to_ascii_lowercase().replace(['"', '`'], "");
    match FENCED_SETTINGS.iter().find(|name| text.contains(*name)) {
        Some(name) => Err(PrepareFailure::client(format!(
            "settings under {name} cannot be changed by a script; see --memory-limit and --threads"
        ))),
        None => Ok(()),
    }
}
