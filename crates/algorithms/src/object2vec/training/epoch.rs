//! One pass over the training records.

use std::time::Instant;

use super::log::Log;
use super::report;
use super::scores::Scores;
use crate::TrainFailure;
use crate::kernels::Pool;
use crate::object2vec::dataset::Dataset;
use crate::object2vec::hyperparameters::{Hyperparameters, OutputLayer};
use crate::object2vec::network::{Dropout, Network, Pair, States, Workspace};
use crate::object2vec::optimizer::Optimizer;

/// Batches between two lines of progress.
const BATCHES_PER_LINE: usize = 100;

/// Everything that lives as long as the training loop, except the network.
pub(super) struct Trainer<'a> {
    pool: &'a Pool,
    space: Workspace,
    states: States,
    batch: usize,
    dropout: f32,
    seed: u64,
    output: OutputLayer,
}

impl<'a> Trainer<'a> {
    /// Before the first epoch; tables marked in `frozen` stay as they are.
    pub(super) fn new(pool: &'a Pool, h: &Hyperparameters, network: &Network, frozen: &[bool]) -> Self {
        let mut states = States::new(&network.shape, Optimizer::new(h), h.row_sparse);
        states.freeze(frozen);
        Self {
            pool,
            space: Workspace::new(&network.shape, h.mini_batch_size, true),
            states,
            batch: h.mini_batch_size,
            dropout: h.dropout,
            seed: h.seed,
            output: h.output_layer,
        }
    }

    /// Visits the samples in `order`; returns the averages over the epoch, measured before each update.
    pub(super) fn epoch(
        &mut self,
        log: &mut Log<'_>,
        network: &mut Network,
        data: &Dataset,
        order: &[Pair],
        epoch: usize,
    ) -> Result<Scores, TrainFailure> {
        let began = Instant::now();
        let mut scores = Scores::new(self.output);
        for (index, pairs) in order.chunks(self.batch).enumerate() {
            let batch = data.batch(pairs);
            let dropout = Dropout::new(self.dropout, self.seed, self.states.next_step());
            self.states.prepare(self.pool, network, &mut self.space, batch);
            network.forward(self.pool, &mut self.space, batch, dropout);
            let labels = pairs.iter().map(|&pair| data.label(pair));
            let gradient = self.space.gradients.as_mut().map(|g| &mut g.output);
            scores.add(&self.space.output, labels, gradient);
            self.states.step(self.pool, network, &mut self.space, batch, dropout);
            let batches = index + 1;
            if batches.is_multiple_of(BATCHES_PER_LINE) {
                report::batches(log, epoch, batches, batches * self.batch, began.elapsed(), &scores)?;
            }
        }
        Ok(scores)
    }

    /// State of the optimiser.
    pub(super) fn states(&mut self) -> &mut States {
        &mut self.states
    }

    /// Brings all parameters up to date; call it before the network is used or stored.
    pub(super) fn settle(&mut self, network: &mut Network) {
        self.states.settle(self.pool, network);
    }
}
