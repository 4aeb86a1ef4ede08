//! One training run, from the folder of a training container to the model in it.
//!
//! Promises: the model holds the first `n_users` users and all items of the train channel; validation and test say how
//! it will do as it is served. Never: leaves a model behind when it fails.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::dataset::{format, read_channel};
use super::evaluation::Scores;
use super::hyperparameters::Hyperparameters;
use super::model::Model;
use super::ratings::{Collected, Labels, Ratings};
use super::{ALGORITHM_NAME, MODEL_FILE, model_file};
use crate::TrainFailure;
use crate::contract::{Folders, Log};
use crate::kernels::Pool;

/// Most threads that pay.
const MAX_THREADS: usize = 16;
/// The channels that are read.
const CHANNELS: &[&str] = &["train", "validation", "test"];

/// Trains on the folder `root`, which has the layout of `/opt/ml`: reads `input/config/*.json` and
/// `input/data/<channel>/`, writes the model to `model/model_algo-1`, and when it fails the reason to
/// `output/failure`. Log lines go to `stdout`, each flushed at once.
///
/// # Errors
/// What the user reads as the job's failure reason: a client failure names the hyperparameter, or the file, line and
/// column; an algorithm failure says what the machine refused.
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
    let given = folders.read_hyperparameters()?;
    let h = Hyperparameters::from_json(&given)?;
    if let Some(host) = folders.read_host(ALGORITHM_NAME)? {
        log.set_host(host);
    }
    log.info(format!("Final configuration: {}", json!(h.values)))?;
    let channels = folders.find_channels(ALGORITHM_NAME, CHANNELS, &["train"])?;
    let (ratings, mut users, items) = read(folders, log, "train", &h)?.finish();
    let ratings = match h.n_users {
        Some(count) if count < ratings.rows() => {
            log.info(format!("Training on the first {count} of {} users", ratings.rows()))?;
            users.truncate(count);
            ratings.first_rows(count)
        }
        _ => ratings,
    };
    census(log, &ratings)?;
    let mut held_out = Vec::new();
    for name in channels.into_iter().filter(|&name| name != "train") {
        held_out.push((name, read(folders, log, name, &h)?.finish()));
    }
    let path = folders.model(MODEL_FILE);
    let save = |log: &mut Log<'_>, h: &_, users: &_, items: &_, ratings: &_| {
        log.info(format!("Serializing model to {}", folders.shown(&path)))?;
        model_file::save(&path, h, users, items, ratings).map_err(|e| {
            TrainFailure::algorithm(format!("cannot write the model {}: {e}", folders.shown(&path)))
        })
    };
    if held_out.is_empty() {
        log.info("Neither validation nor test data is provided")?;
        return save(log, &h, &users, &items, &ratings);
    }
    let model = Model::new(h, users, items, ratings);
    let pool = Pool::new(threads);
    for (name, (ratings, users, items)) in held_out {
        evaluate(log, name, &model, (&ratings, &users, &items), &pool)?;
    }
    save(log, &model.h, &model.users, &model.items, &model.ratings)
}

/// The lines about the training set.
fn census(log: &mut Log<'_>, ratings: &Ratings) -> Result<(), TrainFailure> {
    let cells = ratings.rows() as f64 * ratings.columns() as f64;
    log.quality(None, "train", "users", "count", ratings.rows() as f64)?;
    log.quality(None, "train", "items", "count", ratings.columns() as f64)?;
    log.quality(None, "train", "ratings", "count", ratings.len() as f64)?;
    log.quality(None, "train", "density", "share", ratings.len() as f64 / cells)
}

/// Reads a channel and says what is in it.
fn read(
    folders: &Folders<'_>,
    log: &mut Log<'_>,
    name: &str,
    h: &Hyperparameters,
) -> Result<Collected, TrainFailure> {
    let began = Instant::now();
    let config = folders.input_config()?;
    let format = format(name, config.get(name))?;
    let ratings = read_channel(name, &folders.channel(name), format, &h.columns)?;
    log.info(format!(
        "Read {} ratings of {} items by {} users from the channel '{name}' in {:.3} seconds",
        ratings.len(),
        ratings.items.len(),
        ratings.users.len(),
        began.elapsed().as_secs_f64()
    ))?;
    Ok(ratings)
}

/// Scores on a channel with held-out ratings.
fn evaluate(
    log: &mut Log<'_>,
    name: &str,
    model: &Model,
    held_out: (&Ratings, &Labels, &Labels),
    pool: &Pool,
) -> Result<(), TrainFailure> {
    let began = Instant::now();
    let scores = Scores::of(model, held_out, pool);
    log.info(format!(
        "Predicted {} held-out ratings of {} users in {:.3} seconds",
        scores.ratings,
        scores.users,
        began.elapsed().as_secs_f64()
    ))?;
    if scores.unknown > 0 {
        log.warning(format!(
            "{} ratings of the channel '{name}' are left out: their users are not in the training set",
            scores.unknown
        ))?;
    }
    for (measure, kind, value) in scores.measures() {
        log.quality(None, name, measure, kind, value)?;
    }
    Ok(())
}
