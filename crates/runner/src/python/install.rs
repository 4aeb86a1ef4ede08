//! Making one environment: the virtual environment by the interpreter, its packages by pip in a sandbox.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::nearest::{nearest, unsatisfied};
use super::{Environment, Environments, Interpreter, PythonError, Wanted, layer};
use crate::sandbox::Sandbox;

/// Pins that may give way to the nearest version before it fails: more than any image has.
const RETRIES: usize = 10;
/// Lines of pip that an error shows.
const LAST_LINES: usize = 6;
/// pip's settings whose value is a file or folder that it reads.
const FILES: &[&str] =
    &["PIP_CERT", "PIP_CONFIG_FILE", "PIP_FIND_LINKS", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"];

/// One environment to be made.
pub struct Install<'a> {
    pub environments: &'a Environments,
    pub wanted: &'a Wanted,
    pub python: &'a Interpreter,
    pub base: Option<&'a Environment>,
    pub folder: &'a Path,
    pub scratch: PathBuf,
}

/// How pip ended.
struct Pip {
    success: bool,
    last: VecDeque<String>,
}

impl Install<'_> {
    /// Makes it; returns the requirements that were installed in the end.
    pub fn run(&self, say: &mut dyn FnMut(&str)) -> Result<Vec<String>, PythonError> {
        self.make_folder()?;
        let mut packages = self.wanted.packages.clone();
        for _ in 0..RETRIES {
            if packages.is_empty() {
                return Ok(packages);
            }
            let pip = self.pip(&packages, say).map_err(|cause| self.io(cause))?;
            if pip.success {
                return Ok(packages);
            }
            // A job's own requirements are as they are; only those of an image are ours to bend.
            let other = pip.last.iter().find_map(|line| unsatisfied(line)).filter(|_| self.base.is_none());
            let bent = other.and_then(|(requirement, versions)| {
                let place = packages.iter().position(|package| *package == requirement)?;
                Some((place, nearest(&requirement, &versions).filter(|near| *near != requirement)?))
            });
            let Some((place, near)) = bent else { return Err(self.failed(&pip.last)) };
            say(&format!(
                "{} has no file for Python {} on this machine; using {near}",
                packages[place], self.python.version
            ));
            packages[place] = near;
        }
        Err(self.failed(&VecDeque::from(["no combination of versions was found.".to_owned()])))
    }

    fn io(&self, cause: io::Error) -> PythonError {
        PythonError::Io { name: self.wanted.name.clone(), cause }
    }

    fn failed(&self, last: &VecDeque<String>) -> PythonError {
        let lines: Vec<&str> = last.iter().rev().take(LAST_LINES).rev().map(String::as_str).collect();
        PythonError::Pip { name: self.wanted.name.clone(), last: lines.join(" ") }
    }

    /// The virtual environment without packages but pip.
    fn make_folder(&self) -> Result<(), PythonError> {
        let output = Command::new(&self.python.executable)
            .args(["-I", "-m", "venv"])
            .arg(self.folder)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .stdin(Stdio::null())
            .output()
            .map_err(|cause| self.io(cause))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).trim().replace('\n', " ");
            return Err(PythonError::NoPython(said.chars().take(500).collect()));
        }
        if let Some(base) = self.base {
            // What lies in the environment below is found after what lies in this one.
            let file = self.folder.join(&self.python.site_packages).join("_sagebrush_below.pth");
            fs::write(file, layer::below(base.layers.iter(), base)).map_err(|cause| self.io(cause))?;
        }
        Ok(())
    }

    fn pip(&self, packages: &[String], say: &mut dyn FnMut(&str)) -> io::Result<Pip> {
        fs::create_dir_all(&self.scratch)?;
        let list = self.scratch.join("requirements.txt");
        fs::write(&list, packages.join("\n") + "\n")?;
        let description = self.scratch.join("sandbox.json");
        self.sandbox(&list)?.write(&description)?;
        let (reader, writer) = io::pipe()?;
        let mut child = Command::new(&self.environments.executable)
            .arg("sandbox")
            .arg(&description)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .spawn()?;
        // Held until the end: the sandbox ends with it.
        let _lifeline = child.stdin.take();
        let mut last = VecDeque::new();
        let mut lines = BufReader::new(reader);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if text.is_empty() {
                continue;
            }
            say(&text);
            if last.len() == 50 {
                last.pop_front();
            }
            last.push_back(text);
        }
        Ok(Pip { success: child.wait()?.success(), last })
    }

    fn sandbox(&self, list: &Path) -> io::Result<Sandbox> {
        let settings = &self.environments.settings;
        let pip = self.environments.pip_settings();
        let mut environment: BTreeMap<_, _> =
            pip.map(|(name, value)| (name.clone(), value.clone())).collect();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.folder.join("bin").display());
        environment.insert("PATH".into(), path);
        environment.insert("HOME".into(), "/root".into());
        let mut arguments: Vec<String> =
            ["-m", "pip", "install", "--no-input", "--progress-bar=off", "--disable-pip-version-check"]
                .map(str::to_owned)
                .into();
        let mut writable = vec![self.folder.to_path_buf()];
        if self.base.is_none() {
            // Packages of images come as wheels, which run no code here, so they may share what was
            // downloaded. A job's requirements may run code, and the cache of all is not for it.
            let cache = self.environments.folder.join("cache");
            fs::create_dir_all(&cache)?;
            arguments.push("--only-binary=:all:".into());
            environment.insert("PIP_CACHE_DIR".into(), cache.to_string_lossy().into_owned());
            writable.push(cache);
        } else {
            arguments.push("--no-cache-dir".into());
        }
        arguments.extend(self.wanted.pip.iter().cloned());
        arguments.extend(["-r".to_owned(), list.to_string_lossy().into_owned()]);
        let mut readable = vec![self.python.prefix.clone(), list.to_path_buf()];
        readable.extend(self.base.into_iter().flat_map(|base| base.needs.iter().cloned()));
        let named = FILES.iter().filter_map(|name| settings.get(*name));
        let files = named.flat_map(|value| value.split_whitespace()).map(PathBuf::from);
        readable.extend(files.filter(|file| file.is_absolute() && file.exists()));
        let python = self.folder.join("bin/python").to_string_lossy().into_owned();
        Ok(Sandbox {
            readable,
            writable,
            hidden: vec![self.environments.folder.clone()],
            host_name: "pip".into(),
            arguments,
            environment,
            ..Sandbox::of(&python, self.scratch.clone())
        })
    }
}
