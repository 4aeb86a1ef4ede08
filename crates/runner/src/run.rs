//! A program under the contract, whatever runs it: a child process or a container.

use crate::container::{Container, ContainerError, ContainerRun, Handle};
use crate::process::{Group, Process, ProcessRun};

/// What to run.
#[derive(Debug, Clone)]
pub enum Program {
    /// A child process of this one.
    Process(Process),
    /// A container.
    Container(Box<Container>),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It needed more memory than its limit, bytes.
    OutOfMemory(u64),
    /// It wrote more than its limit, bytes, or more than the disk has room for.
    DiskFull(u64),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const GIB: f64 = (1u64 << 30) as f64;
        match self {
            Self::Code(code) => write!(out, "exit code {code}"),
            Self::Signal(signal) => write!(out, "signal {signal}"),
            Self::OutOfMemory(limit) => {
                write!(
                    out,
                    "exit code 137: it ran out of memory, its limit is {:.1} GiB",
                    *limit as f64 / GIB
                )
            }
            Self::DiskFull(limit) => write!(
                out,
                "exit code 137: it was stopped because it filled its disk of {:.1} GiB",
                *limit as f64 / GIB
            ),
        }
    }
}

/// What a running program reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// It wrote a line to standard output or standard error.
    Line(String),
    /// It ended; nothing follows.
    Exited(Exit),
}

/// Why a program was not started or is no longer followed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system refused a process.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The container engine or its image.
    #[error("{0}")]
    Container(#[from] ContainerError),
}

/// A running program. Dropping it ends it.
#[derive(Debug)]
pub enum Run {
    /// A child process.
    Process(Box<ProcessRun>),
    /// A container.
    Container(Box<ContainerRun>),
}

/// Ends a running program.
#[derive(Debug, Clone)]
pub enum Stopper {
    /// A child process and all it started.
    Process(Group),
    /// A container.
    Container(Handle),
}

impl Stopper {
    /// Asks the program to end (SIGTERM).
    pub fn terminate(&self) {
        match self {
            Self::Process(group) => group.terminate(),
            Self::Container(container) => container.signal("SIGTERM"),
        }
    }

    /// Ends the program (SIGKILL).
    pub fn kill(&self) {
        match self {
            Self::Process(group) => group.kill(),
            Self::Container(container) => container.signal("SIGKILL"),
        }
    }
}

impl Run {
    /// Starts a program.
    ///
    /// # Errors
    /// `Io` when the system refuses; `Container` with words for the user.
    pub async fn start(program: &Program) -> Result<Self, RunError> {
        Ok(match program {
            Program::Process(process) => Self::Process(Box::new(ProcessRun::start(process)?)),
            Program::Container(container) => Self::Container(Box::new(ContainerRun::start(container).await?)),
        })
    }

    /// The process id of a child process that runs.
    pub fn process_id(&self) -> Option<u32> {
        match self {
            Self::Process(run) => run.id(),
            Self::Container(_) => None,
        }
    }

    /// Ends the program, also while it is waited for.
    pub fn stopper(&self) -> Stopper {
        match self {
            Self::Process(run) => Stopper::Process(run.group()),
            Self::Container(run) => Stopper::Container(run.handle()),
        }
    }

    /// The next line, or the end after the last line.
    ///
    /// # Errors
    /// Any error of waiting for the program.
    pub async fn next_event(&mut self) -> Result<RunEvent, RunError> {
        Ok(match self {
            Self::Process(run) => run.next_event().await?,
            Self::Container(run) => run.next_event().await?,
        })
    }
}
