//! The keeper: makes the namespaces, starts process 1 in them and stays beside it until it ends.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix_namespaces::process::{getgid, getuid};
use rustix_namespaces::thread::{UnshareFlags, unshare};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::{Sandbox, SandboxError};

/// Makes the namespaces and runs process 1 in them. This process must have one thread: a user
/// namespace is for whole processes.
pub fn run(sandbox: &Sandbox, description: &Path) -> Result<u8, SandboxError> {
    let listener = sandbox.listen.map(TcpListener::bind).transpose();
    let listener = listener.map_err(SandboxError::step("listening for the program"))?;
    make_namespaces(sandbox.isolated)?;
    let input = listener.map_or_else(Stdio::null, |listener| Stdio::from(OwnedFd::from(listener)));
    // One thread here too: after a new process namespace the kernel lets no thread be made.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(SandboxError::step("waiting for the program"))?;
    let status = runtime.block_on(keep(description, input));
    Ok(code(status.map_err(SandboxError::step("the sandbox's first process"))?))
}

/// Namespaces of the program: as root without a user namespace, so that the mounts belong to root and
/// the program, which does not, cannot change them; otherwise within one.
fn make_namespaces(isolated: bool) -> Result<(), SandboxError> {
    let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if isolated {
        flags |= UnshareFlags::NEWNET;
    }
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    if user == 0 && unshare(flags).is_ok() {
        return Ok(());
    }
    unshare(flags | UnshareFlags::NEWUSER).map_err(|error| SandboxError::Forbidden(error.to_string()))?;
    // Inside it is root, as in most containers, without any right outside (user_namespaces(7)).
    fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {user} 1")))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {group} 1")))
        .map_err(|error| SandboxError::Forbidden(error.to_string()))
}

async fn keep(description: &Path, input: Stdio) -> io::Result<ExitStatus> {
    // The runner signals the whole group: the program ends by itself or is killed, and is reported here.
    let handlers = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let _handlers = handlers.into_iter().collect::<io::Result<Vec<_>>>()?;
    let mut first = Command::new(std::env::current_exe()?)
        .arg("sandbox")
        .arg("--inside")
        .arg(description)
        .env_clear()
        .stdin(input)
        .kill_on_drop(true)
        .spawn()?;
    let status = tokio::select! {
        status = first.wait() => return status,
        closed = runner_is_gone() => closed,
    };
    status?;
    end(&mut first).await
}

/// Process 1 takes everything in its namespace with it.
async fn end(first: &mut Child) -> io::Result<ExitStatus> {
    first.start_kill()?;
    first.wait().await
}

/// Completes when standard input ends: whoever started the keeper holds its other end.
async fn runner_is_gone() -> io::Result<()> {
    let file = fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
    // A terminal or a file is no lifeline: a sandbox that is tried by hand ends with its program.
    let mut pipe = match tokio::net::unix::pipe::Receiver::from_file(file) {
        Ok(pipe) => pipe,
        Err(_) => return std::future::pending().await,
    };
    let mut buffer = [0u8; 64];
    loop {
        if pipe.read(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}
