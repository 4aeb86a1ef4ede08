//! The thread that writes the audit log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sagebrush_env::Clock;
use sagebrush_env::durable::sync_parent;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use super::Entry;
use super::queue::{Batch, Queue, Taken};
use crate::limits::{AUDIT_FILE_BYTES, AUDIT_FILES};

/// Name of the file that is written to; rotated ones are `audit-<time>.jsonl`.
pub(super) const CURRENT: &str = "audit.jsonl";

/// Time after which written lines are forced onto the disk: what a loss of power can cost.
const SYNC: Duration = Duration::from_secs(1);
/// Time to wait for a line when there is nothing else to do.
const IDLE: Duration = Duration::from_secs(3600);

/// The files of the log.
pub(super) struct Files {
    folder: PathBuf,
    file: File,
    size: u64,
    clock: Clock,
}

impl Files {
    pub fn open(folder: &Path, clock: Clock) -> io::Result<Self> {
        let (file, size) = open(folder)?;
        Ok(Self { folder: folder.to_owned(), file, size, clock })
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + text.len() as u64 > AUDIT_FILE_BYTES {
            self.rotate()?;
        }
        self.file.write_all(text)?;
        self.size += text.len() as u64;
        Ok(())
    }

    #[cfg(test)]
    pub fn write_for_test(&mut self, text: &[u8]) {
        self.write(text).unwrap_or_else(|error| panic!("{error}"));
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        let format = format_description!("[year][month][day]T[hour][minute][second].[subsecond digits:6]Z");
        let now = self.clock.now().format(&format).unwrap_or_default();
        fs::rename(self.folder.join(CURRENT), self.folder.join(format!("audit-{now}.jsonl")))?;
        (self.file, self.size) = open(&self.folder)?;
        let rotated = super::read::rotated(&self.folder)?;
        for old in rotated.iter().take(rotated.len().saturating_sub(AUDIT_FILES)) {
            fs::remove_file(old)?;
        }
        Ok(())
    }
}

fn open(folder: &Path) -> io::Result<(File, u64)> {
    let path = folder.join(CURRENT);
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&path)?;
    sync_parent(&path)?;
    let mut size = file.metadata()?.len();
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    // A line that a loss of power cut off must not take the next one with it.
    if last != [b'\n'] {
        file.write_all(b"\n")?;
        size += 1;
    }
    Ok((file, size))
}

/// Writes lines until none will come.
pub(super) fn run(mut files: Files, queue: &Queue) {
    let mut unsynced: Option<Instant> = None;
    loop {
        let idle = if unsynced.is_some() { SYNC } else { IDLE };
        match queue.take(idle) {
            Taken::Batch(batch) => {
                write_batch(&mut files, batch, queue);
                unsynced.get_or_insert_with(Instant::now);
            }
            Taken::Nothing => {}
            Taken::Closed => break,
        }
        if unsynced.is_some_and(|since| since.elapsed() >= SYNC) {
            sync(&files);
            unsynced = None;
        }
    }
    sync(&files);
}

fn sync(files: &Files) {
    if let Err(error) = files.file.sync_data() {
        tracing::error!(%error, "the audit log cannot be forced onto the disk");
    }
}

fn write_batch(files: &mut Files, batch: Batch, queue: &Queue) {
    let Batch { mut text, count, waiting, lost } = batch;
    if lost > 0 {
        text.extend(lost_line(&files.clock, lost));
    }
    match files.write(&text) {
        Ok(()) => {
            for done in waiting {
                // Nobody waits any more when the client has gone.
                let _ = done.send(());
            }
        }
        Err(error) => {
            // Those who wait learn it by the loss of the sender, and write their line to the server's log.
            tracing::error!(%error, "the audit log cannot be written");
            queue.count_lost(lost + count);
        }
    }
}

fn lost_line(clock: &Clock, missing: u64) -> Vec<u8> {
    let time = clock.now().format(&Rfc3339).unwrap_or_default();
    let mut text = serde_json::to_vec(&Entry { time, lost: missing, ..Entry::default() }).unwrap_or_default();
    text.push(b'\n');
    text
}
