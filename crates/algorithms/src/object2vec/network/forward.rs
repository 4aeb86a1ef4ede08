//! From token lists to outputs.

use super::history::Past;
use super::{Network, Workspace};
use crate::kernels::{self, Matrix, Pool, for_rows_mut, hash_words};
use crate::object2vec::dataset::Tokens;
use crate::object2vec::hyperparameters::{Activation, Comparator};

/// Which record each side of a sample comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub first: u32,
    pub second: u32,
}

impl Pair {
    /// A record as it is in the data.
    pub(crate) fn given(record: u32) -> Self {
        Self { first: record, second: record }
    }

    /// Whether both sides come from the same record.
    pub(crate) fn is_given(self) -> bool {
        self.first == self.second
    }
}

/// Which samples to run.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub sides: [&'a Tokens; 2],
    pub pairs: &'a [Pair],
    /// What the sides take from their histories, while training.
    pub past: Option<Past<'a>>,
}

impl<'a> Batch<'a> {
    /// Number of samples.
    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// The batch in pieces of at most `samples` samples and, where a piece has more than one sample, of at most `tokens`
    /// tokens on either side.
    pub(crate) fn pieces(self, samples: usize, tokens: usize) -> impl Iterator<Item = Self> {
        let mut first = 0;
        std::iter::from_fn(move || {
            let (mut sums, mut count) = ([0, 0], 0);
            while first + count < self.len() && count < samples {
                for (side, sum) in sums.iter_mut().enumerate() {
                    *sum += self.tokens(side, first + count).len();
                }
                if count > 0 && sums.iter().any(|&sum| sum > tokens) {
                    break;
                }
                count += 1;
            }
            let pairs = &self.pairs[first..first + count];
            first += count;
            (count > 0).then_some(Self { pairs, ..self })
        })
    }

    /// The tokens of one side of one sample.
    pub(crate) fn tokens(&self, side: usize, position: usize) -> &'a [u32] {
        let pair = self.pairs[position];
        let record = if side == 0 { pair.first } else { pair.second };
        self.sides[side].get(record as usize)
    }
}

/// Dropout of one training step. Which elements are dropped follows from the seed, the step, the place in the network
/// and the position in the batch, so the backward pass repeats it without a stored mask.
#[derive(Clone, Copy)]
pub(crate) struct Dropout {
    threshold: u32,
    scale: f32,
    seed: u64,
    step: u64,
}

impl Dropout {
    /// `None` when nothing is dropped.
    pub(crate) fn new(probability: f32, seed: u64, step: u64) -> Option<Self> {
        if probability <= 0.0 {
            return None;
        }
        let kept = 1.0 - probability;
        let threshold = (f64::from(probability) * 4_294_967_296.0).min(4_294_967_295.0) as u32;
        let scale = if kept > 0.0 { 1.0 / kept } else { 0.0 };
        Some(Self { threshold, scale, seed, step })
    }

    /// Applies it to part of a row, from column `first` on. `place`: 0 and 1 are the encoders, 2 and up the layers.
    pub(crate) fn apply(&self, place: usize, row: usize, first: usize, values: &mut [f32]) {
        let seed = hash_words(&[self.seed, self.step, place as u64, row as u64]) as u32;
        kernels::dropout(values, seed, first, self.threshold, self.scale);
    }

    /// What kept values were multiplied with, or 1.
    pub(crate) fn scale_of(dropout: Option<Self>) -> f32 {
        dropout.map_or(1.0, |d| d.scale)
    }
}

/// Dropout of the encodings and of the layers; by default both the same.
#[derive(Clone, Copy, Default)]
pub(crate) struct Dropouts {
    pub encodings: Option<Dropout>,
    pub layers: Option<Dropout>,
}

impl Network {
    /// Runs a batch; afterwards `space.output` holds the outputs and `space.encoded` the encodings.
    pub(crate) fn forward(&self, pool: &Pool, space: &mut Workspace, batch: Batch<'_>, dropouts: Dropouts) {
        let count = batch.len();
        debug_assert!(count <= space.capacity);
        self.read_in_order(pool, space, batch);
        let Workspace { encoded: [e0, e1], sequences, inputs, output, all, .. } = space;
        let pooled = sequences.each_ref().map(Option::is_none);
        for_rows_mut(pool, [&mut *e0, &mut *e1, &mut inputs[0]], &all[..count], |_, row, [e0, e1, x]| {
            let [e0, e1] = [e0, e1].map(|e| &mut e[..self.shape.dim]);
            for (side, e) in [&mut *e0, &mut *e1].into_iter().enumerate().filter(|&(side, _)| pooled[side]) {
                self.pool_tokens(side, batch.tokens(side, row), e);
            }
            if let Some(past) = batch.past {
                let pair = [0, 1].map(|side| batch.tokens(side, row)[0]);
                for (side, e) in [&mut *e0, &mut *e1].into_iter().enumerate() {
                    past.add(side, &self.tables[self.shape.history_table(side)], pair, row, e);
                }
            }
            if let Some(dropout) = dropouts.encodings {
                dropout.apply(0, row, 0, e0);
                dropout.apply(1, row, 0, e1);
            }
            compare(&self.shape.comparators, e0, e1, x);
        });
        for (index, layer) in self.layers.iter().enumerate() {
            let (before, after) = inputs.split_at_mut(index + 1);
            let (hidden, target) = match after.first_mut() {
                Some(next) => (true, next),
                None => (false, &mut *output),
            };
            kernels::forward(pool, &before[index], count, &layer.weights, target, |row, first, values| {
                kernels::add(values, &layer.bias[first..first + values.len()]);
                activate(layer.activation, values);
                if !hidden {
                    self.add_bias_terms(batch, row, values);
                }
                if let Some(dropout) = dropouts.layers.filter(|_| hidden) {
                    dropout.apply(2 + index, row, first, values);
                }
            });
        }
    }

    /// Adds the bias terms of both sides of a sample, if there are any, each the mean over its tokens, to its output.
    pub(super) fn add_bias_terms(&self, batch: Batch<'_>, row: usize, output: &mut [f32]) {
        if !self.shape.bias_terms {
            return;
        }
        for side in 0..2 {
            let (table, tokens) = (&self.tables[self.shape.bias_table(side)], batch.tokens(side, row));
            let sum: f32 = tokens.iter().map(|&token| table.row(token as usize)[0]).sum();
            output.iter_mut().for_each(|output| *output += sum / tokens.len().max(1) as f32);
        }
    }

    /// Encodes the sides whose encoder reads in order.
    fn read_in_order(&self, pool: &Pool, space: &mut Workspace, batch: Batch<'_>) {
        for (side, (sequence, encoded)) in space.sequences.iter_mut().zip(&mut space.encoded).enumerate() {
            if let Some(sequence) = sequence {
                let table = &self.tables[self.shape.table_of(side)];
                sequence.forward(pool, side, batch, table, &self.encoders[side], encoded);
            }
        }
    }

    /// Encodes one side of a batch, without dropout, into `space.encoded[side]`.
    pub(crate) fn encode(&self, pool: &Pool, space: &mut Workspace, side: usize, batch: Batch<'_>) {
        let Workspace { encoded, sequences, all, .. } = space;
        let (encoded, table) = (&mut encoded[side], &self.tables[self.shape.table_of(side)]);
        match &mut sequences[side] {
            Some(sequence) => sequence.forward(pool, side, batch, table, &self.encoders[side], encoded),
            None => for_rows_mut(pool, [encoded], &all[..batch.len()], |_, row, [e]| {
                self.pool_tokens(side, batch.tokens(side, row), &mut e[..self.shape.dim]);
            }),
        }
    }

    /// The mean embedding of one list, into `into` (`dim` floats).
    pub(super) fn pool_tokens(&self, side: usize, tokens: &[u32], into: &mut [f32]) {
        let table: &Matrix = &self.tables[self.shape.table_of(side)];
        match tokens {
            [] => into.fill(0.0),
            [one] => into.copy_from_slice(table.row(*one as usize)),
            many => {
                into.fill(0.0);
                let share = 1.0 / many.len() as f32;
                many.iter().for_each(|&token| kernels::add_scaled(into, table.row(token as usize), share));
            }
        }
    }
}

/// What follows a layer.
pub(super) fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Linear => {}
        Activation::Relu => kernels::relu(values),
        Activation::Tanh => kernels::tanh(values),
    }
}

/// Puts the comparators side by side.
pub(super) fn compare(comparators: &[Comparator], e0: &[f32], e1: &[f32], into: &mut [f32]) {
    let dim = e0.len();
    let mut rest = into;
    for comparator in comparators {
        let (here, after) = rest.split_at_mut(comparator.width(dim));
        match comparator {
            Comparator::Hadamard => kernels::multiply(here, e0, e1),
            Comparator::AbsDiff => kernels::subtract_abs(here, e0, e1),
            Comparator::Concat => {
                here[..dim].copy_from_slice(e0);
                here[dim..].copy_from_slice(e1);
            }
        }
        rest = after;
    }
}

/// Gradients of [`compare`]: overwrites `d0` and `d1`.
pub(super) fn compare_backward(
    comparators: &[Comparator],
    gradient: &[f32],
    e0: &[f32],
    e1: &[f32],
    d0: &mut [f32],
    d1: &mut [f32],
) {
    let dim = e0.len();
    d0.fill(0.0);
    d1.fill(0.0);
    let mut rest = gradient;
    for comparator in comparators {
        let (here, after) = rest.split_at(comparator.width(dim));
        match comparator {
            Comparator::Hadamard => kernels::hadamard_backward(here, e0, e1, d0, d1),
            Comparator::AbsDiff => kernels::abs_diff_backward(here, e0, e1, d0, d1),
            Comparator::Concat => {
                kernels::add(d0, &here[..dim]);
                kernels::add(d1, &here[dim..]);
            }
        }
        rest = after;
    }
}
