//! The training loop: epochs, evaluation after each, early stopping, the best epoch.

use std::time::{Instant, SystemTime};

use super::early_stopping::EarlyStopping;
use super::epoch::Trainer;
use super::log::Log;
use super::order::{Order, Rule};
use super::report::{self, Progress};
use super::scores::Scores;
use crate::TrainFailure;
use crate::kernels::Pool;
use crate::object2vec::dataset::Dataset;
use crate::object2vec::hyperparameters::Hyperparameters;
use crate::object2vec::network::{Network, Workspace};
use crate::object2vec::random::Random;

/// Streams of random numbers, beside those of the network.
const FILL_TRAIN: u64 = 100;
const FILL_EVALUATION: u64 = 101;
const SHUFFLE: u64 = 1 << 32;
const NEGATIVES: u64 = 2 << 32;
/// Samples that are evaluated at a time.
const EVALUATION_BATCH: usize = 256;
/// Tokens that are evaluated at a time, when there is more than one sample.
const EVALUATION_TOKENS: usize = 16_384;

/// A data set that is scored, and how.
pub(super) struct Evaluation<'a> {
    data: &'a Dataset,
    /// All records, filled up to whole batches as the original does.
    order: Order,
    space: Workspace,
}

impl<'a> Evaluation<'a> {
    /// Prepares the scoring of `data`.
    pub(super) fn new(h: &Hyperparameters, network: &Network, data: &'a Dataset) -> Self {
        let mut random = Random::new(h.seed, FILL_EVALUATION);
        Self {
            data,
            order: Order::new(Rule::new(h), data, 0, &mut random),
            space: Workspace::new(&network.shape, EVALUATION_BATCH, false),
        }
    }

    /// Number of samples, repetitions included.
    pub(super) fn samples(&self) -> usize {
        self.order.samples().len()
    }

    /// Scores all samples.
    pub(super) fn run(&mut self, pool: &Pool, h: &Hyperparameters, network: &Network) -> Scores {
        let mut scores = Scores::new(h.output_layer);
        for batch in self.data.batch(self.order.samples()).pieces(self.space.capacity, EVALUATION_TOKENS) {
            network.forward(pool, &mut self.space, batch, None);
            let labels = batch.pairs.iter().map(|&pair| self.data.label(pair));
            scores.add(&self.space.output, labels, None);
        }
        scores
    }
}

/// The best epoch of a run and its loss.
pub(super) struct Best {
    pub epoch: usize,
    pub loss: f64,
}

/// One run of the loop.
pub(super) struct Fit<'a> {
    pub pool: &'a Pool,
    pub h: &'a Hyperparameters,
    pub train: &'a Dataset,
    pub validation: Option<&'a Dataset>,
    /// Tables that stay as they are.
    pub frozen: Vec<bool>,
    /// Start of the run.
    pub started: SystemTime,
}

impl Fit<'_> {
    /// Trains until the last epoch or until going on does not pay; leaves the best epoch's parameters in `network`.
    pub(super) fn run(&self, log: &mut Log<'_>, network: &mut Network) -> Result<Best, TrainFailure> {
        let h = self.h;
        let mut order = self.samples(FILL_TRAIN);
        let mut check = self.validation.map(|data| Evaluation::new(h, network, data));
        let mut trainer = Trainer::new(self.pool, h, network, &self.frozen);
        let mut stopping = EarlyStopping::new(h.early_stopping_patience, h.early_stopping_tolerance);
        let mut best: Option<Network> = None;
        for epoch in 0..h.epochs {
            let (clock, began) = (Instant::now(), SystemTime::now());
            if h.negative_sampling_rate > 0 {
                order = self.samples(NEGATIVES + epoch as u64);
            }
            order.shuffle(&mut Random::new(h.seed, SHUFFLE + epoch as u64));
            let trained = trainer.epoch(log, network, self.train, order.samples(), epoch)?;
            let training = clock.elapsed();
            trainer.settle(network);
            let checked = check.as_mut().map(|check| check.run(self.pool, h, network));
            let loss = checked.as_ref().unwrap_or(&trained).loss();
            if !loss.is_finite() {
                return Err(diverged(epoch, loss));
            }
            report::epoch(log, epoch, training, &trained, checked.as_ref())?;
            let judging = Instant::now();
            let verdict = stopping.judge(loss);
            let last = verdict.stop || epoch + 1 == h.epochs;
            match (&mut best, verdict.best, last) {
                (_, true, true) | (None, false, _) | (Some(_), false, false) => {}
                (Some(best), true, false) => best.copy_from(network),
                (None, true, false) => best = Some(network.clone()),
                (Some(best), false, true) => network.copy_from(best),
            }
            let progress = Progress {
                epoch,
                epochs: h.epochs,
                samples: order.samples().len(),
                batches: order.samples().len() / h.mini_batch_size,
                started: self.started,
                began,
                took: clock.elapsed(),
                judging: judging.elapsed(),
            };
            progress.write(log)?;
            verdict.lines.iter().try_for_each(|line| log.info(line))?;
            if verdict.stop {
                let host = log.host().to_owned();
                log.info(format!("#progress_metric: host={host}, completed 100 % epochs"))?;
                break;
            }
        }
        let (epoch, loss) = stopping.best().ok_or_else(|| TrainFailure::algorithm("no epoch was run"))?;
        Ok(Best { epoch, loss })
    }

    /// The samples of an epoch, not shuffled yet.
    fn samples(&self, purpose: u64) -> Order {
        let mut random = Random::new(self.h.seed, purpose);
        Order::new(Rule::new(self.h), self.train, self.h.negative_sampling_rate, &mut random)
    }
}

fn diverged(epoch: usize, loss: f64) -> TrainFailure {
    TrainFailure::algorithm(format!(
        "The loss after epoch {epoch} is {loss}: training has diverged. Lower learning_rate"
    ))
}
