//! The machine's Python interpreters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::PythonError;

/// Names an interpreter when the first `python3` of `PATH` is not the one to use.
pub(super) const VARIABLE: &str = "SAGEBRUSH_PYTHON";

/// Prints what [`Interpreter`] holds. The base executable is the one a virtual environment was made with.
const QUESTION: &str = "
import json, platform, sys, sysconfig
base = getattr(sys, '_base_executable', None) or sys.executable
site = 'lib/python%d.%d/site-packages' % sys.version_info[:2]
print(json.dumps({'executable': base, 'version': platform.python_version(), 'platform': sysconfig.get_platform(),
                  'prefix': sys.base_prefix, 'site_packages': site}))
";

/// An interpreter that can make environments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Interpreter {
    /// Its program.
    pub executable: PathBuf,
    /// `3.11.2`.
    pub version: String,
    /// `linux-x86_64`.
    pub platform: String,
    /// Where it is installed.
    pub prefix: PathBuf,
    /// Where packages lie in an environment, relative to it.
    pub site_packages: PathBuf,
}

impl Interpreter {
    /// The interpreter of a version where there is one, the machine's usual one otherwise.
    pub(super) fn find(
        version: Option<&str>,
        settings: &BTreeMap<String, String>,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, PythonError> {
        if let Some(named) = settings.get(VARIABLE) {
            return Self::ask(Path::new(named), settings).map_err(PythonError::NoPython);
        }
        if let Some(version) = version
            && let Ok(found) = Self::ask(Path::new(&format!("python{version}")), settings)
        {
            return Ok(found);
        }
        let found = Self::ask(Path::new("python3"), settings).map_err(PythonError::NoPython)?;
        if let Some(version) = version.filter(|version| !found.version.starts_with(&format!("{version}."))) {
            say(&format!("Python {version} is not on this machine; using Python {}", found.version));
        }
        Ok(found)
    }

    /// Asks a program what it is; why it is none otherwise.
    pub(super) fn ask(program: &Path, settings: &BTreeMap<String, String>) -> Result<Self, String> {
        let name = program.display();
        let path = settings.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str);
        // Interpreters that version managers choose are found by these.
        let own = settings.iter().filter(|(name, _)| ["HOME", "PYENV_ROOT"].contains(&name.as_str()));
        let output = Command::new(program)
            // Without `site`: the packages of an environment have no say in what it is.
            .args(["-I", "-S", "-c", QUESTION])
            .env_clear()
            .env("PATH", path)
            .envs(own)
            .output()
            .map_err(|error| format!("{name}: {error}"))?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("{name}: {}", said.lines().last().unwrap_or("it does not say what it is"))
        })
    }
}
