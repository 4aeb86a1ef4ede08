//! Pipe mode: a channel is a series of named pipes, one for each time that the program reads its data,
//! `CHANNEL_0`, `CHANNEL_1`, ...

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

/// Time between two looks for a reader.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Feeds the pipes of one channel as long as this value lives.
#[derive(Debug)]
pub struct PipeFeed {
    ended: Arc<AtomicBool>,
}

impl PipeFeed {
    /// Makes the first pipe of `channel` (the path without the epoch's number) and begins to feed: each
    /// pipe gets the bytes of all `files`, in order.
    ///
    /// # Errors
    /// Any error of making the first pipe or a thread.
    pub fn start(channel: PathBuf, files: Vec<PathBuf>) -> io::Result<Self> {
        make(&channel, 0)?;
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        std::thread::Builder::new().name("pipe".into()).spawn(move || {
            // A pipe that cannot be made or opened ends the feed; the program sees no further pipe.
            if let Err(error) = feed(&channel, &files, &told) {
                tracing::warn!(channel = %channel.display(), %error, "a pipe is fed no more");
            }
        })?;
        Ok(Self { ended })
    }
}

impl Drop for PipeFeed {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn path(channel: &Path, epoch: u32) -> PathBuf {
    let mut name = channel.as_os_str().to_owned();
    name.push(format!("_{epoch}"));
    name.into()
}

fn make(channel: &Path, epoch: u32) -> io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
    Ok(mknodat(CWD, path(channel, epoch), FileType::Fifo, mode, 0)?)
}

fn feed(channel: &Path, files: &[PathBuf], ended: &AtomicBool) -> io::Result<()> {
    for epoch in 0.. {
        let Some(mut pipe) = open(&path(channel, epoch), ended)? else { return Ok(()) };
        // The next pipe is there before this one ends, for a program that goes on at once.
        make(channel, epoch + 1)?;
        for file in files {
            match io::copy(&mut File::open(file)?, &mut pipe) {
                // The program has read as much as it wanted.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                other => other?,
            };
        }
        drop(pipe);
        // Whoever opens this pipe again would wait for ever.
        fs::remove_file(path(channel, epoch))?;
    }
    Ok(())
}

/// Opens a pipe for writing once somebody reads it; `None` when the feed has ended meanwhile.
fn open(path: &Path, ended: &AtomicBool) -> io::Result<Option<File>> {
    while !ended.load(Ordering::Relaxed) {
        let flags = OFlags::NONBLOCK.bits() as i32;
        match OpenOptions::new().write(true).custom_flags(flags).open(path) {
            Ok(pipe) => {
                // From here on a full pipe is waited for; when its reader dies, writing fails.
                rustix::fs::fcntl_setfl(&pipe, OFlags::empty())?;
                return Ok(Some(pipe));
            }
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                std::thread::sleep(LOOK_EVERY);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_reads_everything_and_may_stop_early() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let files = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&files[0], "one\n")?;
        fs::write(&files[1], vec![b'x'; 1 << 20])?;
        let channel = folder.path().join("train");
        let feed = PipeFeed::start(channel.clone(), files.into())?;
        let whole = fs::read(path(&channel, 0))?;
        assert_eq!((whole.len(), &whole[..4]), ((1 << 20) + 4, b"one\n".as_slice()));
        let mut some = [0u8; 10];
        io::Read::read_exact(&mut File::open(path(&channel, 1))?, &mut some)?;
        assert_eq!(fs::read(path(&channel, 2))?.len(), (1 << 20) + 4);
        drop(feed);
        Ok(())
    }
}
