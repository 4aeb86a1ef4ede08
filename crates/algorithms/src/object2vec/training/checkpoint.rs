//! State of a run on disk, so that a run that was stopped or killed goes on where it was.
//!
//! When the folder `/opt/ml/checkpoints` exists, the state after each epoch is written to one file in it, which
//! replaces the one before. A run that finds the file continues after that epoch and ends with the same model, to the
//! bit, as one that was never interrupted: everything random follows from the seed, the epoch and the step.
//!
//! Promises: the file is complete at any moment; one that is damaged or of other settings fails the run, with a message
//! that says what to do. Never: mixes settings of two runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crc_fast::{CrcAlgorithm, Digest};
use serde::{Deserialize, Serialize};

use super::average::Average;
use super::epoch::Trainer;
use crate::TrainFailure;
use crate::contract::{Folders, Log};
use crate::object2vec::dataset::Dataset;
use crate::object2vec::hyperparameters::Hyperparameters;
use crate::object2vec::network::Network;
use crate::tensor_file::{self, Format};

const FORMAT: Format =
    Format { magic: b"SBOBJ2C\0", version: 1, algorithm: "object2vec", name: "checkpoint" };
const FILE: &str = "object2vec.checkpoint";
/// Hyperparameters that may differ from those of the run that wrote the checkpoint: they decide when a run ends, or
/// nothing at all.
const FREE: [&str; 7] = [
    "epochs",
    "early_stopping_patience",
    "early_stopping_tolerance",
    "_kvstore",
    "_num_gpus",
    "_num_kv_servers",
    "_tuning_objective_metric",
];

#[derive(Serialize, Deserialize)]
struct Header {
    hyperparameters: BTreeMap<String, String>,
    /// Checksum of the training records.
    data: u64,
    /// Steps of the optimiser.
    steps: u32,
    /// Bits of the loss of every epoch.
    losses: Vec<u64>,
    /// Looks that the average of the weights has taken.
    looks: u32,
    /// Whether the best epoch's parameters follow the current ones; otherwise the last epoch is the best.
    best_follows: bool,
}

/// What a run continues from.
pub(super) struct Restored {
    pub losses: Vec<f64>,
    /// The best epoch's parameters.
    pub best: Network,
}

/// The place of a run's checkpoints.
pub(super) struct Checkpoints {
    path: PathBuf,
    shown: String,
    data: u64,
}

impl Checkpoints {
    /// `None` when the run has no folder for them.
    pub(super) fn find(folders: &Folders<'_>, train: &Dataset) -> Option<Self> {
        let folder = folders.checkpoints();
        let path = folder.join(FILE);
        folder.is_dir().then(|| Self { shown: folders.shown(&path), path, data: checksum(train) })
    }

    /// Continues from the checkpoint, if there is one: fills network and trainer.
    ///
    /// # Errors
    /// A client failure when the checkpoint is damaged or does not fit the job.
    pub(super) fn restore(
        &self,
        log: &mut Log<'_>,
        h: &Hyperparameters,
        network: &mut Network,
        trainer: &mut Trainer<'_>,
    ) -> Result<Option<Restored>, TrainFailure> {
        let failure = |what: String| {
            TrainFailure::client(format!(
                "{what}. To start afresh, name a checkpoint location without a checkpoint"
            ))
        };
        let Some((header, reader)) = tensor_file::open::<Header>(&self.path, &FORMAT).map_err(failure)?
        else {
            log.info(format!("Saving checkpoints to {}; there is none to load.", self.shown))?;
            return Ok(None);
        };
        if let Some(difference) = difference(&header.hyperparameters, &h.values) {
            return Err(failure(format!("The checkpoint {} was made with {difference}", self.shown)));
        }
        let mut best = header.best_follows.then(|| trainer.outcome(network).into_owned());
        let (states, average) = trainer.parts_mut();
        let copies = if average.is_some() { 2 } else { 1 };
        let numbers = copies * network.shape.parameters()
            + states.numbers()
            + best.as_ref().map_or(0, |best| best.shape.parameters());
        let read = reader.tensors(numbers, |from| {
            network.read(from)?;
            states.restore(header.steps, |values| from.floats(values))?;
            average.map_or(Ok(()), |average| average.restore(header.looks).read(from))?;
            best.as_mut().map_or(Ok(()), |best| best.read(from))
        });
        read.map_err(failure)?;
        let best = best.unwrap_or_else(|| trainer.outcome(network).into_owned());
        if header.data != self.data {
            log.warning("The training records are not those that the checkpoint was made with.")?;
        }
        let epochs = header.losses.len();
        log.info(format!("Loaded checkpoint from {}. Continuing with epoch: {epochs}", self.shown))?;
        Ok(Some(Restored { losses: header.losses.into_iter().map(f64::from_bits).collect(), best }))
    }

    /// Writes the state after an epoch; `best` is `None` when that epoch is the best.
    ///
    /// # Errors
    /// An algorithm failure when the file cannot be written.
    pub(super) fn save(
        &self,
        log: &mut Log<'_>,
        h: &Hyperparameters,
        network: &Network,
        trainer: &Trainer<'_>,
        best: Option<&Network>,
        losses: &[f64],
    ) -> Result<(), TrainFailure> {
        let (states, average) = trainer.parts();
        let average = average.map(Average::parts);
        let header = Header {
            looks: average.map_or(0, |(_, looks)| looks),
            hyperparameters: h.values.clone(),
            data: self.data,
            steps: states.steps(),
            losses: losses.iter().map(|loss| loss.to_bits()).collect(),
            best_follows: best.is_some(),
        };
        let saved = tensor_file::save(&self.path, &FORMAT, &header, |out| {
            network.write(out)?;
            states.visit(|values| out.floats(values))?;
            average.map_or(Ok(()), |(average, _)| average.write(out))?;
            best.map_or(Ok(()), |best| best.write(out))
        });
        saved.map_err(|e| {
            TrainFailure::algorithm(format!("cannot write the checkpoint {}: {e}", self.shown))
        })?;
        log.info(format!("Saved checkpoint to \"{}\"", self.shown))
    }
}

/// The first hyperparameter in which two runs differ, in words.
fn difference(then: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Option<String> {
    // With a schedule the number of epochs decides the learning rate of each.
    let constant = now.get("_learning_rate_schedule").is_none_or(|schedule| schedule == "constant");
    let free = |name: &str| FREE.contains(&name) && (constant || name != "epochs");
    let names = then.keys().chain(now.keys()).filter(|name| !free(name));
    let value = |values: &BTreeMap<String, String>, name: &String| values.get(name).cloned();
    let name = names.into_iter().find(|name| value(then, name) != value(now, name))?;
    let text = |values| value(values, name).unwrap_or_else(|| "nothing".to_owned());
    Some(format!("{name} = {}, but this job has {name} = {}", text(then), text(now)))
}

fn checksum(data: &Dataset) -> u64 {
    let mut sum = Digest::new(CrcAlgorithm::Crc64Nvme);
    for record in 0..data.len() {
        for side in &data.sides {
            side.get(record).iter().for_each(|id| sum.update(&id.to_le_bytes()));
        }
        sum.update(&data.labels[record].to_le_bytes());
    }
    sum.finalize()
}
