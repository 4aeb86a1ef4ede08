//! Managed Python environments: virtual environments made from a list of requirements at their first
//! use and kept for the next.
//!
//! An environment is known by what it was made from: interpreter and requirements. A job's own
//! `requirements.txt` makes an environment on top of the one of its image, which shares that one's
//! packages. Packages are installed in a sandbox: building a package runs its code.
//!
//! Promises: an environment is there whole or not at all; one builder at a time makes it and the others
//! wait; nothing that is installed for one job can change the environment or the download cache of
//! another. Never: changes to the machine's own Python.

mod install;
mod interpreter;
pub mod layer;
mod nearest;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sagebrush_env::durable::{self, Readers};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use install::Install;
pub use interpreter::Interpreter;

/// What says that an environment is whole, and what it is.
const MARKER: &str = "sagebrush.json";
/// Hexadecimal digits of an environment's name: enough for every list of requirements there will be.
const NAME_DIGITS: usize = 16;
/// Bytes of a job's `requirements.txt`: a lock file of hundreds of packages with hashes has less.
const REQUIREMENTS_BYTES: u64 = 1 << 20;

/// What an environment is to be made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// What it is for, in a few words: an image's name.
    pub name: String,
    /// Requirements, as pip takes them.
    pub packages: Vec<String>,
    /// `3.11` or the like, when a version is wished for; another one is taken when it is not there.
    #[serde(default)]
    pub python: Option<String>,
    /// Further arguments of pip, such as `--extra-index-url=...`.
    #[serde(default)]
    pub pip: Vec<String>,
}

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// No interpreter.
    #[error(
        "there is no Python that can make environments on this machine ({0}). Install python3 with its venv \
         module (Debian: apt-get install python3-venv), or name an interpreter with SAGEBRUSH_PYTHON."
    )]
    NoPython(String),
    /// pip failed.
    #[error(
        "the Python environment '{name}' cannot be made. pip says: {last} On a machine without access to a package \
         index, prepare it with `sagebrush python prepare --wheels DIR`."
    )]
    Pip {
        /// The environment's name in words.
        name: String,
        /// pip's last lines.
        last: String,
    },
    /// The file system or a program that does not start.
    #[error("the Python environment '{name}': {cause}")]
    Io {
        /// The environment's name in words.
        name: String,
        /// What the system said.
        cause: io::Error,
    },
    /// No such environment.
    #[error("there is no environment '{0}'; `sagebrush python list` shows them.")]
    NotFound(String),
}

/// An environment that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Its name: digits of the digest of what it was made from.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Version of its Python.
    pub python: String,
    /// What was asked for.
    pub packages: Vec<String>,
    /// The program of the interpreter that it was made with.
    pub interpreter: PathBuf,
    /// Where packages lie in it, relative to its folder.
    pub site_packages: PathBuf,
    /// Folders that its Python needs: the interpreter's own, and those of the layers.
    pub needs: Vec<PathBuf>,
    /// Its folder, then the folder of the environment below it.
    pub layers: Vec<PathBuf>,
}

/// The environments of a data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environments {
    folder: PathBuf,
    executable: PathBuf,
    settings: BTreeMap<String, String>,
}

/// Environment variables by which an interpreter is found; nothing else sees them.
const FOR_INTERPRETER: &[&str] = &["PATH", "HOME", "PYENV_ROOT", interpreter::VARIABLE];

/// Whether an environment variable of the server says how environments are made: where interpreters are, and
/// pip's settings.
pub fn is_setting(name: &str) -> bool {
    let files = ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"];
    let is_proxy = ["http_proxy", "https_proxy", "no_proxy"].contains(&name.to_ascii_lowercase().as_str());
    name.starts_with("PIP_") || files.contains(&name) || is_proxy || FOR_INTERPRETER.contains(&name)
}

impl Environments {
    /// Environments in `folder`. `executable` is this program, which makes sandboxes; `settings` are the
    /// variables that [`is_setting`] names.
    pub fn new(folder: PathBuf, executable: PathBuf, settings: BTreeMap<String, String>) -> Self {
        Self { folder, executable, settings }
    }

    /// The settings that scripts may see: those that hold no password.
    pub fn open_settings(&self) -> impl Iterator<Item = (&String, &String)> {
        self.pip_settings().filter(|(_, value)| !value.contains('@'))
    }

    fn pip_settings(&self) -> impl Iterator<Item = (&String, &String)> {
        self.settings.iter().filter(|(name, _)| !FOR_INTERPRETER.contains(&name.as_str()))
    }

    /// This program.
    pub(crate) fn executable(&self) -> &Path {
        &self.executable
    }

    /// The environment that is wanted, made now when it is not there. `say` gets a line for every step.
    ///
    /// # Errors
    /// Every [`PythonError`] but `NotFound`.
    pub fn ensure(&self, wanted: &Wanted, say: &mut dyn FnMut(&str)) -> Result<Environment, PythonError> {
        let python = Interpreter::find(wanted.python.as_deref(), &self.settings, say)?;
        self.make(wanted, &python, None, say)
    }

    /// The environment `base` with the requirements of a job's file on top. A file without requirements
    /// adds nothing.
    ///
    /// # Errors
    /// As [`Environments::ensure`].
    pub fn extend(
        &self,
        base: &Environment,
        requirements: &Path,
        say: &mut dyn FnMut(&str),
    ) -> Result<Environment, PythonError> {
        let of = |cause| PythonError::Io { name: "requirements.txt".into(), cause };
        if fs::metadata(requirements).map_err(of)?.len() > REQUIREMENTS_BYTES {
            return Err(of(io::Error::other("the file is too large for a list of requirements")));
        }
        let text = fs::read_to_string(requirements).map_err(of)?;
        let lines: Vec<String> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect();
        if lines.is_empty() {
            return Ok(base.clone());
        }
        let name = format!("{} with requirements.txt", base.name);
        let wanted = Wanted { name, packages: lines, python: None, pip: Vec::new() };
        let python = Interpreter::ask(&base.interpreter, &self.settings).map_err(PythonError::NoPython)?;
        self.make(&wanted, &python, Some(base), say)
    }

    fn make(
        &self,
        wanted: &Wanted,
        python: &Interpreter,
        base: Option<&Environment>,
        say: &mut dyn FnMut(&str),
    ) -> Result<Environment, PythonError> {
        let of = |cause| PythonError::Io { name: wanted.name.clone(), cause };
        let id = name_of(wanted, python, base);
        let folder = self.folder.join(&id);
        if let Some(found) = self.read(&id) {
            return Ok(found);
        }
        durable::create_folder(&self.folder).map_err(of)?;
        let lock = File::create(self.folder.join(format!("{id}.lock"))).map_err(of)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            say(&format!("Waiting for the Python environment '{}', which is being made", wanted.name));
            flock(&lock, FlockOperation::LockExclusive).map_err(|error| of(error.into()))?;
            if let Some(found) = self.read(&id) {
                return Ok(found);
            }
        }
        // What an interrupted builder left.
        remove(&folder).map_err(of)?;
        say(&format!("Making the Python environment '{}' with Python {}", wanted.name, python.version));
        let install = Install {
            environments: self,
            wanted,
            python,
            base,
            folder: &folder,
            scratch: self.folder.join(format!("{id}.scratch")),
        };
        let made = install.run(say);
        // Nothing in it is needed again, and the next builder clears it too.
        let _ = remove(&install.scratch);
        if made.is_err() {
            // The error that led here says more than one about the rest of it.
            let _ = remove(&folder);
        }
        let environment = self.describe(&id, wanted, python, base, made?);
        let marker = serde_json::to_vec_pretty(&environment).map_err(|error| of(error.into()))?;
        durable::write(&folder.join(MARKER), &marker, Readers::Default).map_err(of)?;
        say(&format!("The Python environment '{}' is ready", wanted.name));
        Ok(environment)
    }

    fn describe(
        &self,
        id: &str,
        wanted: &Wanted,
        python: &Interpreter,
        base: Option<&Environment>,
        packages: Vec<String>,
    ) -> Environment {
        let layers =
            [self.folder.join(id)].into_iter().chain(base.into_iter().flat_map(|base| base.layers.clone()));
        let layers: Vec<PathBuf> = layers.collect();
        Environment {
            id: id.to_owned(),
            name: wanted.name.clone(),
            python: python.version.clone(),
            packages,
            interpreter: python.executable.clone(),
            site_packages: python.site_packages.clone(),
            needs: layers.iter().cloned().chain([python.prefix.clone()]).collect(),
            layers,
        }
    }

    /// The environments that are whole, in the order of their names.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn list(&self) -> io::Result<Vec<Environment>> {
        if !self.folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut found: Vec<Environment> = fs::read_dir(&self.folder)?
            .filter_map(|entry| self.read(entry.ok()?.file_name().to_str()?))
            .collect();
        found.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(found)
    }

    /// Removes an environment; jobs that use it now fail.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    pub fn remove(&self, id: &str) -> Result<(), PythonError> {
        let found = self.read(id).ok_or_else(|| PythonError::NotFound(id.into()))?;
        let of = |cause| PythonError::Io { name: found.name.clone(), cause };
        let lock = File::create(self.folder.join(format!("{id}.lock"))).map_err(of)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| of(error.into()))?;
        // Without its marker it is none, however far the rest comes.
        let folder = self.folder.join(id);
        fs::remove_file(folder.join(MARKER)).map_err(of)?;
        remove(&folder).map_err(of)
    }

    fn read(&self, id: &str) -> Option<Environment> {
        let plain = id.len() == NAME_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let text = fs::read(self.folder.join(id).join(MARKER)).ok().filter(|_| plain)?;
        serde_json::from_slice(&text).ok()
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn name_of(wanted: &Wanted, python: &Interpreter, base: Option<&Environment>) -> String {
    let mut packages = wanted.packages.clone();
    packages.sort();
    let made_from = serde_json::json!({
        "packages": packages,
        "pip": wanted.pip,
        "python": [python.version, python.platform, python.prefix],
        "base": base.map(|base| &base.id),
    });
    hex::encode(Sha256::digest(made_from.to_string()))[..NAME_DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python() -> Interpreter {
        Interpreter {
            executable: "/usr/bin/python3".into(),
            version: "3.11.2".into(),
            platform: "linux-x86_64".into(),
            prefix: "/usr".into(),
            site_packages: "lib/python3.11/site-packages".into(),
        }
    }

    fn wanted(packages: &[&str]) -> Wanted {
        Wanted { packages: packages.iter().map(|text| (*text).to_owned()).collect(), ..Wanted::default() }
    }

    #[test]
    fn an_environment_is_known_by_what_it_is_made_from() {
        let name = name_of(&wanted(&["a", "b==1"]), &python(), None);
        assert_eq!(name.len(), NAME_DIGITS);
        assert_eq!(name, name_of(&wanted(&["b==1", "a"]), &python(), None));
        assert_ne!(name, name_of(&wanted(&["b==2", "a"]), &python(), None));
        let other = Interpreter { version: "3.12.1".into(), ..python() };
        assert_ne!(name, name_of(&wanted(&["a", "b==1"]), &other, None));
    }

    #[test]
    fn what_is_not_whole_is_not_there() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let environments = Environments::new(folder.path().into(), "sagebrush".into(), BTreeMap::new());
        assert!(environments.list()?.is_empty());
        let id = "0123456789abcdef";
        fs::create_dir_all(folder.path().join(id))?;
        assert!(environments.list()?.is_empty());
        let environment = environments.describe(id, &wanted(&["a"]), &python(), None, vec!["a".into()]);
        fs::write(folder.path().join(id).join(MARKER), serde_json::to_vec(&environment)?)?;
        assert_eq!(environments.list()?, [environment]);
        assert!(matches!(environments.remove("../../etc"), Err(PythonError::NotFound(_))));
        environments.remove(id)?;
        assert!(!folder.path().join(id).exists());
        Ok(())
    }

    #[test]
    fn a_file_without_requirements_adds_nothing() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let environments = Environments::new(folder.path().into(), "sagebrush".into(), BTreeMap::new());
        let base = environments.describe("0123456789abcdef", &wanted(&[]), &python(), None, Vec::new());
        let file = folder.path().join("requirements.txt");
        fs::write(&file, "\n# nothing yet\n")?;
        assert_eq!(environments.extend(&base, &file, &mut |_| {})?, base);
        Ok(())
    }
}
