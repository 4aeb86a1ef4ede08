//! One pass over the training records.

use std::borrow::Cow;
use std::time::Instant;

use super::average::{Average, LOOKS};
use super::report;
use super::scores::Scores;
use crate::TrainFailure;
use crate::contract::Log;
use crate::kernels::Pool;
use crate::object2vec::dataset::Dataset;
use crate::object2vec::hyperparameters::Hyperparameters;
use crate::object2vec::network::{Batch, Dropout, Dropouts, History, Network, Pair, Past, States, Workspace};
use crate::object2vec::optimizer::Optimizer;

/// Batches between two lines of progress.
const BATCHES_PER_LINE: usize = 100;

/// Everything that lives as long as the training loop, except the network.
pub(super) struct Trainer<'a> {
    pool: &'a Pool,
    h: &'a Hyperparameters,
    space: Workspace,
    states: States,
    history: Option<History>,
    average: Option<Average>,
}

impl<'a> Trainer<'a> {
    /// Before the first epoch; tables marked in `frozen` stay as they are.
    pub(super) fn new(
        pool: &'a Pool,
        h: &'a Hyperparameters,
        network: &Network,
        frozen: &[bool],
        train: &Dataset,
    ) -> Self {
        let mut states = States::new(&network.shape, Optimizer::new(h), h.row_sparse);
        states.freeze(frozen);
        Self {
            pool,
            h,
            space: Workspace::new(&network.shape, h.mini_batch_size, true),
            states,
            history: History::new(h, train),
            average: Average::new(h.own.average_epochs, network),
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
        let (began, h) = (Instant::now(), self.h);
        let factor = h.own.schedule.factor(epoch, h.epochs);
        self.states.set_rates(h.learning_rate * factor, h.own.embedding_decay);
        let mut scores = Scores::new(h.output_layer);
        let count = order.len() / h.mini_batch_size;
        for (index, pairs) in order.chunks(h.mini_batch_size).enumerate() {
            let step = u64::from(self.states.next_step());
            let dropout = |probability: f32| Dropout::new(probability, h.seed, step);
            let dropouts = Dropouts {
                encodings: dropout(h.own.embedding_dropout.unwrap_or(h.dropout)),
                layers: dropout(h.dropout),
            };
            let past = self.history.as_ref();
            let past = past.map(|history| Past { history, dropout: dropout(h.own.history_dropout) });
            let batch = Batch { past, ..data.batch(pairs) };
            self.states.prepare(self.pool, network, &mut self.space, batch);
            network.forward(self.pool, &mut self.space, batch, dropouts);
            let labels = pairs.iter().map(|&pair| data.label(pair));
            let gradient = self.space.gradients.as_mut().map(|g| &mut g.output);
            scores.add(&self.space.output, labels, gradient);
            self.states.step(self.pool, network, &mut self.space, batch, dropouts);
            let batches = index + 1;
            if let Some(average) = &mut self.average
                && batches * LOOKS / count > index * LOOKS / count
            {
                self.states.settle(self.pool, network);
                average.look(network);
            }
            if batches.is_multiple_of(BATCHES_PER_LINE) {
                let examples = batches * h.mini_batch_size;
                report::batches(log, epoch, batches, examples, began.elapsed(), &scores)?;
            }
        }
        self.states.settle(self.pool, network);
        Ok(scores)
    }

    /// The network that is to be evaluated and stored: the average, if there is one, without histories.
    pub(super) fn outcome<'n>(&'n self, network: &'n Network) -> Cow<'n, Network> {
        let network = self.average.as_ref().map_or(network, |average| average.parts().0);
        match &self.history {
            None => Cow::Borrowed(network),
            Some(history) => Cow::Owned(history.fold(network)),
        }
    }

    /// State of the optimiser, and the average of the weights.
    pub(super) fn parts(&self) -> (&States, Option<&Average>) {
        (&self.states, self.average.as_ref())
    }

    /// As [`Trainer::parts`], to continue from.
    pub(super) fn parts_mut(&mut self) -> (&mut States, Option<&mut Average>) {
        (&mut self.states, self.average.as_mut())
    }
}
