//! The server the quickstart starts: this very program as a child process, `serve` on a free port.
//!
//! Promises: unless it is to be kept, the server is told to stop and waited for when the quickstart ends, whatever the
//! reason; its output goes to a file in the data folder, and its last lines appear in the error when it dies early.
//! Never talks to the server other than by signals: the rest is the API's business.

use crate::data_dir::{ServerInfo, read_credentials, read_server_info};
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use sagebrush_auth::AccessKey;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Patience with a start: a fresh data folder takes well under a second, a long recovery may take longer.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Patience with a stop before the server is killed; it drains requests and ends its jobs in this time.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(10);
/// Where the server's output goes, inside the data folder.
const OUTPUT_FILE: &str = "quickstart-server.log";
/// How much of its output an error shows.
const OUTPUT_TAIL: u64 = 2_000;

/// A running server and how to reach it.
pub(super) struct Server {
    child: Child,
    output: PathBuf,
    kept: bool,
    /// Where it listens, for which region and account.
    pub info: ServerInfo,
    /// The key of its data folder.
    pub key: AccessKey,
}

impl Server {
    /// Starts the server on `data_dir` and waits until it listens.
    pub(super) async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(data_dir)
            .with_context(|| format!("the data folder {} cannot be made", data_dir.display()))?;
        let program = std::env::current_exe().context("this program's own file is unknown")?;
        let output = data_dir.join(OUTPUT_FILE);
        let log = File::create(&output).with_context(|| format!("{} cannot be written", output.display()))?;
        let earlier = written_at(data_dir);
        // A group of its own: Ctrl-C reaches the quickstart first, which then ends the server in order.
        let child = Command::new(program)
            .arg("serve")
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("the server's output file cannot be shared")?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("the server cannot be started")?;
        let mut started = Starting { child: Some(child) };
        let began = Instant::now();
        loop {
            if let Some(child) = &mut started.child
                && let Some(status) = child.try_wait().context("the server cannot be watched")?
            {
                bail!("the server did not start ({status}):\n{}", tail_of(&output));
            }
            let fresh = written_at(data_dir).is_some_and(|at| Some(at) != earlier);
            if fresh && let Ok(info) = read_server_info(data_dir) {
                let key = read_credentials(data_dir)?;
                let child = started.child.take().context("the server is gone")?;
                return Ok(Self { child, output, kept: false, info, key });
            }
            if began.elapsed() > START_TIMEOUT {
                bail!(
                    "the server does not listen after {} s:\n{}",
                    START_TIMEOUT.as_secs(),
                    tail_of(&output)
                );
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// The process id of the server.
    pub(super) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Leaves the server running after the quickstart has ended.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }

    /// If the server ended by itself, says how and shows the end of its output.
    pub(super) fn obituary(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("the server ended ({status}); the end of its output:\n{}", tail_of(&self.output)))
    }

    /// Tells the server to stop and waits for it; a second Ctrl-C or too long a wait kills it.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        terminate(&self.child);
        let wait = async {
            let began = Instant::now();
            while began.elapsed() < STOP_TIMEOUT {
                if let Some(status) = self.child.try_wait()? {
                    return std::io::Result::Ok(Some(status));
                }
                tokio::time::sleep(STEP).await;
            }
            Ok(None)
        };
        let ended: Option<ExitStatus> = tokio::select! {
            ended = wait => ended.context("the server cannot be watched")?,
            _ = tokio::signal::ctrl_c() => None,
        };
        match ended {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the server ended with {status}:\n{}", tail_of(&self.output)),
            None => {
                self.child.kill().and_then(|()| self.child.wait()).context("the server cannot be killed")?;
                bail!("the server did not stop when told and was killed")
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.kept {
            end_now(&mut self.child);
        }
    }
}

/// A child that does not listen yet; dropped on the way, it is ended.
struct Starting {
    child: Option<Child>,
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end_now(child);
        }
    }
}

fn terminate(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It fails only when the process is gone, which is what was wanted.
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Ends a child on a path that cannot wait for long: SIGTERM, five seconds, SIGKILL.
fn end_now(child: &mut Child) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    terminate(child);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(STEP);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// When the server last wrote down its address: a file left by an earlier server must not be taken for ours.
fn written_at(data_dir: &Path) -> Option<SystemTime> {
    fs::metadata(data_dir.join("server.json")).and_then(|file| file.modified()).ok()
}

fn tail_of(file: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut opened = File::open(file)?;
        let size = opened.metadata()?.len();
        opened.seek(SeekFrom::Start(size.saturating_sub(OUTPUT_TAIL)))?;
        let mut bytes = Vec::new();
        opened.take(OUTPUT_TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    match read() {
        Ok(text) if text.is_empty() => "(it wrote nothing)".to_owned(),
        Ok(text) => text,
        Err(error) => format!("({} cannot be read: {error})", file.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_end_of_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("out");
        fs::write(&file, format!("{}the end\n", "x".repeat(5_000))).expect("written");
        let tail = tail_of(&file);
        assert!(tail.ends_with("the end") && tail.len() < 2_001, "{}", tail.len());
        fs::write(&file, "").expect("written");
        assert_eq!(tail_of(&file), "(it wrote nothing)");
    }

    #[test]
    fn an_ended_child_is_not_signalled_again() {
        let mut child = Command::new("true").spawn().expect("a child");
        child.wait().expect("it ends");
        end_now(&mut child);
        let mut sleeper = Command::new("sleep").arg("60").spawn().expect("a child");
        end_now(&mut sleeper);
        assert!(matches!(sleeper.try_wait(), Ok(Some(_))));
    }
}
