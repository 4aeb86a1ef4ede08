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

use crate::python::{Environment, Environments, PythonError, Wanted, layer};
use crate::sandbox::Sandbox;

/// What follows the environment's own programs in `PATH`.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the program sees the layer of its own: a folder of its home.
const LAYER: &str = "/root/python";
/// The folder's name.
const LAYER_NAME: &str = "python";

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

    /// The script with a scratch folder of its own, where several are started from one description.
    fn of_instance(mut self) -> Self {
        if let Ok(instance) = std::env::var("SAGEBRUSH_INSTANCE") {
            self.sandbox.scratch = self.sandbox.scratch.join(format!("instance-{instance}"));
        }
        self
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

/// Gives a sandbox an environment, with a layer of its own in the home folder.
fn equip(mut sandbox: Sandbox, environment: &Environment) -> io::Result<Sandbox> {
    // What an earlier run of the same program left belongs to another user.
    for folder in [sandbox.scratch.join("home"), sandbox.scratch.join("tmp")] {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let place = Path::new(LAYER);
    layer::write(environment, &sandbox.scratch.join("home").join(LAYER_NAME), place)?;
    let variables = &mut sandbox.environment;
    variables.insert("PATH".into(), format!("{LAYER}/bin:{SYSTEM_PATH}"));
    variables.insert("VIRTUAL_ENV".into(), LAYER.into());
    if sandbox.is_server {
        listen(&mut sandbox);
    }
    sandbox.readable.extend(environment.needs.iter().cloned());
    if sandbox.program == "python" {
        sandbox.program = format!("{LAYER}/bin/python");
    }
    Ok(sandbox)
}

/// Tells a model server where to listen, by the variables that the runner started this process with. One
/// without a network gets a socket that is listening already.
fn listen(sandbox: &mut Sandbox) {
    let told = |name: &str| std::env::var(name).ok();
    let (Some(port), Some(address)) = (told("SAGEMAKER_BIND_TO_PORT"), told("SAGEBRUSH_BIND_TO_ADDRESS"))
    else {
        return;
    };
    if sandbox.isolated {
        sandbox.listen = format!("{address}:{port}").parse().ok();
        sandbox.arguments.push("--inherited".into());
    }
    sandbox.arguments.extend(["--address".to_owned(), address]);
    sandbox.environment.insert("SAGEMAKER_BIND_TO_PORT".into(), port);
}

/// Runs a script: the whole work of the hidden command `sagebrush script`. Comes back only when the
/// program could not be started.
pub fn run(description: &Path) -> ExitCode {
    let read = std::fs::read(description).map_err(|error| error.to_string());
    let read =
        read.and_then(|text| serde_json::from_slice::<Script>(&text).map_err(|error| error.to_string()));
    let script = match read {
        Ok(script) => script.of_instance(),
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
    let description = script.sandbox.scratch.join("sandbox.json");
    let written = std::fs::create_dir_all(&script.sandbox.scratch);
    let written = written
        .and_then(|()| equip(script.sandbox.clone(), environment))
        .and_then(|sandbox| sandbox.write(&description));
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
    fn a_sandbox_with_an_environment_finds_it_first() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir_all(folder.path().join("e/bin"))?;
        let environment = Environment {
            id: "e".into(),
            name: "n".into(),
            python: "3.11.2".into(),
            packages: Vec::new(),
            interpreter: "/usr/bin/python3.11".into(),
            site_packages: "lib/python3.11/site-packages".into(),
            needs: vec![folder.path().join("e"), "/usr".into()],
            layers: vec![folder.path().join("e")],
        };
        let scratch = folder.path().join("scratch");
        std::fs::create_dir_all(scratch.join("home/left-behind"))?;
        let sandbox = equip(Sandbox::of("python", scratch.clone()), &environment)?;
        assert_eq!(sandbox.program, "/root/python/bin/python");
        assert!(sandbox.environment["PATH"].starts_with("/root/python/bin:/usr/local/sbin:"));
        assert_eq!(sandbox.readable, environment.needs);
        assert!(
            scratch.join("home/python/pyvenv.cfg").is_file() && !scratch.join("home/left-behind").exists()
        );
        Ok(())
    }
}
