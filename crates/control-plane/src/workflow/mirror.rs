//! A folder that is copied to S3 while a program runs: its checkpoints.
//!
//! Promises: a file that was complete when the program ended, however it ended, is in S3 when the job is over; one that
//! is replaced by renaming is never stored half. Files whose names end in `.partial` are in the making and passed over.
//! Never: deletes anything in S3.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sagebrush_runner::{Shard, StageError, open_beneath, plain_files, stage_prefix};
use sagebrush_types::limits::CHECKPOINT_FILES;
use sagebrush_types::{Failure, Outcome, s3_uri};

use super::job::Ending;
use crate::ControlPlane;

/// How often the folder is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Time and size of a file: what tells that it changed.
type State = (SystemTime, u64);

/// The folder, its place in S3, and what is there already.
pub struct Mirror {
    folder: PathBuf,
    bucket: String,
    /// Empty, or ending in `/`.
    prefix: String,
    /// Time and size of each file when it was stored.
    stored: BTreeMap<String, State>,
}

/// Bucket and folder of a checkpoint location.
fn place(uri: &str) -> Outcome<(&str, String)> {
    let (bucket, prefix) = s3_uri("CheckpointConfig.S3Uri", uri)?;
    let prefix = prefix.trim_end_matches('/');
    Ok((bucket, if prefix.is_empty() { String::new() } else { format!("{prefix}/") }))
}

/// Lays out the checkpoints of an earlier job, if there are any; an ending when they cannot be.
pub async fn restore(plane: &ControlPlane, uri: &str, folder: &Path) -> Outcome<Option<Ending>> {
    let (bucket, prefix) = place(uri)?;
    match stage_prefix(plane.objects(), bucket, &prefix, Shard::All, folder).await {
        Ok(_) | Err(StageError::NoObjects { .. }) => Ok(None),
        Err(StageError::Io(error)) => Err(Failure::internal(error)),
        Err(error) => Ok(Some(Ending::failed(&format!(
            "ClientError: The checkpoints could not be downloaded: {error} Please ensure that the bucket of \
             CheckpointConfig ({uri}) exists."
        )))),
    }
}

impl Mirror {
    /// Begins with what is in the folder now, which is taken to be in S3.
    ///
    /// # Errors
    /// `Invalid` for a location that is none; an internal failure when the folder cannot be read.
    pub fn new(folder: &Path, uri: &str) -> Outcome<Self> {
        let (bucket, prefix) = place(uri)?;
        let mut mirror =
            Self { folder: folder.into(), bucket: bucket.into(), prefix, stored: BTreeMap::new() };
        let present = mirror.changed()?;
        mirror.stored = present.into_iter().collect();
        Ok(mirror)
    }

    /// Files that are not stored as they are now.
    fn changed(&self) -> Outcome<Vec<(String, State)>> {
        let mut changed = Vec::new();
        let files = plain_files(&self.folder).map_err(Failure::internal)?;
        if files.len() > CHECKPOINT_FILES {
            return Err(Failure::invalid(format!(
                "There are {} files in the folder that is copied to s3://{}/{}; at most {CHECKPOINT_FILES} are kept.",
                files.len(),
                self.bucket,
                self.prefix
            )));
        }
        for (path, name) in files {
            // A file that is gone meanwhile has been replaced or removed: the next look finds what is there.
            let Ok(data) = fs::symlink_metadata(&path) else { continue };
            let state = (data.modified().map_err(Failure::internal)?, data.len());
            if !name.ends_with(".partial") && self.stored.get(&name) != Some(&state) {
                changed.push((name, state));
            }
        }
        Ok(changed)
    }

    /// Stores what changed since the last pass.
    ///
    /// # Errors
    /// When S3 refuses it.
    pub async fn pass(&mut self, plane: &ControlPlane) -> Outcome<()> {
        for (name, state) in self.changed()? {
            let key = format!("{}{name}", self.prefix);
            // A file that is gone, or a link by now, is looked at again in the next pass.
            let Ok(file) = open_beneath(&self.folder, &name) else { continue };
            let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
            plane.objects().store_file(&self.bucket, &key, &path, "binary/octet-stream").await.map_err(
                |error| {
                    Failure::invalid(format!(
                        "s3://{}/{} cannot be written: {error}",
                        self.bucket, self.prefix
                    ))
                },
            )?;
            self.stored.insert(name, state);
        }
        Ok(())
    }

    /// Passes until it is dropped. A pass that fails is tried again; the last one, after the program, counts.
    pub async fn watch(&mut self, plane: &ControlPlane) -> Infallible {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(failure) = self.pass(plane).await {
                tracing::warn!(
                    cause = failure.cause.as_deref(),
                    message = failure.message,
                    "files of a job wait to be copied"
                );
            }
        }
    }
}
