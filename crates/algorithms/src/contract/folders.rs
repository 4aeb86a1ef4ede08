//! The folder `/opt/ml` of a training program: where things are in it, its configuration, and the files of a channel.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Log;
use crate::TrainFailure;

/// Largest configuration file, in bytes.
const MAX_CONFIGURATION: u64 = 16 << 20;
/// Deepest folder below a channel.
const MAX_DEPTH: usize = 16;
/// Most files in a channel.
const MAX_FILES: usize = 1_000_000;
/// Longest line of a channel's file, in bytes: two lists of 5,000 ids take 80 kB; the rest is room for keys that are
/// not used.
const MAX_LINE: u64 = 4 << 20;

/// The folder `/opt/ml`, whichever stands for it.
pub(crate) struct Folders<'a>(pub &'a Path);

impl Folders<'_> {
    /// A path as a user knows it: below `/opt/ml`, whatever folder stands for that.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.0).map_or_else(
            |_| path.display().to_string(),
            |inside| Path::new("/opt/ml").join(inside).display().to_string(),
        )
    }

    pub(crate) fn hyperparameters(&self) -> PathBuf {
        self.0.join("input/config/hyperparameters.json")
    }

    pub(crate) fn channel(&self, name: &str) -> PathBuf {
        self.0.join("input/data").join(name)
    }

    pub(crate) fn model(&self, file: &str) -> PathBuf {
        self.0.join("model").join(file)
    }

    /// What becomes `output.tar.gz`.
    pub(crate) fn output(&self, file: &str) -> PathBuf {
        self.0.join("output/data").join(file)
    }

    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// Writes why a run failed to the log and to `output/failure`.
    pub(crate) fn report(&self, log: &mut Log<'_>, failure: &TrainFailure) {
        // The failure itself matters more than a log or a folder that cannot be written.
        let _ = log.error(failure);
        let path = self.0.join("output/failure");
        let _ = path.parent().map(fs::create_dir_all);
        let _ = fs::write(path, failure.to_string());
    }

    /// Reads the hyperparameters, unchecked.
    pub(crate) fn read_hyperparameters(&self) -> Result<Vec<u8>, TrainFailure> {
        let path = self.hyperparameters();
        read(&path)?.ok_or_else(|| TrainFailure::client(format!("{} is missing", self.shown(&path))))
    }

    /// Name of this host, for an algorithm that runs on one machine only.
    pub(crate) fn read_host(&self, algorithm: &str) -> Result<Option<String>, TrainFailure> {
        let Some(config) = self.read_object("input/config/resourceconfig.json")? else {
            return Ok(None);
        };
        let hosts = config.get("hosts").and_then(Value::as_array).map_or(1, Vec::len);
        if hosts > 1 {
            return Err(TrainFailure::client(format!(
                "{algorithm} trains on one machine, but {hosts} were asked for. Set the instance count to 1"
            )));
        }
        Ok(config.get("current_host").and_then(Value::as_str).map(str::to_owned))
    }

    /// Which of the channels `known` there are. The channels `required` are among them, and every configured channel
    /// is known and is not piped.
    pub(crate) fn find_channels(
        &self,
        algorithm: &str,
        known: &[&'static str],
        required: &[&str],
    ) -> Result<Vec<&'static str>, TrainFailure> {
        let config = self.input_config()?;
        for (name, channel) in &config {
            if !known.contains(&name.as_str()) {
                let all = known.join(", ");
                return Err(TrainFailure::client(format!(
                    "The channel '{name}' is not known to {algorithm} (allowed: {all})"
                )));
            }
            refuse_pipe(name, channel)?;
        }
        let present: Vec<_> = known.iter().copied().filter(|name| self.channel(name).is_dir()).collect();
        if let Some(name) = known.iter().find(|name| config.contains_key(**name) && !present.contains(name)) {
            return Err(TrainFailure::client(format!("The channel '{name}' has no data")));
        }
        match required.iter().find(|name| !present.contains(name)) {
            None => Ok(present),
            Some(name) => {
                Err(TrainFailure::client(format!("The channel '{name}' is required and was not given")))
            }
        }
    }

    /// `inputdataconfig.json`; empty when there is none.
    pub(crate) fn input_config(&self) -> Result<Map<String, Value>, TrainFailure> {
        Ok(self.read_object("input/config/inputdataconfig.json")?.unwrap_or_default())
    }

    fn read_object(&self, below: &str) -> Result<Option<Map<String, Value>>, TrainFailure> {
        let path = self.0.join(below);
        let Some(bytes) = read(&path)? else {
            return Ok(None);
        };
        let object = serde_json::from_slice(&bytes)
            .map_err(|e| TrainFailure::client(format!("{} is not a JSON object: {e}", path.display())))?;
        Ok(Some(object))
    }

    /// All files of a channel by path, each with the name that messages give it; names that begin with a dot are
    /// skipped.
    pub(crate) fn files(&self, channel: &str) -> Result<Vec<(PathBuf, String)>, TrainFailure> {
        files(channel, &self.channel(channel))
    }
}

/// As [`Folders::files`], of the channel in `folder`.
pub(crate) fn files(channel: &str, folder: &Path) -> Result<Vec<(PathBuf, String)>, TrainFailure> {
    let mut found = Vec::new();
    list(folder, 0, &mut found)?;
    let named = |path: PathBuf| {
        let shown = format!("{channel}/{}", path.strip_prefix(folder).unwrap_or(&path).display());
        (path, shown)
    };
    Ok(found.into_iter().map(named).collect())
}

fn refuse_pipe(name: &str, channel: &Value) -> Result<(), TrainFailure> {
    match channel.get("TrainingInputMode").and_then(Value::as_str) {
        Some("Pipe") => {
            Err(TrainFailure::client(format!("The channel '{name}' has the input mode Pipe. Use File")))
        }
        _ => Ok(()),
    }
}

/// The content of a file; `None` when there is no such file.
fn read(path: &Path) -> Result<Option<Vec<u8>>, TrainFailure> {
    match fs::metadata(path) {
        Ok(data) if data.len() > MAX_CONFIGURATION => {
            Err(TrainFailure::client(format!("{} is larger than {MAX_CONFIGURATION} bytes", path.display())))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        _ => fs::read(path)
            .map(Some)
            .map_err(|e| TrainFailure::algorithm(format!("cannot read {}: {e}", path.display()))),
    }
}

/// All files below `folder`, by path.
fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), TrainFailure> {
    let broken =
        |e: std::io::Error| TrainFailure::algorithm(format!("cannot read {}: {e}", folder.display()));
    let mut entries = fs::read_dir(folder).map_err(broken)?.collect::<Result<Vec<_>, _>>().map_err(broken)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if fs::metadata(&path).map_err(broken)?.is_dir() {
            if depth == MAX_DEPTH {
                return Err(TrainFailure::client(format!("{} is nested too deeply", path.display())));
            }
            list(&path, depth + 1, files)?;
        } else {
            if files.len() == MAX_FILES {
                return Err(TrainFailure::client(format!(
                    "{} holds more than {MAX_FILES} files",
                    folder.display()
                )));
            }
            files.push(path);
        }
    }
    Ok(())
}

/// Opens a file of a channel.
///
/// # Errors
/// An algorithm failure when the system refuses.
pub(crate) fn open(path: &Path, shown: &str) -> Result<File, TrainFailure> {
    File::open(path).map_err(|e| TrainFailure::algorithm(format!("cannot read {shown}: {e}")))
}

/// Calls `take` with every line of a file that is not blank; what `take` says of a line is completed by its place.
///
/// # Errors
/// A client failure for a line that is too long or that `take` refuses; an algorithm failure when the file cannot be
/// read.
pub(crate) fn each_line(
    path: &Path,
    shown: &str,
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), TrainFailure> {
    let broken = |e: std::io::Error| TrainFailure::algorithm(format!("cannot read {shown}: {e}"));
    let mut file = BufReader::with_capacity(1 << 18, open(path, shown)?);
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let size = file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(broken)?;
        if size == 0 {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let wrong = |what: String| TrainFailure::client(format!("{shown}, line {number}: {what}"));
        if size as u64 == MAX_LINE && text.len() == size {
            return Err(wrong(format!("the line is longer than {MAX_LINE} bytes")));
        }
        if !text.iter().all(u8::is_ascii_whitespace) {
            take(text).map_err(wrong)?;
        }
    }
    Ok(())
}
