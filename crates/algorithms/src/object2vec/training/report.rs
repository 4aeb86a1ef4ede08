//! Which lines are written when: the records of a channel, the end of an epoch, the test channel.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::order::{Bucket, Rule};
use super::scores::Scores;
use crate::TrainFailure;
use crate::contract::{Log, python_time};
use crate::object2vec::dataset::Dataset;
use crate::object2vec::hyperparameters::Hyperparameters;

/// The lines about the records of one channel.
pub(super) fn channel(
    log: &mut Log<'_>,
    h: &Hyperparameters,
    name: &str,
    data: &Dataset,
) -> Result<(), TrainFailure> {
    let words = [data.sides[0].total(), data.sides[1].total()];
    log.info(format!("Source words: {}", words[0]))?;
    log.info(format!("Target words: {}", words[1]))?;
    let (batch, buckets) = (h.mini_batch_size, Rule::new(h).census(data));
    log.info(format!("Total: {} samples in {} buckets", data.len(), buckets.len()))?;
    if h.row_sparse && h.bucket_width > 0 {
        log.info(
            "token_embedding_storage_type is set to row_sparse. Ignoring the hyperparameter 'bucket_width'.",
        )?;
    }
    for Bucket { lengths, samples, words } in &buckets {
        let per_batch = *words as f64 / (*samples as f64 / batch as f64);
        let batches = samples.div_ceil(batch);
        log.info(format!(
            "Bucket of ({}, {}) : {samples} samples in {batches} batches of {batch}, approx {per_batch:.1} words/batch",
            lengths[0], lengths[1]
        ))?;
    }
    log.info("0 sentence pairs discarded")?;
    if data.truncated {
        log.warning("One or more sequences have been truncated because they exceeded max_seq_len")?;
    }
    for Bucket { lengths, samples, .. } in &buckets {
        let missing = samples.next_multiple_of(batch) - samples;
        if missing > 0 {
            log.info(format!(
                "Replicating {missing} random sentences from bucket ({}, {}) to size it to multiple of {batch}",
                lengths[0], lengths[1]
            ))?;
        }
    }
    match h.negative_sampling_rate {
        0 => Ok(()),
        _ if name != "train" => log.info("Negative sampling not used"),
        rate => log.info(format!("Negative sampling used with rate: {rate}")),
    }
}

/// The lines after every so many batches.
pub(super) fn batches(
    log: &mut Log<'_>,
    epoch: usize,
    batches: usize,
    examples: usize,
    time: Duration,
    scores: &Scores,
) -> Result<(), TrainFailure> {
    let rate = examples as f64 / time.as_secs_f64().max(1e-9);
    let time = python_time(time);
    log.info(format!(
        "Epoch: {epoch}, batches: {batches}, num_examples: {examples}, {rate:.1} samples/sec, epoch time so far: {time}"
    ))?;
    log.info(format!("#011Training metrics: {}", scores.summary()))
}

/// The block of lines that ends an epoch.
pub(super) fn epoch(
    log: &mut Log<'_>,
    epoch: usize,
    took: Duration,
    trained: &Scores,
    checked: Option<&Scores>,
) -> Result<(), TrainFailure> {
    log.info("**************")?;
    log.info(format!("Completed Epoch: {epoch}, time taken: {}", python_time(took)))?;
    log.info(format!("Epoch {epoch} Training metrics:   {}", trained.summary()))?;
    for (name, kind, value) in trained.quality() {
        log.quality(Some(epoch), "train", name, kind, value)?;
    }
    if let Some(checked) = checked {
        log.info(format!("Epoch {epoch} Validation metrics: {}", checked.summary()))?;
        for (name, kind, value) in checked.quality() {
            log.quality(Some(epoch), "validation", name, kind, value)?;
        }
    }
    log.info("**************")
}

/// How far a run has come when an epoch ends.
pub(super) struct Progress {
    pub epoch: usize,
    pub epochs: usize,
    /// Samples and batches of one epoch.
    pub samples: usize,
    pub batches: usize,
    /// Start of the run and of the epoch.
    pub started: SystemTime,
    pub began: SystemTime,
    /// Length of the epoch, evaluation included.
    pub took: Duration,
    /// Length of the decision whether to stop.
    pub judging: Duration,
}

impl Progress {
    /// The lines of measurements that follow the block of an epoch.
    pub(super) fn write(&self, log: &mut Log<'_>) -> Result<(), TrainFailure> {
        let one = |value: f64| json!({"sum": value, "count": 1, "min": value, "max": value});
        let now = SystemTime::now();
        let mut timings = json!({
            "update.time": one(self.took.as_secs_f64() * 1e3),
            "early_stop.time": one(self.judging.as_secs_f64() * 1e3),
        });
        if self.epoch == 0 {
            timings["epochs"] = one(self.epochs as f64);
        }
        log.metrics(self.began, now, json!({}), &timings)?;
        let percent = 100.0 * (self.epoch + 1) as f64 / self.epochs as f64;
        let digits = usize::from(percent.fract() != 0.0);
        let host = log.host().to_owned();
        log.info(format!("#progress_metric: host={host}, completed {percent:.digits$} % of epochs"))?;
        let (samples, batches, done) = (self.samples, self.batches, self.epoch + 1);
        let counts = json!({
            "Total Records Seen": one((samples * done) as f64),
            "Total Batches Seen": one((batches * done) as f64),
            "Max Records Seen Between Resets": one(samples as f64),
            "Max Batches Seen Between Resets": one(batches as f64),
            "Reset Count": one(done as f64),
            "Number of Records Since Last Reset": one(samples as f64),
            "Number of Batches Since Last Reset": one(batches as f64),
        });
        let extra = json!({"Meta": "training_data_iter", "epoch": self.epoch});
        log.metrics(self.started, now, extra, &counts)?;
        let rate = samples as f64 / self.took.as_secs_f64().max(1e-9);
        log.info(format!("#throughput_metric: host={host}, train throughput={rate} records/second"))
    }
}

/// The lines about the test channel.
pub(super) fn test(
    log: &mut Log<'_>,
    samples: usize,
    batch: usize,
    scores: &Scores,
) -> Result<(), TrainFailure> {
    let batches = samples / batch;
    log.info(format!(
        "Finished scoring on {samples} examples from {batches} batches, each of size {batch}."
    ))?;
    log.info(format!("Test Metrics:{}", scores.summary()))?;
    let host = log.host().to_owned();
    for (name, value) in scores.all() {
        log.info(format!("#test_score ({host}) : ('{name}', {value})"))?;
    }
    for (name, kind, value) in scores.quality() {
        log.quality(None, "test", name, kind, value)?;
    }
    Ok(())
}
