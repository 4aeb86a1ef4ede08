//! The folder that stands for `/opt/ml`, and the only paths a script may name.
//!
//! Promises: a resolved path lies below the root even after every symbolic link in it is followed. Never: a relative
//! path, a path with `..`, or a URL.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::failure::PrepareFailure;

/// What the root is called in scripts, whatever its real place is.
const CONTRACT: &str = "/opt/ml";

/// The root of one run, with all symbolic links resolved.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    folder: PathBuf,
}

impl Root {
    /// Opens an existing folder as a root.
    pub(crate) fn open(folder: &Path) -> Result<Self, PrepareFailure> {
        let folder = folder.canonicalize().map_err(|error| {
            PrepareFailure::io(format_args!("the root folder {}", folder.display()), &error)
        })?;
        Ok(Self { folder })
    }

    /// The real folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The real place of a path as a script writes it: `/opt/ml/...`, or a real path below the root. The path itself
    /// need not exist.
    pub(crate) fn resolve(&self, written: &str) -> Result<PathBuf, PrepareFailure> {
        let refuse = |why: &str| PrepareFailure::client(format!("path '{written}': {why}"));
        if written.contains("://") || written.starts_with("file:") {
            return Err(refuse("URLs are not read or written; name a path below /opt/ml"));
        }
        let path = Path::new(written);
        let below = if let Ok(below) = path.strip_prefix(CONTRACT) {
            below
        } else if let Ok(below) = path.strip_prefix(&self.folder) {
            below
        } else {
            return Err(refuse("only paths below /opt/ml can be used"));
        };
        if below.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(refuse("'..' cannot be used"));
        }
        let resolved = self.folder.join(below);
        match self.contains(&resolved) {
            Ok(true) => Ok(resolved),
            Ok(false) => Err(refuse("it leads outside /opt/ml")),
            Err(error) => Err(PrepareFailure::io(format_args!("path '{written}'"), &error)),
        }
    }

    /// Whether a real path stays below the root once its links are followed. The part of it that does not exist yet
    /// cannot lead anywhere.
    pub(crate) fn contains(&self, path: &Path) -> io::Result<bool> {
        let mut known = path;
        loop {
            match known.canonicalize() {
                Ok(real) => return Ok(real.starts_with(&self.folder)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // A dangling link is not a path that does not exist yet: writing to it would create its target.
                    if known.symlink_metadata().is_ok_and(|found| found.file_type().is_symlink()) {
                        return Ok(false);
                    }
                    match known.parent() {
                        Some(parent) => known = parent,
                        None => return Ok(false),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A real path as the user knows it.
    pub(crate) fn display(&self, path: &Path) -> String {
        match path.strip_prefix(&self.folder) {
            Ok(below) => format!("{CONTRACT}/{}", below.display()),
            Err(_) => path.display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    #[test]
    fn paths_below_the_root_are_resolved() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let path = root.resolve("/opt/ml/processing/output/a.parquet").unwrap();
        assert_eq!(path, root.folder().join("processing/output/a.parquet"));
        assert_eq!(root.display(&path), "/opt/ml/processing/output/a.parquet");
        let real = root.folder().join("x").display().to_string();
        assert_eq!(root.resolve(&real).unwrap(), root.folder().join("x"));
    }

    #[test]
    fn everything_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        let root = Root::open(folder.path()).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("later"), folder.path().join("dangling")).unwrap();
        for path in [
            "/etc/passwd",
            "relative/x",
            "",
            "/opt/mlx/a",
            "/opt/ml/../../etc/passwd",
            "/opt/ml/a/../../x",
            "/opt/ml/link/secret",
            "/opt/ml/link/new/file",
            "/opt/ml/dangling",
            "s3://bucket/key",
            "file:///etc/passwd",
            "http://example.com/x",
        ] {
            assert!(root.resolve(path).is_err(), "{path}");
        }
    }
}
