//! One training run, from the folder of a training container to the model in it.
//!
//! Promises: the lines it writes have the shapes of SageMaker's own object2vec log; the model stored is that of the
//! best epoch; the same folder and seed give the same model whatever the number of threads. Never: leaves a model
//! behind when it fails.

mod average;
mod checkpoint;
mod early_stopping;
mod epoch;
mod fit;
mod memory;
mod order;
mod pretrained;
mod report;
mod scores;
mod setup;
mod warnings;

use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use serde_json::json;

use super::dataset::{Dataset, Expected, read_channel};
use super::hyperparameters::{Hyperparameters, OutputLayer};
use super::model_file;
use super::network::{Network, Shape};
use super::optimizer::Optimizer;
use super::{ALGORITHM_NAME, MODEL_FILE};
use crate::TrainFailure;
use crate::contract::{Folders, Log};
use crate::kernels::Pool;
use checkpoint::Checkpoints;
use fit::{Evaluation, Fit};
use setup::{DATA_CHANNELS, find_channels};

/// Most threads that pay.
const MAX_THREADS: usize = 16;
/// Trains on the folder `root`, which has the layout of `/opt/ml`: reads `input/config/*.json` and
/// `input/data/<channel>/`, writes the model to `model/model_algo-1`, and when it fails the reason to
/// `output/failure`. Log lines go to `stdout`, each flushed at once.
///
/// # Errors
/// What the user reads as the job's failure reason: a client failure names the hyperparameter, or the file, line and
/// key; an algorithm failure says what the machine refused.
pub fn train(root: &Path, stdout: &mut dyn Write) -> Result<(), TrainFailure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    train_with_threads(root, stdout, threads)
}

/// As [`train`], with a given number of threads, which changes the time it takes and nothing else.
///
/// # Errors
/// As [`train`].
pub fn train_with_threads(root: &Path, stdout: &mut dyn Write, threads: usize) -> Result<(), TrainFailure> {
    let folders = Folders(root);
    let mut log = Log::new(stdout, "algo-1".to_owned());
    let result = run(&folders, &mut log, threads);
    if let Err(failure) = &result {
        folders.report(&mut log, failure);
    }
    result
}

fn run(folders: &Folders<'_>, log: &mut Log<'_>, threads: usize) -> Result<(), TrainFailure> {
    let started = SystemTime::now();
    let given = folders.read_hyperparameters()?;
    let h = Hyperparameters::from_json(&given)?;
    if let Some(host) = folders.read_host(ALGORITHM_NAME)? {
        log.set_host(host);
    }
    announce(folders, log, &h, &given)?;
    let [train, validation, test] = read_channels(folders, log, &h)?;
    let Some(train) = train else {
        return Err(TrainFailure::client("The channel 'train' is required"));
    };
    warnings::write(log, &h, &train, validation.as_ref())?;
    let shape = Shape::new(&h);
    log.info(format!("Total params: {}", shape.parameters()))?;
    memory::check(&shape, &Optimizer::new(&h), &h, &train)?;
    let pool = Pool::new(threads);
    let mut network = Network::xavier(shape, h.seed);
    if h.own.bias_terms {
        network.start_output_at(train.mean_label());
    }
    let frozen = pretrained::fill(log, folders, &h, &mut network)?;
    let checkpoints = Checkpoints::find(folders, &train);
    let validation = validation.as_ref();
    let fit = Fit { pool: &pool, frozen, h: &h, train: &train, validation, checkpoints, started };
    let best = fit.run(log, network)?;
    let network = best.network;
    log.info(format!("Best model based on epoch {}. Best loss: {:.3}", best.epoch, best.loss))?;
    let path = folders.model(MODEL_FILE);
    log.info(format!("Serializing model to {}", folders.shown(&path)))?;
    model_file::save(&path, &network, &h).map_err(|e| {
        TrainFailure::algorithm(format!("cannot write the model {}: {e}", folders.shown(&path)))
    })?;
    let Some(test) = test else { return log.info("Test data is not provided.") };
    let mut evaluation = Evaluation::new(&h, &network, &test);
    let scores = evaluation.run(&pool, &h, &network);
    report::test(log, evaluation.samples(), h.mini_batch_size, &scores)
}

/// The lines about the configuration.
fn announce(
    folders: &Folders<'_>,
    log: &mut Log<'_>,
    h: &Hyperparameters,
    given: &[u8],
) -> Result<(), TrainFailure> {
    let given: serde_json::Value = serde_json::from_slice(given).unwrap_or_default();
    log.info(format!(
        "Reading default configuration from default-input.json: {}",
        json!(Hyperparameters::defaults())
    ))?;
    let path = folders.hyperparameters();
    log.info(format!("Merging with provided configuration from {}: {given}", folders.shown(&path)))?;
    log.info(format!("Final configuration: {}", json!(h.values)))?;
    if h.output_layer == OutputLayer::MeanSquaredError {
        log.info("output_layer is set to mean_squared_error. Ignoring the hyperparameter 'num_classes'.")?;
    }
    for encoder in &h.encoders {
        if encoder.width(h.enc_dim) != encoder.token_embedding_dim {
            log.info(format!(
                "Inconsistent enc_dim and token_embedding_dim found for token-embedding-encoder: {} vs {}. Setting \
                 token embedding dim to be {}",
                h.enc_dim, encoder.token_embedding_dim, h.enc_dim
            ))?;
        }
    }
    Ok(())
}

/// Reads the channels there are, in the order of [`DATA_CHANNELS`].
fn read_channels(
    folders: &Folders<'_>,
    log: &mut Log<'_>,
    h: &Hyperparameters,
) -> Result<[Option<Dataset>; 3], TrainFailure> {
    let present = find_channels(folders)?;
    let expected = Expected {
        encoders: &h.encoders,
        classes: (h.output_layer == OutputLayer::Softmax).then_some(h.num_classes),
    };
    let mut found = [None, None, None];
    for (slot, name) in found.iter_mut().zip(DATA_CHANNELS) {
        if !present.contains(&name) {
            continue;
        }
        let folder = folders.channel(name);
        log.info(format!("Creating data iterator for {}", folders.shown(&folder)))?;
        let data = read_channel(name, &folder, &expected)?;
        report::channel(log, h, name, &data)?;
        *slot = Some(data);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
