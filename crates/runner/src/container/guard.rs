//! The guard: a child of the server that outlives it, to remove the containers that a server which was
//! killed could not. It notices the server's death at its standard input.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, Command};

use super::{ContainerError, Engine, Leftovers};

/// Times the guard asks the engine to remove what was left, and the wait between them: a container that
/// was just being created is seen later.
const TRIES: u32 = 5;
const BETWEEN: Duration = Duration::from_secs(1);

/// A guard that keeps watch as long as this value lives.
#[derive(Debug)]
pub struct Guard {
    _child: Child,
    _lifeline: Option<ChildStdin>,
}

impl Guard {
    /// Starts `executable` with `arguments`, which must come to [`keep_guard`].
    ///
    /// # Errors
    /// Any error of starting it.
    pub fn start(executable: &Path, arguments: &[String]) -> io::Result<Self> {
        let mut child = Command::new(executable)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A terminal's interrupt is for the server.
            .process_group(0)
            .spawn()?;
        let lifeline = child.stdin.take();
        Ok(Self { _child: child, _lifeline: lifeline })
    }
}

/// Waits for the end of standard input and removes what the process of the engine's labels left.
///
/// # Errors
/// When the engine cannot be reached for it.
pub async fn keep_guard(engine: Engine) -> Result<(), ContainerError> {
    let mut buffer = [0u8; 64];
    while tokio::io::stdin().read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    let mut last = Ok(());
    for _ in 0..TRIES {
        last = engine.remove_leftovers(Leftovers::Process).await.map(drop);
        tokio::time::sleep(BETWEEN).await;
    }
    last
}
