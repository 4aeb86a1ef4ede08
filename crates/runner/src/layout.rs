//! The folder that stands for `/opt/ml`, as the container contracts lay it out.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The places inside one job's or model's folder.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout under `root`, which stands for `/opt/ml`.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder that stands for `/opt/ml`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a channel's files lie.
    pub fn channel(&self, name: &str) -> PathBuf {
        self.root.join("input/data").join(name)
    }

    /// Where the data of a channel in Pipe mode waits: beside `/opt/ml`, where the program does not see it.
    pub fn piped(&self, channel: &str) -> PathBuf {
        let mut beside = self.root.as_os_str().to_owned();
        beside.push("-piped");
        PathBuf::from(beside).join(channel)
    }

    /// What becomes `model.tar.gz`.
    pub fn model(&self) -> PathBuf {
        self.root.join("model")
    }

    /// What becomes `output.tar.gz`.
    pub fn output_data(&self) -> PathBuf {
        self.root.join("output/data")
    }

    /// Where a training job keeps the state it can continue from.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// Where a training job says why it failed.
    pub fn failure(&self) -> PathBuf {
        self.root.join("output/failure")
    }

    /// Where a processing job leaves its exit message.
    pub fn message(&self) -> PathBuf {
        self.root.join("output/message")
    }

    /// The place of an absolute container path below `/opt/ml`, or `None` when it lies elsewhere or
    /// climbs out.
    pub fn place(&self, container_path: &str) -> Option<PathBuf> {
        let inner = container_path.strip_prefix("/opt/ml/")?;
        let climbs = inner.split('/').any(|part| part == ".." || part == ".");
        (!climbs).then(|| self.root.join(inner.trim_end_matches('/')))
    }

    /// Makes the folders of the training contract and writes its configuration files.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn write_training(
        &self,
        hyperparameters: &Value,
        channels: &Value,
        resources: &Value,
    ) -> io::Result<()> {
        for folder in ["input/config", "input/data", "model", "output/data"] {
            fs::create_dir_all(self.root.join(folder))?;
        }
        let config = self.root.join("input/config");
        fs::write(config.join("hyperparameters.json"), hyperparameters.to_string())?;
        fs::write(config.join("inputdataconfig.json"), channels.to_string())?;
        fs::write(config.join("resourceconfig.json"), resources.to_string())
    }

    /// Makes the folders of the processing contract and writes its configuration files.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn write_processing(&self, job: &Value, resources: &Value) -> io::Result<()> {
        for folder in ["config", "processing/input", "processing/output", "output"] {
            fs::create_dir_all(self.root.join(folder))?;
        }
        let config = self.root.join("config");
        fs::write(config.join("processingjobconfig.json"), job.to_string())?;
        fs::write(config.join("resourceconfig.json"), resources.to_string())
    }
}

/// The first `characters` characters of a file that a job wrote about itself; `None` when there is
/// none or it is blank. Bytes that are not UTF-8 are replaced.
pub fn read_message(path: &Path, characters: usize) -> Option<String> {
    let mut bytes = Vec::new();
    // A character has at most four bytes.
    let limit = characters as u64 * 4;
    // A link could lead to what is not the job's, and a pipe would be waited for.
    if !path.symlink_metadata().ok()?.is_file() {
        return None;
    }
    fs::File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    let text: String = String::from_utf8_lossy(&bytes).trim().chars().take(characters).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_paths_stay_inside() {
        let layout = Layout::new("/data/job".into());
        let place = |path| layout.place(path).map(|path| path.to_string_lossy().into_owned());
        assert_eq!(place("/opt/ml/processing/input/x/"), Some("/data/job/processing/input/x".into()));
        assert_eq!(place("/opt/ml/../etc"), None);
        assert_eq!(place("/etc/passwd"), None);
        assert_eq!(place("/opt/ml"), None);
    }

    #[test]
    fn messages_are_cut_by_characters() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("failure");
        assert_eq!(read_message(&path, 5), None);
        fs::write(&path, "äöüäöüäöü")?;
        assert_eq!(read_message(&path, 5).as_deref(), Some("äöüäö"));
        fs::write(&path, " \n")?;
        assert_eq!(read_message(&path, 5), None);
        Ok(())
    }
}
