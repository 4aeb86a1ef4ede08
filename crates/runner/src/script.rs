//! A program of a user in Python: its environment first, made when it is not there, then the program in
//! a sandbox that shows it. This is one process of the job, so that the time, the lines and the end of
//! both are the job's.
//!
//! Promises: nothing of the user's runs outside the sandbox. Never: knowledge of jobs; what to run is
//! decided by whoever writes the description.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use sagebrush_env::durable::{self, Readers};
use serde::{Deserialize, Serialize};

use crate::python::{Environment, Environments, PythonError, Wanted};
use crate::sandbox::Sandbox;

/// What follows the environment's own programs in `PATH`.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program and the environment it wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The environments of the server.
    pub environments: Environments,
    /// The environment of the image.
    pub wanted: Wanted,
    /// Places of the job's own requirements; the first file that is there counts.
    pub requirements: Vec<PathBuf>,
    /// The program, without what the environment adds. `python` means the environment's.
    pub sandbox: Sandbox,
}

impl Script {
    /// Writes the description for the program to read.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        durable::write(path, &serde_json::to_vec(self)?, Readers::Owner)
    }

    fn environment(&self) -> Result<Environment, PythonError> {
        let mut say = |line: &str| println!("{line}");
        let base = self.environments.ensure(&self.wanted, &mut say)?;
        // A link could lead out of what the job may read.
        let is_file = |path: &&PathBuf| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
        match self.requirements.iter().find(is_file) {
            Some(file) => self.environments.extend(&base, file, &mut say),
            None => Ok(base),
        }
    }
}

/// The sandbox with an environment in it.
fn equip(mut sandbox: Sandbox, environment: &Environment) -> Sandbox {
    let join = |paths: &[PathBuf], rest: Option<&str>| {
        let paths = paths.iter().map(|path| path.to_string_lossy().into_owned());
        paths.chain(rest.map(str::to_owned)).collect::<Vec<_>>().join(":")
    };
    let variables = &mut sandbox.environment;
    variables.insert("PATH".into(), join(&environment.programs, Some(SYSTEM_PATH)));
    variables.insert("VIRTUAL_ENV".into(), environment.folder.to_string_lossy().into_owned());
    if !environment.modules.is_empty() {
        let own = variables.get("PYTHONPATH").cloned();
        let own = own.iter().map(PathBuf::from);
        let modules: Vec<PathBuf> = own.chain(environment.modules.iter().cloned()).collect();
        variables.insert("PYTHONPATH".into(), join(&modules, None));
    }
    sandbox.readable.extend(environment.needs.iter().cloned());
    if sandbox.program == "python" {
        sandbox.program = environment.folder.join("bin/python").to_string_lossy().into_owned();
    }
    sandbox
}

/// Runs a script: the whole work of the hidden command `sagebrush script`. Comes back only when the
/// program could not be started.
pub fn run(description: &Path) -> ExitCode {
    let read = std::fs::read(description).map_err(|error| error.to_string());
    let read =
        read.and_then(|text| serde_json::from_slice::<Script>(&text).map_err(|error| error.to_string()));
    let script = match read {
        Ok(script) => script,
        Err(error) => {
            eprintln!("script: the description {} cannot be used: {error}", description.display());
            return ExitCode::FAILURE;
        }
    };
    let why = match script.environment() {
        Ok(environment) => enter(&script, &environment).to_string(),
        Err(error) => error.to_string(),
    };
    eprintln!("{why}");
    script.sandbox.report_failure(&format!("ClientError: {why}"));
    ExitCode::FAILURE
}

/// Becomes the keeper of the sandbox. Returns why that cannot be.
fn enter(script: &Script, environment: &Environment) -> io::Error {
    let sandbox = equip(script.sandbox.clone(), environment);
    let description = sandbox.scratch.join("sandbox.json");
    let written = std::fs::create_dir_all(&sandbox.scratch).and_then(|()| sandbox.write(&description));
    if let Err(error) = written {
        return error;
    }
    // The same process: what the runner knows of it stays true, and it has one thread again.
    Command::new(script.environments.executable()).arg("sandbox").arg(description).exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_with_an_environment_finds_it_first() {
        let environment = Environment {
            id: "b".into(),
            name: "n".into(),
            python: "3.11.2".into(),
            packages: Vec::new(),
            folder: "/e/b".into(),
            needs: vec!["/e/b".into(), "/usr".into(), "/e/a".into()],
            programs: vec!["/e/b/bin".into(), "/e/a/bin".into()],
            modules: vec!["/e/b/lib".into()],
        };
        let mut sandbox = Sandbox::of("python", "/s".into());
        sandbox.environment.insert("PYTHONPATH".into(), "/opt/ml/code".into());
        let sandbox = equip(sandbox, &environment);
        assert_eq!(sandbox.program, "/e/b/bin/python");
        assert!(sandbox.environment["PATH"].starts_with("/e/b/bin:/e/a/bin:/usr/local/sbin:"));
        assert_eq!(sandbox.environment["PYTHONPATH"], "/opt/ml/code:/e/b/lib");
        assert_eq!(sandbox.readable, environment.needs);
    }
}
