//! The training loop: epochs, evaluation after each, early stopping, the best epoch.

use std::time::{Instant, SystemTime};

use super::checkpoint::Checkpoints;
use super::early_stopping::EarlyStopping;
use super::epoch::Trainer;
use super::order::{Order, Rule};
use super::report::{self, Progress};
use super::scores::Scores;
use crate::TrainFailure;
use crate::contract::Log;
use crate::kernels::Pool;
use crate::object2vec::dataset::Dataset;
use crate::object2vec::hyperparameters::Hyperparameters;
use crate::object2vec::network::{Dropouts, Network, Workspace};
use crate::random::Random;

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
        let mut scores = Scores::new(h.output_layer).within(h.own.output_range);
        for batch in self.data.batch(self.order.samples()).pieces(self.space.capacity, EVALUATION_TOKENS) {
            network.forward(pool, &mut self.space, batch, Dropouts::default());
            let labels = batch.pairs.iter().map(|&pair| self.data.label(pair));
            scores.add(&self.space.output, labels, None);
        }
        scores
    }
}

/// The best epoch of a run, its loss, and the network as it is to be stored.
pub(super) struct Best {
    pub network: Network,
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
    pub checkpoints: Option<Checkpoints>,
    /// Start of the run.
    pub started: SystemTime,
}

/// What the loop carries from epoch to epoch.
struct Loop<'a> {
    order: Order,
    trainer: Trainer<'a>,
    stopping: EarlyStopping,
    /// Parameters of the best epoch so far.
    best: Option<Network>,
    /// The next epoch.
    next: usize,
    /// Going on does not pay.
    stop: bool,
}

impl<'a> Fit<'a> {
    /// Trains until the last epoch or until going on does not pay.
    pub(super) fn run(&self, log: &mut Log<'_>, mut network: Network) -> Result<Best, TrainFailure> {
        let mut check = self.validation.map(|data| Evaluation::new(self.h, &network, data));
        let mut state = self.begin(log, &mut network)?;
        while state.next < self.h.epochs && !state.stop {
            self.epoch(log, &mut network, &mut state, check.as_mut())?;
        }
        match (state.stopping.best(), state.best) {
            (Some((epoch, loss)), Some(network)) => Ok(Best { epoch, loss, network }),
            _ => Err(TrainFailure::algorithm("no epoch was run")),
        }
    }

    /// The state before the next epoch: fresh, or that of the checkpoint.
    fn begin(&self, log: &mut Log<'_>, network: &mut Network) -> Result<Loop<'a>, TrainFailure> {
        let h = self.h;
        let mut state = Loop {
            order: self.samples(FILL_TRAIN),
            trainer: Trainer::new(self.pool, h, network, &self.frozen, self.train),
            stopping: EarlyStopping::new(h.early_stopping_patience, h.early_stopping_tolerance),
            best: None,
            next: 0,
            stop: false,
        };
        let Some(checkpoints) = &self.checkpoints else {
            log.info("Checkpoint loading and saving are disabled.")?;
            return Ok(state);
        };
        if let Some(restored) = checkpoints.restore(log, h, network, &mut state.trainer)? {
            for (epoch, &loss) in restored.losses.iter().enumerate() {
                state.stop = state.stopping.judge(loss).stop;
                // The order of an epoch follows from that of the epoch before.
                self.reorder(&mut state.order, epoch);
            }
            state.next = restored.losses.len();
            state.best = Some(restored.best);
        }
        Ok(state)
    }

    /// One epoch: train, evaluate, report, judge.
    fn epoch(
        &self,
        log: &mut Log<'_>,
        network: &mut Network,
        state: &mut Loop<'_>,
        check: Option<&mut Evaluation<'_>>,
    ) -> Result<(), TrainFailure> {
        let (h, epoch) = (self.h, state.next);
        let (clock, began) = (Instant::now(), SystemTime::now());
        self.reorder(&mut state.order, epoch);
        let samples = state.order.samples();
        let trained = state.trainer.epoch(log, network, self.train, samples, epoch)?;
        let training = clock.elapsed();
        let outcome = state.trainer.outcome(network);
        let checked = check.map(|check| check.run(self.pool, h, &outcome));
        let loss = checked.as_ref().unwrap_or(&trained).loss();
        if !loss.is_finite() {
            return Err(diverged(epoch, loss));
        }
        report::epoch(log, epoch, training, &trained, checked.as_ref())?;
        let judging = Instant::now();
        let verdict = state.stopping.judge(loss);
        (state.next, state.stop) = (epoch + 1, verdict.stop);
        if verdict.best {
            match &mut state.best {
                Some(best) => best.copy_from(&outcome),
                None => state.best = Some(outcome.into_owned()),
            }
        }
        let progress = Progress {
            epoch,
            epochs: h.epochs,
            samples: samples.len(),
            batches: samples.len() / h.mini_batch_size,
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
        }
        let Some(checkpoints) = &self.checkpoints else { return Ok(()) };
        let best = state.best.as_ref().filter(|_| !verdict.best);
        checkpoints.save(log, h, network, &state.trainer, best, state.stopping.losses())
    }

    /// The order of the samples in this epoch; the epochs before must have been asked for.
    fn reorder(&self, order: &mut Order, epoch: usize) {
        if self.h.negative_sampling_rate > 0 {
            *order = self.samples(NEGATIVES + epoch as u64);
        }
        order.shuffle(&mut Random::new(self.h.seed, SHUFFLE + epoch as u64));
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
