//! The channels of object2vec, and what may be said of them.

use serde_json::Value;

use crate::TrainFailure;
use crate::contract::Folders;
use crate::object2vec::ALGORITHM_NAME;

/// Channels with records, in the order in which they are read.
pub(super) const DATA_CHANNELS: [&str; 3] = ["train", "validation", "test"];
/// The channel with vocabularies and pretrained embeddings.
pub(super) const AUXILIARY: &str = "auxiliary";

/// Which data channels there are; `train` is among them.
pub(super) fn find_channels(folders: &Folders<'_>) -> Result<Vec<&'static str>, TrainFailure> {
    for (name, channel) in &folders.input_config()? {
        check_channel(name, channel)?;
    }
    let [train, validation, test] = DATA_CHANNELS;
    let known = [train, validation, test, AUXILIARY];
    let mut present = folders.find_channels(ALGORITHM_NAME, &known, &[train])?;
    present.retain(|name| *name != AUXILIARY);
    Ok(present)
}

/// One entry of `inputdataconfig.json`.
fn check_channel(name: &str, channel: &Value) -> Result<(), TrainFailure> {
    let text = |key: &str| channel.get(key).and_then(Value::as_str).unwrap_or_default();
    let media_type = text("ContentType").split(';').next().unwrap_or_default().trim();
    if DATA_CHANNELS.contains(&name) && !media_type.is_empty() && media_type != "application/jsonlines" {
        return Err(TrainFailure::client(format!(
            "The channel '{name}' has the content type '{media_type}', but object2vec reads application/jsonlines"
        )));
    }
    let record = text("RecordWrapperType");
    if !matches!(record, "" | "None") {
        return Err(TrainFailure::client(format!(
            "The channel '{name}' has the record wrapper '{record}'. Use None"
        )));
    }
    Ok(())
}
