//! A sandbox for programs that users bring: what the program may see, in the terms of Linux
//! namespaces, without a container engine.
//!
//! The program sees this machine's system folders read-only, a `/tmp` and a home of its own, and its
//! job's folder at `/opt/ml`. It has its own processes, IPC and host name, and the machine's network
//! unless the job asks for isolation. Data folders of the server, homes and other jobs are not there.
//!
//! It takes three processes. The *keeper* (`keeper.rs`) is what the runner starts: it makes the
//! namespaces and ends everything when the runner's end of its standard input closes. The *first
//! process* (`first.rs`) is process 1 of the namespaces: it builds the new root (`root.rs`), gives up
//! its rights and starts the *program*. When process 1 ends the kernel ends all that is left.
//!
//! Promises: whoever runs the server, the program gains no rights: as root it runs as `nobody`, otherwise
//! in a user namespace without capabilities; nothing it starts outlives it. Never: images, and limits
//! across jobs.

mod first;
mod hand_over;
mod keeper;
mod last_words;
mod mounts;
mod root;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sagebrush_env::durable::{self, Readers};
use serde::{Deserialize, Serialize};

/// Exit code of a sandbox that could not be made, as shells and `docker run` use it.
pub const NOT_STARTED: u8 = 125;

/// User and group that programs run as when the server is root: `nobody` everywhere.
const NOBODY: u32 = 65_534;

/// The file in which a program says why it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// `output/failure`, as training jobs have it, in the words of the SageMaker training toolkit.
    Failure,
    /// `output/message`, as processing jobs have it.
    Message,
}

impl Report {
    /// The file below the folder that is, or stands for, `/opt/ml`.
    fn file(self, ml: &Path) -> PathBuf {
        ml.join(match self {
            Self::Failure => "output/failure",
            Self::Message => "output/message",
        })
    }
}

/// What a program may see and use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// The folder that is `/opt/ml` inside.
    pub ml: Option<PathBuf>,
    /// It may be read only.
    pub ml_read_only: bool,
    /// Folders at other places inside.
    pub binds: Vec<Bind>,
    /// A folder of this run: its `/tmp` and home come to lie in it.
    pub scratch: PathBuf,
    /// Further files and folders, at the same place inside, read-only.
    pub readable: Vec<PathBuf>,
    /// Further folders, at the same place inside, writable.
    pub writable: Vec<PathBuf>,
    /// Folders that are empty inside, should a system folder hold them.
    pub hidden: Vec<PathBuf>,
    /// The name of the machine inside.
    pub host_name: String,
    /// Further names that resolve.
    pub hosts: Vec<(String, IpAddr)>,
    /// No network but a loopback interface of its own.
    pub isolated: bool,
    /// It is a model server: it is told where to listen when it is started.
    pub is_server: bool,
    /// An address that is listened on for the program, which gets the socket as its standard input:
    /// the way into a program without a network.
    pub listen: Option<SocketAddr>,
    /// Ceilings of the program.
    pub ceilings: Ceilings,
    /// The program; a name without a slash is looked up in its `PATH`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// Its working folder, inside.
    pub folder: PathBuf,
    /// Where a program that fails without having said why gets its last lines written.
    pub report: Option<Report>,
}

/// A folder that is shown at another place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// The folder on this side.
    pub folder: PathBuf,
    /// Its place inside, absolute.
    pub target: PathBuf,
    /// It may be read only.
    pub read_only: bool,
}

/// Ceilings of a program, each with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Processes and threads, as many as a container has. A fork bomb ends here; numeric libraries start one
    /// thread per core in each of a few dozen worker processes, which stays below.
    pub processes: u64,
    /// Open files of one process: what data loaders with many workers are advised to have.
    pub open_files: u64,
    /// Bytes of memory that one process may ask for; `None` for as much as the machine has, so that an
    /// allocation that cannot succeed fails in the program instead of starving the machine.
    pub memory: Option<u64>,
}

impl Default for Ceilings {
    fn default() -> Self {
        Self { processes: 4096, open_files: 65_536, memory: None }
    }
}

/// Why a sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel does not let this user make namespaces.
    #[error(
        "this machine does not let sagebrush make a sandbox ({0}). Allow unprivileged user namespaces (sysctl \
         kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, \
         user.max_user_namespaces above 0), run the server as root, or map the image to a container."
    )]
    Forbidden(String),
    /// A step of the work.
    #[error("{what}: {cause}")]
    Step {
        /// What was being done.
        what: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The description of the sandbox cannot be read.
    #[error("the sandbox's description {0} cannot be used: {1}")]
    Description(PathBuf, String),
}

impl SandboxError {
    fn step<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        |cause| Self::Step { what, cause: cause.into() }
    }
}

impl Sandbox {
    /// A sandbox for a program with nothing of its own but a scratch folder.
    pub fn of(program: &str, scratch: PathBuf) -> Self {
        Self {
            ml: None,
            ml_read_only: false,
            binds: Vec::new(),
            scratch,
            readable: Vec::new(),
            writable: Vec::new(),
            hidden: Vec::new(),
            host_name: "algo-1".into(),
            hosts: Vec::new(),
            isolated: false,
            is_server: false,
            listen: None,
            ceilings: Ceilings::default(),
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            folder: "/tmp".into(),
            report: None,
        }
    }

    /// Reads a description that [`Sandbox::write`] wrote.
    ///
    /// # Errors
    /// `Description` when it cannot be read.
    pub fn read(path: &Path) -> Result<Self, SandboxError> {
        let wrong = |why: String| SandboxError::Description(path.to_path_buf(), why);
        let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))
    }

    /// Writes the description for the keeper to read.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        durable::write(path, &serde_json::to_vec(self)?, Readers::Owner)
    }
}

impl Sandbox {
    /// Notes why the program was not started, for the FailureReason. The log has it too, so that an error
    /// here loses nothing.
    pub(crate) fn report_failure(&self, message: &str) {
        if let (Some(report), Some(ml)) = (self.report, &self.ml) {
            // Which of the two places is there depends on how far process 1 came.
            let _ = std::fs::write(report.file(ml), message)
                .or_else(|_| std::fs::write(report.file(Path::new("/opt/ml")), message));
        }
    }
}

/// Runs a sandbox: the whole work of the hidden command `sagebrush sandbox`. `inside` says that this is
/// process 1 of the namespaces. The exit code is the program's, or 128 and the signal that ended it, or
/// [`NOT_STARTED`].
pub fn run(description: &Path, inside: bool) -> ExitCode {
    let outcome = Sandbox::read(description).and_then(|sandbox| {
        let code = if inside { first::run(&sandbox) } else { keeper::run(&sandbox, description) };
        code.inspect_err(|error| {
            sandbox.report_failure(&format!("InternalServerError: {error}"));
        })
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::from(NOT_STARTED)
        }
    }
}
