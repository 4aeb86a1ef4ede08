//! What a training run finds in its folder: configuration and channels.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::TrainFailure;
use crate::object2vec::hyperparameters::Hyperparameters;

/// Largest configuration file, in bytes.
const MAX_CONFIGURATION: u64 = 16 << 20;
/// Channels with records, in the order in which they are read.
pub(super) const DATA_CHANNELS: [&str; 3] = ["train", "validation", "test"];
/// The channel with vocabularies and pretrained embeddings.
pub(super) const AUXILIARY: &str = "auxiliary";

/// The folder `/opt/ml` of a training container.
pub(super) struct Folders<'a>(pub &'a Path);

impl Folders<'_> {
    /// A path as a user knows it: below `/opt/ml`, whatever folder stands for that.
    pub(super) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.0).map_or_else(
            |_| path.display().to_string(),
            |inside| Path::new("/opt/ml").join(inside).display().to_string(),
        )
    }

    pub(super) fn hyperparameters(&self) -> PathBuf {
        self.0.join("input/config/hyperparameters.json")
    }

    pub(super) fn channel(&self, name: &str) -> PathBuf {
        self.0.join("input/data").join(name)
    }

    pub(super) fn model(&self) -> PathBuf {
        self.0.join("model").join(crate::object2vec::MODEL_FILE)
    }

    pub(super) fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    pub(super) fn failure(&self) -> PathBuf {
        self.0.join("output/failure")
    }

    /// Reads and checks the hyperparameters.
    pub(super) fn read_hyperparameters(&self) -> Result<(Hyperparameters, Vec<u8>), TrainFailure> {
        let path = self.hyperparameters();
        let bytes =
            read(&path)?.ok_or_else(|| TrainFailure::client(format!("{} is missing", self.shown(&path))))?;
        Ok((Hyperparameters::from_json(&bytes)?, bytes))
    }

    /// Name of this host; the algorithm runs on one machine only.
    pub(super) fn read_host(&self) -> Result<Option<String>, TrainFailure> {
        let Some(config) = self.read_object("input/config/resourceconfig.json")? else {
            return Ok(None);
        };
        let hosts = config.get("hosts").and_then(Value::as_array).map_or(1, Vec::len);
        if hosts > 1 {
            return Err(TrainFailure::client(format!(
                "object2vec trains on one machine, but {hosts} were asked for. Set the instance count to 1"
            )));
        }
        Ok(config.get("current_host").and_then(Value::as_str).map(str::to_owned))
    }

    /// Which data channels there are; `train` is among them.
    pub(super) fn find_channels(&self) -> Result<Vec<&'static str>, TrainFailure> {
        let config = self.read_object("input/config/inputdataconfig.json")?.unwrap_or_default();
        for (name, channel) in &config {
            check_channel(name, channel)?;
        }
        let present: Vec<_> = DATA_CHANNELS.into_iter().filter(|name| self.channel(name).is_dir()).collect();
        for name in DATA_CHANNELS {
            if config.contains_key(name) && !present.contains(&name) {
                return Err(TrainFailure::client(format!("The channel '{name}' has no data")));
            }
        }
        if !present.contains(&"train") {
            return Err(TrainFailure::client("The channel 'train' is required and was not given"));
        }
        Ok(present)
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

/// One entry of `inputdataconfig.json`.
fn check_channel(name: &str, channel: &Value) -> Result<(), TrainFailure> {
    if !DATA_CHANNELS.contains(&name) && name != AUXILIARY {
        return Err(TrainFailure::client(format!(
            "The channel '{name}' is not known to object2vec (allowed: train, validation, test, auxiliary)"
        )));
    }
    let text = |key: &str| channel.get(key).and_then(Value::as_str).unwrap_or_default();
    let media_type = text("ContentType").split(';').next().unwrap_or_default().trim();
    if name != AUXILIARY && !media_type.is_empty() && media_type != "application/jsonlines" {
        return Err(TrainFailure::client(format!(
            "The channel '{name}' has the content type '{media_type}', but object2vec reads application/jsonlines"
        )));
    }
    let mode = text("TrainingInputMode");
    if mode == "Pipe" {
        return Err(TrainFailure::client(format!("The channel '{name}' has the input mode Pipe. Use File")));
    }
    let record = text("RecordWrapperType");
    if !matches!(record, "" | "None") {
        return Err(TrainFailure::client(format!(
            "The channel '{name}' has the record wrapper '{record}'. Use None"
        )));
    }
    Ok(())
}
