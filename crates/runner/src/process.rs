//! A child process that does the work of one job or serves one model.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use sagebrush_types::limits::LOG_QUEUE_LINES;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::lines;
use crate::run::{Exit, RunEvent};

/// Time that lines may still arrive after the program has ended.
const LAST_LINES: Duration = Duration::from_secs(2);

/// A child process to run.
#[derive(Debug, Clone)]
pub struct Process {
    /// The executable.
    pub executable: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment: nothing is inherited.
    pub environment: BTreeMap<String, String>,
    /// Its working folder.
    pub folder: PathBuf,
}

/// A running child process. Dropping it kills the whole process group.
#[derive(Debug)]
pub struct ProcessRun {
    child: Child,
    group: Group,
    lines: mpsc::Receiver<String>,
    readers: Vec<JoinHandle<()>>,
    exit: Option<Exit>,
    /// Held open apart from the child: waiting for a child closes the standard input it still owns.
    _lifeline: Option<ChildStdin>,
}

/// A program's process group.
#[derive(Debug, Clone, Copy)]
pub struct Group(Option<Pid>);

impl Group {
    /// Asks the program to end (SIGTERM).
    pub fn terminate(self) {
        self.signal(Signal::TERM);
    }

    /// Ends the program (SIGKILL).
    pub fn kill(self) {
        self.signal(Signal::KILL);
    }

    fn signal(self, signal: Signal) {
        if let Some(group) = self.0 {
            // A group that is gone already is what was wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl ProcessRun {
    /// Starts a program as the leader of a new process group. Its standard input stays open as long
    /// as this process lives; a built-in program ends when it closes.
    ///
    /// # Errors
    /// Any error of starting it.
    pub fn start(program: &Process) -> io::Result<Self> {
        let mut child = Command::new(&program.executable)
            .args(&program.arguments)
            .env_clear()
            .envs(&program.environment)
            .current_dir(&program.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (sender, lines) = mpsc::channel(LOG_QUEUE_LINES);
        let mut readers = Vec::new();
        if let Some(output) = child.stdout.take() {
            readers.push(tokio::spawn(lines::forward(output, sender.clone())));
        }
        if let Some(output) = child.stderr.take() {
            readers.push(tokio::spawn(lines::forward(output, sender)));
        }
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let lifeline = child.stdin.take();
        Ok(Self { child, group: Group(group), lines, readers, exit: None, _lifeline: lifeline })
    }

    /// The process id, while the program runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The program and all it started.
    pub fn group(&self) -> Group {
        self.group
    }

    /// The next line, or the end after the last line.
    ///
    /// # Errors
    /// Any error of waiting for the program.
    pub async fn next_event(&mut self) -> io::Result<RunEvent> {
        loop {
            if let Some(exit) = self.exit {
                // What the program started and left behind must not hold the pipes open.
                self.group.kill();
                return Ok(match tokio::time::timeout(LAST_LINES, self.lines.recv()).await {
                    Ok(Some(line)) => RunEvent::Line(line),
                    Ok(None) | Err(_) => RunEvent::Exited(exit),
                });
            }
            tokio::select! {
                biased;
                line = self.lines.recv() => match line {
                    Some(line) => return Ok(RunEvent::Line(line)),
                    None => self.exit = Some(exit_of(self.child.wait().await?)),
                },
                status = self.child.wait() => self.exit = Some(exit_of(status?)),
            }
        }
    }
}

impl Drop for ProcessRun {
    fn drop(&mut self) {
        if self.exit.is_none() {
            self.group.kill();
        }
        for reader in &self.readers {
            reader.abort();
        }
    }
}

fn exit_of(status: std::process::ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

/// Kills the process group of a program that an earlier server process started, if it still runs:
/// the process with this id whose environment holds `marker`. Returns whether there was one.
pub fn kill_leftover(id: u32, marker: &str) -> bool {
    let Ok(environment) = std::fs::read(format!("/proc/{id}/environ")) else { return false };
    if !environment.split(|byte| *byte == 0).any(|entry| entry == marker.as_bytes()) {
        return false;
    }
    let group = i32::try_from(id).ok().and_then(Pid::from_raw);
    Group(group).kill();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process {
            executable: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: [
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("JOB".to_owned(), "one".to_owned()),
            ]
            .into(),
            folder: std::env::temp_dir(),
        }
    }

    async fn events(run: &mut ProcessRun) -> io::Result<(Vec<String>, Exit)> {
        let mut lines = Vec::new();
        loop {
            match run.next_event().await? {
                RunEvent::Line(line) => lines.push(line),
                RunEvent::Exited(exit) => return Ok((lines, exit)),
            }
        }
    }

    #[tokio::test]
    async fn lines_come_before_the_end_and_the_environment_is_the_jobs() -> io::Result<()> {
        let mut run = ProcessRun::start(&shell("echo $JOB; echo ${HOME:-none}; echo err >&2; exit 3"))?;
        let (mut lines, exit) = events(&mut run).await?;
        lines.sort();
        assert_eq!((lines, exit), (vec!["err".into(), "none".into(), "one".into()], Exit::Code(3)));
        Ok(())
    }

    #[tokio::test]
    async fn standard_input_stays_open_while_the_program_is_waited_for() -> io::Result<()> {
        // `read` returns at once when its input is closed; a timeout of `read` is 142.
        let mut program = shell("read -t 1 line; exit $?");
        program.executable = "/bin/bash".into();
        let mut run = ProcessRun::start(&program)?;
        assert_eq!(events(&mut run).await?.1, Exit::Code(142));
        Ok(())
    }

    #[tokio::test]
    async fn stopping_reaches_grandchildren() -> io::Result<()> {
        let mut run = ProcessRun::start(&shell("sleep 600 & echo started $!; wait"))?;
        let RunEvent::Line(line) = run.next_event().await? else { panic!("no line") };
        run.group().terminate();
        let (_, exit) = events(&mut run).await?;
        assert_eq!(exit, Exit::Signal(15));
        let grandchild = line.replace("started ", "");
        for _ in 0..100 {
            if !running(&grandchild) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the grandchild {grandchild} still runs");
    }

    /// Whether a process runs; one that waits to be reaped does not.
    fn running(id: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn a_leftover_is_recognised_by_its_marker() -> io::Result<()> {
        // The shell itself stays: while a process becomes another program it shows no environment.
        let mut run = ProcessRun::start(&shell("echo ready; sleep 600; echo never"))?;
        run.next_event().await?;
        let id = run.id().unwrap_or_default();
        assert!(!kill_leftover(id, "JOB=two"));
        assert!(kill_leftover(id, "JOB=one"));
        assert_eq!(events(&mut run).await?.1, Exit::Signal(9));
        assert!(!kill_leftover(id, "JOB=one"));
        Ok(())
    }
}
