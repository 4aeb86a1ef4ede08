//! Objects into folders before a run, folders into objects after it.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use sagebrush_object_store::{Error, ObjectStore};

/// Why inputs could not be laid out or outputs stored.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Nothing lies under the prefix.
    #[error("No S3 objects found under S3 URL \"s3://{bucket}/{prefix}\" given in input data source.")]
    NoObjects {
        /// Bucket of the source.
        bucket: String,
        /// Prefix of the source.
        prefix: String,
    },
    /// A key that cannot become a file, such as one with `..` in it.
    #[error("The S3 key \"{0}\" cannot be laid out as a file.")]
    Key(String),
    /// The object store refused or failed.
    #[error("{0}")]
    Store(#[from] Error),
    /// The file system failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What was laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staged {
    /// Number of files.
    pub files: usize,
    /// Their size together, bytes.
    pub bytes: u64,
}

/// Which part of a source's objects a host gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shard {
    /// Every object (FullyReplicated).
    All,
    /// Every `of`-th object beginning with the `index`-th (ShardedByS3Key).
    Part {
        /// This host's place, from 0.
        index: usize,
        /// Number of hosts.
        of: usize,
    },
}

/// Copies the objects under a prefix into `folder`, which is created.
///
/// Files are named by what follows the prefix's last `/`, or by what follows the whole prefix where
/// it names a folder, as SageMaker's File mode does. Keys that end in `/` are folder markers and
/// passed over.
///
/// # Errors
/// `NoObjects` when nothing lies there; `Key`, `Store` or `Io`.
pub async fn stage_prefix(
    objects: &ObjectStore,
    bucket: &str,
    prefix: &str,
    shard: Shard,
    folder: &Path,
) -> Result<Staged, StageError> {
    fs::create_dir_all(folder)?;
    let found: Vec<_> = objects
        .list_all(bucket, prefix)
        .await?
        .into_iter()
        .filter(|object| !object.key.ends_with('/'))
        .collect();
    if found.is_empty() {
        return Err(StageError::NoObjects { bucket: bucket.into(), prefix: prefix.into() });
    }
    let mut staged = Staged { files: 0, bytes: 0 };
    for (place, object) in found.iter().enumerate() {
        if let Shard::Part { index, of } = shard
            && place % of != index
        {
            continue;
        }
        let target = folder.join(local_name(&object.key, prefix)?);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        objects.fetch_object_to(bucket, &object.key, &target).await?;
        staged.files += 1;
        staged.bytes += object.size;
    }
    Ok(staged)
}

/// What a key that begins with `prefix` is called below it: what follows the prefix where that names
/// a folder, and what follows its last `/` otherwise.
pub fn relative_name<'a>(key: &'a str, prefix: &str) -> &'a str {
    let rest = key.strip_prefix(prefix).unwrap_or(key);
    if let Some(below) = rest.strip_prefix('/') {
        below
    } else if prefix.ends_with('/') || prefix.is_empty() {
        rest
    } else {
        key.get(prefix.rfind('/').map_or(0, |slash| slash + 1)..).unwrap_or(key)
    }
}

fn local_name(key: &str, prefix: &str) -> Result<PathBuf, StageError> {
    let mut path = PathBuf::new();
    for part in relative_name(key, prefix).split('/') {
        if part.is_empty() || part == "." || part == ".." {
            return Err(StageError::Key(key.into()));
        }
        path.push(part);
    }
    Ok(path)
}

/// Stores every plain file under `folder` as an object below `prefix`; returns how many. A folder
/// that is not there has no files. Links are passed over.
///
/// # Errors
/// `Store` or `Io`.
pub async fn store_folder(
    objects: &ObjectStore,
    folder: &Path,
    bucket: &str,
    prefix: &str,
) -> Result<usize, StageError> {
    let mut stored = 0;
    for (path, name) in plain_files(folder)? {
        let key = if prefix.is_empty() { name } else { format!("{}/{name}", prefix.trim_end_matches('/')) };
        objects.store_file(bucket, &key, &path, "binary/octet-stream").await?;
        stored += 1;
    }
    Ok(stored)
}

/// Is it a folder itself, and not a link to one? What a job left may lead out of the job's folder.
pub fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|data| data.is_dir())
}

/// Opens a plain file below a folder for reading, while a program may be changing what lies there: no link is followed
/// at any step, and what is no plain file is refused.
///
/// # Errors
/// Any error of the file system, links among them.
pub fn open_beneath(folder: &Path, name: &str) -> std::io::Result<fs::File> {
    let at = rustix::fs::open(folder, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    // Opening a pipe would wait for somebody who writes to it.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = fs::File::from(rustix::fs::openat2(at, name, flags, Mode::empty(), within)?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(std::io::Error::other(format!("{name} is no plain file"))),
    }
}

/// Plain files under a folder with their names relative to it, sorted. A folder that is not there, or a link in its
/// place, has none; links inside are passed over.
///
/// # Errors
/// Any error of the file system.
pub fn plain_files(folder: &Path) -> std::io::Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    let mut open = vec![(folder.to_path_buf(), String::new())];
    while let Some((folder, inside)) = open.pop() {
        if !is_folder(&folder) {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let inside = if inside.is_empty() { name } else { format!("{inside}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push((entry.path(), inside));
            } else if kind.is_file() {
                files.push((entry.path(), inside));
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_file_mode_names_them() {
        let name = |key, prefix| local_name(key, prefix).ok().map(|path| path.to_string_lossy().into_owned());
        assert_eq!(name("a/train/x.csv", "a/train").as_deref(), Some("x.csv"));
        assert_eq!(name("a/train/x.csv", "a/train/").as_deref(), Some("x.csv"));
        assert_eq!(name("a/train_r.jsonl", "a/train_r.jsonl").as_deref(), Some("train_r.jsonl"));
        assert_eq!(name("a/train.csv", "a/tr").as_deref(), Some("train.csv"));
        assert_eq!(name("a/b/c", "").as_deref(), Some("a/b/c"));
        assert_eq!(name("a/../../etc", "a/"), None);
        assert_eq!(name("a//b", "a/").as_deref(), Some("b"));
        assert_eq!(name("a/b//c", "a/"), None);
    }

    #[test]
    fn links_lead_nowhere() -> std::io::Result<()> {
        let outside = tempfile::tempdir()?;
        fs::write(outside.path().join("secret"), "s")?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("plain"), "p")?;
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link"))?;
        let names: Vec<String> = plain_files(folder.path())?.into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["plain"]);
        assert!(plain_files(&folder.path().join("link"))?.is_empty());
        assert!(open_beneath(folder.path(), "plain").is_ok());
        for name in ["link/secret", "../x", "/etc/hostname", "."] {
            assert!(open_beneath(folder.path(), name).is_err(), "{name}");
        }
        Ok(())
    }
}
