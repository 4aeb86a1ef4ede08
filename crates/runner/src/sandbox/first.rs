//! Process 1 of the namespaces: builds the root, gives up its rights, starts the program and reaps what
//! is left behind.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix_namespaces::process::{
    Resource, Rlimit, Signal, WaitOptions, WaitStatus, getrlimit, set_parent_process_death_signal, setrlimit,
    wait,
};
use rustix_namespaces::system::sethostname;
use rustix_namespaces::thread::{CapabilitiesSecureBits, set_capabilities_secure_bits, set_no_new_privs};

use super::hand_over::hand_over;
use super::last_words::{LastWords, relay};
use super::{NOBODY, Report, Sandbox, SandboxError, root};

/// Makes the kernel take a sandboxed program before anything else when memory runs out.
const OUT_OF_MEMORY_SCORE: &str = "500";

/// Builds the sandbox around this process and runs the program in it; returns its exit code.
pub fn run(sandbox: &Sandbox) -> Result<u8, SandboxError> {
    set_parent_process_death_signal(Some(Signal::Kill))
        .map_err(SandboxError::step("following the keeper"))?;
    sethostname(sandbox.host_name.as_bytes()).map_err(SandboxError::step("the host name"))?;
    let as_nobody = has_other_users();
    root::make_own_folders(sandbox).map_err(SandboxError::step("the folders of the run"))?;
    if as_nobody {
        let binds = sandbox.binds.iter().map(|part| part.folder.clone());
        let own = root::own_folders(sandbox).map(|(folder, _)| folder);
        for folder in
            own.into_iter().chain(sandbox.ml.clone()).chain(sandbox.writable.iter().cloned()).chain(binds)
        {
            hand_over(&folder, NOBODY)
                .map_err(SandboxError::step(format!("handing over {}", folder.display())))?;
        }
    }
    root::enter(sandbox)?;
    limit(sandbox).map_err(SandboxError::step("the program's ceilings"))?;
    set_no_new_privs(true).map_err(SandboxError::step("giving up rights"))?;
    // Without it, root of a user namespace has every capability in it again after exec (capabilities(7)).
    let bits = CapabilitiesSecureBits::NO_ROOT | CapabilitiesSecureBits::NO_ROOT_LOCKED;
    set_capabilities_secure_bits(bits).map_err(SandboxError::step("giving up rights"))?;
    let (id, words) = start(sandbox, as_nobody)?;
    let code = reap(id).map_err(SandboxError::step("waiting for the program"))?;
    if let Some(kind) = sandbox.report.filter(|_| code != 0) {
        report(sandbox, kind, code, words);
    }
    Ok(code)
}

/// Whether user ids beside its own exist for this process: then it is root of the machine, or of a
/// container, and not of a user namespace that the keeper made.
fn has_other_users() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().filter_map(|number| number.parse::<u64>().ok());
        let (inside, _, count) = (numbers.next(), numbers.next(), numbers.next());
        let nobody = u64::from(NOBODY);
        inside.zip(count).is_some_and(|(first, count)| (first..first + count).contains(&nobody))
    })
}

fn limit(sandbox: &Sandbox) -> io::Result<()> {
    let ceilings = &sandbox.ceilings;
    let memory = ceilings.memory.or_else(machine_memory);
    let limits = [
        (Resource::Nproc, Some(ceilings.processes)),
        (Resource::Nofile, Some(ceilings.open_files)),
        (Resource::Data, memory),
        (Resource::Core, Some(0)),
    ];
    for (resource, limit) in limits {
        let Some(limit) = limit else { continue };
        let allowed = getrlimit(resource).maximum.map_or(limit, |maximum| limit.min(maximum));
        setrlimit(resource, Rlimit { current: Some(allowed), maximum: Some(allowed) })?;
    }
    // A kernel without it judges by size alone, which hits the program as well.
    let _ = fs::write("/proc/self/oom_score_adj", OUT_OF_MEMORY_SCORE);
    Ok(())
}

fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().split(' ').next()?.parse().ok()?;
    Some(kibibytes << 10)
}

type Words = Option<JoinHandle<LastWords>>;

fn start(sandbox: &Sandbox, as_nobody: bool) -> Result<(u32, Words), SandboxError> {
    let mut command = Command::new(&sandbox.program);
    command.args(&sandbox.arguments).env_clear().envs(&sandbox.environment).current_dir(&sandbox.folder);
    if sandbox.listen.is_none() {
        command.stdin(Stdio::null());
    }
    if sandbox.report.is_some() {
        command.stderr(Stdio::piped());
    }
    if as_nobody {
        // Also leaves the supplementary groups.
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = command.spawn().map_err(SandboxError::step(format!("starting {}", sandbox.program)))?;
    let words = child.stderr.take().map(|errors| std::thread::spawn(move || relay(errors, io::stderr())));
    Ok((child.id(), words))
}

/// Waits for the program, and for whatever is orphaned meanwhile.
fn reap(id: u32) -> io::Result<u8> {
    loop {
        let Some((ended, status)) = wait(WaitOptions::empty())? else { continue };
        if u32::try_from(ended.as_raw_nonzero().get()).is_ok_and(|ended| ended == id) {
            return Ok(code(status));
        }
    }
}

fn code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    u8::try_from(code.unwrap_or(1)).unwrap_or(u8::MAX)
}

/// Says why the program failed, unless it did so itself.
fn report(sandbox: &Sandbox, kind: Report, code: u8, words: Words) {
    let file = kind.file(Path::new("/opt/ml"));
    if fs::metadata(&file).is_ok_and(|found| found.len() > 0) {
        return;
    }
    // What the program left running may hold the pipe open: only what has arrived counts.
    let words = words.filter(wait_a_moment).and_then(|words| words.join().ok());
    let message = words.map(|words| words.message()).unwrap_or_default();
    let command = [std::slice::from_ref(&sandbox.program), &sandbox.arguments[..]].concat().join(" ");
    let text = match kind {
        Report::Failure => format!(
            "AlgorithmError: ExecuteUserScriptError:\nExitCode {code}\nErrorMessage \"{message}\"\nCommand \"{command}\", \
             exit code: {code}"
        ),
        Report::Message => message,
    };
    // The exit code says that it failed; this only says why.
    let _ = fs::write(file, text);
}

/// Whether the last words are all there, or soon are.
fn wait_a_moment(words: &JoinHandle<LastWords>) -> bool {
    for _ in 0..100 {
        if words.is_finished() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
